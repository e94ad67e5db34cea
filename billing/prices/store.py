"""The terms in the database: plans, multipliers, verification policies, upstreams' factors, an operator's own prices.

Every change counts `terms_version` up in its own transaction, so that each process learns of it (keeper.py).
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from typing import Generic, NamedTuple, TypeVar

import msgspec
from psycopg import sql
from psycopg.errors import ForeignKeyViolation

from billing.audit import log as audit
from billing.db.pool import Connection
from billing.errors import Conflict, NotFound
from billing.prices.terms import Agreed, Dated, Special, Terms
from billing.text import Name, Price, Word
from pricing.book import Book
from pricing.entries import PRICE_COLUMNS
from pricing.policies import Policy

T = TypeVar("T")

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


class SpecialRow(msgspec.Struct, frozen=True, kw_only=True):
    """A special term of a plan or an account from an instant on; why, by which key, and when it was added."""

    id: int
    plan: str | None
    account: str | None
    effective_from: datetime
    reason: str
    actor: str
    created_at: datetime


class MultiplierRow(SpecialRow, frozen=True, kw_only=True):
    """A multiplier of a plan or an account; null: no special one from then on."""

    multiplier: str | None


class PolicyRow(SpecialRow, frozen=True, kw_only=True):
    """A verification policy of a plan or an account; null: no special one from then on."""

    policy: Policy | None


Row = TypeVar("Row", bound=SpecialRow)


class Kind(NamedTuple, Generic[Row]):
    """A kind of special terms: the table that keeps it, the column of its value, and how a row is read."""

    table: sql.Identifier
    column: sql.Identifier
    value: sql.SQL
    row: type[Row]
    name: str

    @property
    def columns(self) -> sql.Composed:
        return sql.SQL(
            "id, plan_id AS plan, account_id AS account, {} AS {}, effective_from, reason, actor, created_at"
        ).format(self.value, self.column)


MULTIPLIERS = Kind(
    sql.Identifier("multipliers"),
    sql.Identifier("multiplier"),
    sql.SQL("trim_scale(multiplier)::text"),
    MultiplierRow,
    "multiplier",
)
POLICIES = Kind(
    sql.Identifier("verification_policies"), sql.Identifier("policy"), sql.SQL("policy"), PolicyRow, "policy"
)


class FactorRow(msgspec.Struct, frozen=True, kw_only=True):
    """What an upstream takes of the official price from an instant on; null: what all others do, if that is known."""

    id: int
    upstream: str
    factor: str | None
    effective_from: datetime
    reason: str
    actor: str
    created_at: datetime


FACTOR_ROW = sql.SQL("id, upstream, trim_scale(factor)::text AS factor, effective_from, reason, actor, created_at")

PRICE_ROW = sql.SQL("""
id, account_id AS account, model, dimension, tier, context, unit, trim_scale(price)::text AS price,
effective_from, effective_to, source, note, actor, created_at
""")


async def version(conn: Connection) -> int:
    row = await (await conn.execute("SELECT version FROM terms_version")).fetchone()
    assert row is not None
    return int(row["version"])


async def terms(conn: Connection, standard: Agreed) -> Terms:
    """All terms as they are now, over the standard ones of this process. Raises BookError.

    The version is read first: what changes meanwhile is read once more at the next look.
    """
    seen = await version(conn)
    rows = await price_rows(conn)
    everybody = laid_over(standard.book, [row for row in rows if row.account is None], "local")
    return Terms(
        version=seen,
        standard=msgspec.structs.replace(standard, book=everybody),
        books=_books(everybody, rows),
        plans=await _plans_of_accounts(conn),
        multipliers=_by_owner((row, row.multiplier) for row in await special_rows(conn, MULTIPLIERS)),
        policies=_by_owner((row, row.policy) for row in await special_rows(conn, POLICIES)),
        factors=_by_upstream(await factor_rows(conn)),
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


def _by_owner(rows: Iterable[tuple[SpecialRow, T | None]]) -> Special[T]:
    accounts: dict[str, list[Dated[T]]] = defaultdict(list)
    plans: dict[str, list[Dated[T]]] = defaultdict(list)
    for row, value in rows:
        history = plans[row.plan] if row.plan is not None else accounts[str(row.account)]
        history.append(Dated(row.effective_from, value))
    return Special(dict(accounts), dict(plans))


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


async def special_rows(
    conn: Connection, kind: Kind[Row], *, plan: str | None = None, account: str | None = None
) -> list[Row]:
    """Special terms of a kind, the newest first: of one plan, of one account, or all."""
    cursor = await conn.execute(
        sql.SQL("""
        SELECT {columns}
        FROM {table}
        WHERE (%(plan)s::text IS NULL OR plan_id = %(plan)s)
          AND (%(account)s::text IS NULL OR account_id = %(account)s)
        ORDER BY id DESC
        """).format(columns=kind.columns, table=kind.table),
        {"plan": plan, "account": account},
    )
    return [kind.row(**row) for row in await cursor.fetchall()]


def _by_upstream(rows: list[FactorRow]) -> dict[str, list[Dated[str]]]:
    histories: dict[str, list[Dated[str]]] = defaultdict(list)
    for row in rows:
        histories[row.upstream].append(Dated(row.effective_from, row.factor))
    return dict(histories)


async def factor_rows(conn: Connection, upstream: str | None = None) -> list[FactorRow]:
    """The factors of one upstream or of all, the newest first."""
    cursor = await conn.execute(
        sql.SQL("""
        SELECT {columns}
        FROM upstream_factors
        WHERE %(upstream)s::text IS NULL OR upstream = %(upstream)s
        ORDER BY id DESC
        """).format(columns=FACTOR_ROW),
        {"upstream": upstream},
    )
    return [FactorRow(**row) for row in await cursor.fetchall()]


async def plans(conn: Connection) -> list[str]:
    cursor = await conn.execute("SELECT id FROM plans ORDER BY id")
    return [row["id"] for row in await cursor.fetchall()]


async def _plans_of_accounts(conn: Connection) -> dict[str, list[Dated[str]]]:
    cursor = await conn.execute("SELECT account_id, effective_from, plan_id FROM account_plans ORDER BY id DESC")
    histories: dict[str, list[Dated[str]]] = defaultdict(list)
    for row in await cursor.fetchall():
        histories[row["account_id"]].append(Dated(row["effective_from"], row["plan_id"]))
    return dict(histories)


async def count_up(conn: Connection) -> None:
    """Say that the terms have changed, in the transaction that changes them. Changes wait for one another here."""
    await conn.execute("UPDATE terms_version SET version = version + 1")


async def create_plan(conn: Connection, plan: str) -> None:
    """Raises Conflict when it is there already."""
    cursor = await conn.execute("INSERT INTO plans (id) VALUES (%s) ON CONFLICT DO NOTHING", [plan])
    if cursor.rowcount == 0:
        raise Conflict("plan_exists", f"There is a plan {plan} already.")
    await audit.record(conn, "plan.create", subject=plan)


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
    await audit.record(conn, "terms.plan", account=account, subject=plan, effective_from=effective_from)


async def add_special(
    conn: Connection,
    kind: Kind[Row],
    *,
    plan: str | None = None,
    account: str | None = None,
    value: str | None,
    effective_from: datetime,
    reason: str,
    actor: str,
) -> Row:
    """The row as it was added. Raises NotFound for an unknown account or plan."""
    try:
        cursor = await conn.execute(
            sql.SQL("""
            INSERT INTO {table} (plan_id, account_id, {column}, effective_from, reason, actor)
            VALUES (%s, %s, %s, %s, %s, %s)
            RETURNING {columns}
            """).format(table=kind.table, column=kind.column, columns=kind.columns),
            [plan, account, value, effective_from, reason, actor],
        )
    except ForeignKeyViolation:
        owner = f"plan {plan}" if plan else f"account {account}"
        raise NotFound("unknown_account_or_plan", f"There is no {owner}.") from None
    row = await cursor.fetchone()
    assert row is not None
    await audit.record(
        conn,
        f"terms.{kind.name}",
        account=account,
        subject=plan,
        value=value,
        effective_from=effective_from,
        reason=reason,
    )
    return kind.row(**row)


async def add_factor(
    conn: Connection, *, upstream: str, factor: str | None, effective_from: datetime, reason: str, actor: str
) -> FactorRow:
    """The row as it was added."""
    cursor = await conn.execute(
        sql.SQL("""
        INSERT INTO upstream_factors (upstream, factor, effective_from, reason, actor)
        VALUES (%s, %s, %s, %s, %s)
        RETURNING {columns}
        """).format(columns=FACTOR_ROW),
        [upstream, factor, effective_from, reason, actor],
    )
    row = await cursor.fetchone()
    assert row is not None
    await audit.record(
        conn, "terms.factor", subject=upstream, value=factor, effective_from=effective_from, reason=reason
    )
    return FactorRow(**row)


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
    await audit.record(conn, "terms.price", account=account, subject=row.model, **msgspec.structs.asdict(row))
    return PriceRow(**added)
