"""The terms in the database: plans, multipliers, and prices that an operator added.

Every change counts `terms_version` up in its own transaction, so that each process learns of it (keeper.py).
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime

import msgspec
from psycopg import sql
from psycopg.errors import ForeignKeyViolation

from billing.db.pool import Connection
from billing.errors import Conflict, NotFound
from billing.prices.terms import Dated, Terms
from billing.text import Name, Price, Word
from pricing.book import Book
from pricing.entries import PRICE_COLUMNS
from pricing.policies import Policy

CONFIDENCE = "A"
"""An operator's price is what the operator says it is."""


class NewPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A price as an operator gives it, in the columns of the book's tables (docs/pricing.md).

    `price` is dollars for one `unit`, before the multiplier. It holds from midnight UTC of `effective_from`.
    """

    model: Name
    dimension: Name
    unit: Name
    price: Price
    effective_from: date
    source: Name
    tier: Word = ""
    context: Word = ""
    effective_to: date | None = None
    note: Word = ""


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A price an operator added, for everybody or for one account; by which key, and when."""

    id: int
    account: str | None
    model: str
    dimension: str
    tier: str
    context: str
    unit: str
    price: str
    effective_from: date
    effective_to: date | None
    source: str
    note: str
    actor: str
    created_at: datetime


class MultiplierRow(msgspec.Struct, frozen=True, kw_only=True):
    """A multiplier of a plan or an account; null: no special terms from then on."""

    id: int
    plan: str | None
    account: str | None
    multiplier: str | None
    effective_from: datetime
    reason: str
    actor: str
    created_at: datetime


PRICE_ROW = sql.SQL("""
id, account_id AS account, model, dimension, tier, context, unit, trim_scale(price)::text AS price,
effective_from, effective_to, source, note, actor, created_at
""")
MULTIPLIER_ROW = sql.SQL("""
id, plan_id AS plan, account_id AS account, trim_scale(multiplier)::text AS multiplier,
effective_from, reason, actor, created_at
""")


async def version(conn: Connection) -> int:
    row = await (await conn.execute("SELECT version FROM terms_version")).fetchone()
    assert row is not None
    return int(row["version"])


async def terms(conn: Connection, book: Book, multiplier: str, policy: Policy) -> Terms:
    """All terms as they are now, over the book this process has loaded. Raises BookError.

    The version is read first: what changes meanwhile is read once more at the next look.
    """
    seen = await version(conn)
    rows = await price_rows(conn)
    factors = await multipliers(conn)
    everybody = laid_over(book, [row for row in rows if row.account is None], "local")
    return Terms(
        version=seen,
        book=everybody,
        multiplier=multiplier,
        policy=policy,
        books=_books(everybody, rows),
        multipliers=_by_owner((row.account, row.effective_from, row.multiplier) for row in factors),
        plans=await _plans_of_accounts(conn),
        plan_multipliers=_by_owner((row.plan, row.effective_from, row.multiplier) for row in factors),
    )


def _books(everybody: Book, rows: list[PriceRow]) -> dict[str, Book]:
    own: dict[str, list[PriceRow]] = defaultdict(list)
    for row in rows:
        if row.account is not None:
            own[row.account].append(row)
    return {account: laid_over(everybody, found, "customer") for account, found in own.items()}


def laid_over(book: Book, rows: list[PriceRow], layer: str) -> Book:
    """The book with these prices over it; the last of several for the same key and day counts. Raises BookError."""
    if not rows:
        return book
    last = {(row.model, row.dimension, row.tier, row.context, row.effective_from): row for row in rows}
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(PRICE_COLUMNS)
    writer.writerows(_cells(row) for row in last.values())
    return book.overlaid(text.getvalue(), layer=layer, file=f"{layer} prices")


def _cells(row: PriceRow) -> list[object]:
    return [
        *(row.model, row.dimension, row.tier, row.context, row.unit, row.price),
        *(row.effective_from, row.effective_to or "", CONFIDENCE, row.source, row.created_at.date(), row.note),
    ]


def _by_owner(rows: Iterable[tuple[str | None, datetime, str | None]]) -> dict[str, list[Dated[str]]]:
    histories: dict[str, list[Dated[str]]] = defaultdict(list)
    for owner, effective_from, value in rows:
        if owner is not None:
            histories[owner].append(Dated(effective_from, value))
    return dict(histories)


async def price_rows(conn: Connection, account_id: str | None = None) -> list[PriceRow]:
    """The prices operators have added, in the order in which they came: all, or those of one account."""
    cursor = await conn.execute(
        sql.SQL("""
        SELECT {columns}
        FROM price_rows
        WHERE %(account_id)s::text IS NULL OR account_id = %(account_id)s
        ORDER BY id
        """).format(columns=PRICE_ROW),
        {"account_id": account_id},
    )
    return [PriceRow(**row) for row in await cursor.fetchall()]


async def multipliers(conn: Connection, *, plan: str | None = None, account: str | None = None) -> list[MultiplierRow]:
    """Multipliers, the newest first: of one plan, of one account, or all."""
    cursor = await conn.execute(
        sql.SQL("""
        SELECT {columns}
        FROM multipliers
        WHERE (%(plan)s::text IS NULL OR plan_id = %(plan)s)
          AND (%(account)s::text IS NULL OR account_id = %(account)s)
        ORDER BY id DESC
        """).format(columns=MULTIPLIER_ROW),
        {"plan": plan, "account": account},
    )
    return [MultiplierRow(**row) for row in await cursor.fetchall()]


async def plans(conn: Connection) -> list[str]:
    cursor = await conn.execute("SELECT id FROM plans ORDER BY id")
    return [row["id"] for row in await cursor.fetchall()]


async def _plans_of_accounts(conn: Connection) -> dict[str, list[Dated[str]]]:
    cursor = await conn.execute("SELECT account_id, effective_from, plan_id FROM account_plans ORDER BY id DESC")
    rows = await cursor.fetchall()
    return _by_owner((row["account_id"], row["effective_from"], row["plan_id"]) for row in rows)


async def count_up(conn: Connection) -> None:
    """Say that the terms have changed, in the transaction that changes them. Changes wait for one another here."""
    await conn.execute("UPDATE terms_version SET version = version + 1")


async def create_plan(conn: Connection, plan: str) -> None:
    """Raises Conflict when it is there already."""
    cursor = await conn.execute("INSERT INTO plans (id) VALUES (%s) ON CONFLICT DO NOTHING", [plan])
    if cursor.rowcount == 0:
        raise Conflict("plan_exists", f"There is a plan {plan} already.")


async def put_on_plan(
    conn: Connection, *, account: str, plan: str | None, effective_from: datetime, actor: str
) -> None:
    """Raises NotFound for an unknown account or plan."""
    try:
        await conn.execute(
            "INSERT INTO account_plans (account_id, plan_id, effective_from, actor) VALUES (%s, %s, %s, %s)",
            [account, plan, effective_from, actor],
        )
    except ForeignKeyViolation:
        raise NotFound("unknown_account_or_plan", f"There is no account {account}, or no plan {plan}.") from None


async def add_multiplier(
    conn: Connection,
    *,
    plan: str | None = None,
    account: str | None = None,
    multiplier: str | None,
    effective_from: datetime,
    reason: str,
    actor: str,
) -> MultiplierRow:
    """The row as it was added. Raises NotFound for an unknown account or plan."""
    try:
        cursor = await conn.execute(
            sql.SQL("""
            INSERT INTO multipliers (plan_id, account_id, multiplier, effective_from, reason, actor)
            VALUES (%s, %s, %s::numeric, %s, %s, %s)
            RETURNING {columns}
            """).format(columns=MULTIPLIER_ROW),
            [plan, account, multiplier, effective_from, reason, actor],
        )
    except ForeignKeyViolation:
        owner = f"plan {plan}" if plan else f"account {account}"
        raise NotFound("unknown_account_or_plan", f"There is no {owner}.") from None
    row = await cursor.fetchone()
    assert row is not None
    return MultiplierRow(**row)


async def add_price_row(conn: Connection, *, account: str | None, row: NewPrice, actor: str) -> PriceRow:
    """The row as it was added. Raises NotFound for an unknown account.

    Whether the row makes sense shows when the book is made of it.
    """
    try:
        cursor = await conn.execute(
            sql.SQL("""
            INSERT INTO price_rows (
              account_id, model, dimension, tier, context, unit, price,
              effective_from, effective_to, source, note, actor
            )
            VALUES (
              %(account)s, %(model)s, %(dimension)s, %(tier)s, %(context)s, %(unit)s, %(price)s::numeric,
              %(effective_from)s, %(effective_to)s, %(source)s, %(note)s, %(actor)s
            )
            RETURNING {columns}
            """).format(columns=PRICE_ROW),
            {**msgspec.structs.asdict(row), "account": account, "actor": actor},
        )
    except ForeignKeyViolation:
        raise NotFound("unknown_account", f"There is no account {account}.") from None
    added = await cursor.fetchone()
    assert added is not None
    return PriceRow(**added)
