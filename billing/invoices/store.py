"""The SQL of invoices. Money is Decimal dollars in the database and picodollars here (billing/db/dollars.py)."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any

import msgspec

from billing.db.dollars import dollars, picos
from billing.db.pool import Connection
from billing.invoices.invoice import Customer, Draft, Invoice, Issuer, Statement
from billing.invoices.lines import Factors, Line, PriceUsage
from billing.invoices.periods import Period
from billing.invoices.taxes import Tax
from billing.invoices.view import tax_view
from billing.pages import Page, rows_of
from pricing import money

Row = dict[str, Any]

SUMS = ("amount_exact", "subtotal", "tax", "tax_included", "total", "residue", "credits_used")

KEPT_SUMS = ("amount_exact", "subtotal", "residue", "credits_used")
SAME = (
    "id",
    "number",
    "account_id",
    "time_zone",
    "anchor_day",
    "currency",
    "transaction",
    "tax_transaction",
    "due_date",
    "finalized_at",
)

STATEMENT = (files("billing.invoices") / "statement.sql").read_text()
SPAN = (files("billing.invoices") / "span.sql").read_text()
USAGE = (files("billing.invoices") / "usage.sql").read_text()
FINALIZE = (files("billing.invoices") / "finalize.sql").read_text()


class Moves(msgspec.Struct, frozen=True, kw_only=True):
    """Wallet and credits at the period's start, what is not usage within it, and all that came `later` (signed).

    `earlier_usage` is when usage before the period began that no invoice has yet; None: there is none. `credits_used`
    is the credit that paid usage of the period, of grants that began before its end.
    """

    opening: int
    top_ups: int
    payments: int
    grants: int
    credit_notes: int
    expired: int
    adjustments: int
    later: int
    earlier_usage: datetime | None
    credits_used: int


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice whose rows are not what this service writes, and why; only the proof goes on with one."""

    id: str
    number: str
    why: str


async def clock(conn: Connection) -> datetime:
    """The database's time: the only clock that decides whether a period is over."""
    row = await (await conn.execute("SELECT now() AS now")).fetchone()
    assert row is not None
    now: datetime = row["now"]
    return now


async def known_periods(conn: Connection, account_ids: Collection[str]) -> dict[str, list[Period]]:
    """The periods of the accounts that have an invoice, oldest first."""
    found: dict[str, list[Period]] = {account_id: [] for account_id in account_ids}
    if not account_ids:
        return found
    cursor = await conn.execute(
        "SELECT account_id, period_start, period_end FROM invoices WHERE account_id = ANY(%s) AND replaces IS NULL "
        "ORDER BY period_start",
        [list(account_ids)],
    )
    for row in await cursor.fetchall():
        found[row["account_id"]].append(Period(row["period_start"], row["period_end"]))
    return found


async def usage(conn: Connection, periods: Mapping[str, tuple[str, Period]]) -> dict[str, list[PriceUsage]]:
    """What was used in each of the named periods of accounts, summed by price."""
    parameters = {
        "names": list(periods),
        "accounts": [account for account, _ in periods.values()],
        "starts": [period.start for _, period in periods.values()],
        "ends": [period.end for _, period in periods.values()],
    }
    found: dict[str, list[PriceUsage]] = {name: [] for name in periods}
    for row in await (await conn.execute(USAGE, parameters)).fetchall():
        found[row["period"]].append(_price_usage(row))
    return found


async def moves(conn: Connection, account_id: str, open_from: datetime | None, period: Period) -> Moves:
    """What the statement of a period needs besides usage; what is before `open_from` is closed."""
    parameters = {"account": account_id, "start": period.start, "end": period.end, "open_from": open_from}
    row = await (await conn.execute(STATEMENT, parameters)).fetchone()
    assert row is not None
    return Moves(
        opening=picos(row["opening"]),
        top_ups=picos(row["top_ups"]),
        payments=picos(row["payments"]),
        grants=picos(row["grants"]),
        credit_notes=picos(row["credit_notes"]),
        expired=picos(row["expired"]),
        adjustments=picos(row["adjustments"]),
        later=picos(row["later"]),
        earlier_usage=row["earlier_usage"],
        credits_used=picos(row["credits_used"]),
    )


async def statement(conn: Connection, account_id: str, start: datetime, end: datetime) -> Statement:
    """What happened to all an account has in [start, end)."""
    row = await (await conn.execute(SPAN, {"account": account_id, "start": start, "end": end})).fetchone()
    assert row is not None
    return Statement(**{name: picos(row[name]) for name in Statement.__struct_fields__})


async def finalize(
    conn: Connection,
    draft: Draft,
    prefix: str,
    *,
    transaction: int | None,
    tax_transaction: int | None,
    next_end: datetime,
) -> str:
    """Give the invoice the next number of this year's series, write it with its lines, and close its period; the one
    after it ends at `next_end`."""
    sums = {name: dollars(getattr(draft, name)) for name in SUMS}
    parameters = {
        **msgspec.structs.asdict(draft),
        **sums,
        "taxes": _json([tax_view(tax) for tax in draft.taxes]),
        "period_start": draft.period.start,
        "period_end": draft.period.end,
        "issuer": _json(draft.issuer),
        "customer": _json(draft.customer),
        "statement": _json(draft.statement.amounts()),
        "lines": _json([_line_record(position, line) for position, line in enumerate(draft.lines, start=1)]),
        "transaction": transaction,
        "tax_transaction": tax_transaction,
        "next_end": next_end,
        "prefix": prefix,
    }
    row = await (await conn.execute(FINALIZE, parameters)).fetchone()
    assert row is not None
    number: str = row["number"]
    return number


async def between(conn: Connection, account_id: str, start: datetime, end: datetime) -> list[Invoice]:
    """The account's invoices of the periods that begin in [start, end), oldest first; none that another stands for."""
    cursor = await conn.execute(
        """
        SELECT *
        FROM invoices
        WHERE account_id = %s AND period_start >= %s AND period_start < %s
          AND NOT EXISTS (SELECT FROM invoices AS later WHERE later.replaces = invoices.id)
        ORDER BY period_start, number
        """,
        [account_id, start, end],
    )
    return await _invoices(conn, await cursor.fetchall())


async def find(conn: Connection, invoice_id: str, account_id: str | None) -> Invoice | None:
    """The invoice, if it exists and is the account's; any account's with None."""
    found = await find_all(conn, [invoice_id])
    return found[0] if found and account_id in (None, found[0].account_id) else None


async def find_named(conn: Connection, name: str) -> Invoice | None:
    """The invoice of this id or number, any account's."""
    cursor = await conn.execute("SELECT * FROM invoices WHERE id = %(name)s OR number = %(name)s", {"name": name})
    found = await _invoices(conn, await cursor.fetchall())
    return found[0] if found else None


async def id_named(conn: Connection, name: str) -> str:
    """The id of the invoice of this id or number; the name itself, if there is none."""
    cursor = await conn.execute("SELECT id FROM invoices WHERE id = %(name)s OR number = %(name)s", {"name": name})
    row = await cursor.fetchone()
    return row["id"] if row else name


async def find_all(conn: Connection, ids: list[str]) -> list[Invoice]:
    """These invoices, as far as they exist."""
    cursor = await conn.execute("SELECT * FROM invoices WHERE id = ANY(%s) ORDER BY id", [ids])
    return await _invoices(conn, await cursor.fetchall())


LISTED = "SELECT * FROM invoices WHERE %(account)s::text IS NULL OR account_id = %(account)s"


async def listed(conn: Connection, account_id: str | None, page: Page) -> tuple[list[Invoice], bool]:
    """A page of the account's invoices (of all with None), newest period first, and whether more follow."""
    rows, more = await rows_of(conn, LISTED, {"account": account_id}, newest_by="period_end", page=page)
    return await _invoices(conn, rows), more


async def batch(conn: Connection, after: str, limit: int) -> list[Invoice | Unreadable]:
    """Up to `limit` invoices in order of their ids, from the one after `after` on."""
    cursor = await conn.execute("SELECT * FROM invoices WHERE id > %s ORDER BY id LIMIT %s", [after, limit])
    rows = await cursor.fetchall()
    lines = await _lines(conn, rows)
    return [_attempted(row, lines[row["id"]]) for row in rows]


def _attempted(row: Row, lines: Sequence[Row]) -> Invoice | Unreadable:
    try:
        return _invoice(row, lines)
    except Exception as error:  # whatever a broken row may raise
        return Unreadable(id=row["id"], number=row["number"], why=f"{type(error).__name__}: {error}".partition("\n")[0])


async def _invoices(conn: Connection, rows: Sequence[Row]) -> list[Invoice]:
    """Invoice rows with their lines."""
    lines = await _lines(conn, rows)
    return [_invoice(row, lines[row["id"]]) for row in rows]


async def _lines(conn: Connection, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of the lines of these invoices, by invoice."""
    cursor = await conn.execute(
        """
        SELECT line.*, official_unit_price AS official, first_event_at AS first_at, last_event_at AS last_at
        FROM invoices JOIN invoice_lines AS line ON line.account_id = invoices.account_id AND invoice_id = invoices.id
        WHERE invoices.id = ANY(%s)
        ORDER BY invoice_id, position
        """,
        [[row["id"] for row in rows]],
    )
    lines: dict[str, list[Row]] = {row["id"]: [] for row in rows}
    for line in await cursor.fetchall():
        lines[line["invoice_id"]].append(line)
    return lines


def _invoice(row: Row, lines: Sequence[Row]) -> Invoice:
    values: Row = {name: row[name] for name in SAME} | {name: picos(row[name]) for name in KEPT_SUMS}
    return Invoice(
        **values,
        period=Period(row["period_start"], row["period_end"]),
        issuer=msgspec.convert(row["issuer"], Issuer),
        customer=msgspec.convert(row["customer"], Customer),
        statement=_statement(row["statement"]),
        taxes=tuple(_tax(tax) for tax in row["taxes"]),
        lines=tuple(_line(line) for line in lines),
    )


def _statement(kept: dict[str, str]) -> Statement:
    """Those from before taxes and payments name none."""
    named = {name: money.parse(kept.get(name, "0")) for name in Statement.__struct_fields__}
    return Statement(**named)


def _tax(kept: Row) -> Tax:
    return msgspec.convert(
        {**kept, "taxable": money.parse(kept["taxable"]), "amount": money.parse(kept["amount"])}, Tax
    )


def _line(row: Row) -> Line:
    return Line(
        factors=_factors(row),
        price_ids=tuple(row["price_ids"]),
        quantity=row["quantity"],
        amount_exact=picos(row["amount_exact"]),
        amount=picos(row["amount"]),
        events=row["events"],
        first_at=row["first_at"],
        last_at=row["last_at"],
        evidence=row["evidence"],
        correction_of=Period(row["correction_start"], row["correction_end"]) if row["correction_start"] else None,
    )


def _price_usage(row: Row) -> PriceUsage:
    return PriceUsage(
        price_id=row["price_id"],
        factors=_factors(row),
        quantity=row["quantity"],
        amount=picos(row["amount"]),
        events=row["events"],
        first_at=row["first_at"],
        last_at=row["last_at"],
        evidence=row["evidence"],
        late=row["late"],
    )


def _factors(row: Row) -> Factors:
    return Factors(**{name: row[name] for name in Factors.__struct_fields__})


def _line_record(position: int, line: Line) -> Row:
    return {
        **msgspec.structs.asdict(line),
        **msgspec.structs.asdict(line.factors),
        "factors": None,
        "position": position,
        "amount_exact": money.format(line.amount_exact),
        "amount": money.format(line.amount),
        "correction_start": line.correction_of and line.correction_of.start,
        "correction_end": line.correction_of and line.correction_of.end,
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
