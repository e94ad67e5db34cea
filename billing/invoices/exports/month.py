"""The SQL of a month's export: which invoices it has, some of them at a time, and what the ledger says of them.

A month's invoices are those of the periods whose last moment, in their own zone, falls into it. They are fixed when the
export begins, by the last number of each series: numbers have no gaps, and an invoice never changes. So no transaction
stays open, and whoever reads slowly keeps nothing but memory for one batch.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from billing.db.dollars import picos
from billing.db.pool import Connection, Pool
from billing.errors import Invalid
from billing.invoices import store
from billing.invoices.invoice import Invoice
from billing.invoices.periods import PeriodError
from billing.invoices.periods import month as month_of

SELECTED = 200
LINES_MAX = 5_000
"""Lines of the invoices of a batch; one invoice may have more."""

OFFSET_MAX = timedelta(hours=14)
SUMS = ("amount_exact", "subtotal", "tax", "tax_included", "total", "amount_due", "residue")

OVERVIEW = (files("billing.invoices.exports") / "overview.sql").read_text()
UNBILLED = (files("billing.invoices.exports") / "unbilled.sql").read_text()
LEDGER = (files("billing.invoices.exports") / "ledger.sql").read_text()


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that a month's invoices have of a series: from the first to the last, others may lie between."""

    series: str
    first: int
    last: int
    invoices: int


class Sums(msgspec.Struct, kw_only=True):
    """What invoices come to, in picodollars."""

    invoices: int = 0
    amount_exact: int = 0
    subtotal: int = 0
    tax: int = 0
    tax_included: int = 0
    total: int = 0
    amount_due: int = 0
    residue: int = 0

    def add(self, invoice: Invoice) -> None:
        self.invoices += 1
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(invoice, name))


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """A month as it is to be exported. `made_at` is when the last of its invoices was made; `unbilled_accounts` have
    usage of periods of the month, or of earlier ones, that is on no invoice yet."""

    label: str
    series: tuple[Series, ...]
    sums: Sums
    made_at: datetime | None
    unbilled_accounts: int


class Ledger(msgspec.Struct, kw_only=True):
    """What the ledger took in the periods of invoices, in picodollars: for usage, and for rounding. `different`: how
    many invoices say something else. An invoice that replaces another is not counted: its period is the other's."""

    usage: int = 0
    rounding: int = 0
    different: int = 0


async def find(conn: Connection, label: str) -> Month:
    """Raises Invalid for what is no month."""
    try:
        utc = month_of(label, ZoneInfo("UTC"))
    except PeriodError as fault:
        raise Invalid("invalid_period", str(fault)) from None
    parameters = {"label": label, "after": utc.start - OFFSET_MAX, "until": utc.end + OFFSET_MAX, "first": utc.start}
    rows = await (await conn.execute(OVERVIEW, parameters)).fetchall()
    unbilled = await (await conn.execute(UNBILLED, parameters)).fetchone()
    assert unbilled is not None
    sums = {name: sum(picos(row[name]) for row in rows) for name in SUMS}
    return Month(
        label=label,
        series=tuple(Series(**{name: row[name] for name in Series.__struct_fields__}) for row in rows),
        sums=Sums(invoices=sum(row["invoices"] for row in rows), **sums),
        made_at=max((row["made_at"] for row in rows), default=None),
        unbilled_accounts=unbilled["accounts"],
    )


async def batches(pool: Pool, month: Month) -> AsyncIterator[list[Invoice]]:
    """The month's invoices in the order of their numbers, some at a time; a connection is taken for each batch only."""
    for series in month.series:
        after = series.first - 1
        while True:
            async with pool.connection() as conn:
                rows = await _select(conn, month.label, series, after)
            if not rows:
                break
            after = rows[-1]["sequence"]
            for ids in _by_lines(rows):
                async with pool.connection() as conn:
                    found = {invoice.id: invoice for invoice in await store.find_all(conn, ids)}
                yield [found[id] for id in ids]


async def _select(conn: Connection, label: str, series: Series, after: int) -> list[dict[str, Any]]:
    cursor = await conn.execute(
        """
        SELECT id, sequence, (
          SELECT count(*) FROM invoice_lines AS line
          WHERE line.account_id = invoices.account_id AND invoice_id = invoices.id
        ) AS lines
        FROM invoices
        WHERE series = %(series)s AND sequence > %(after)s AND sequence <= %(last)s
          AND to_char((period_end - interval '15 minutes') AT TIME ZONE time_zone, 'YYYY-MM') = %(label)s
        ORDER BY sequence
        LIMIT %(limit)s
        """,
        {"series": series.series, "after": after, "last": series.last, "label": label, "limit": SELECTED},
    )
    return await cursor.fetchall()


def _by_lines(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Ids in groups of invoices that have so many lines together."""
    groups: list[list[str]] = []
    lines = LINES_MAX
    for row in rows:
        if lines + row["lines"] > LINES_MAX:
            groups.append([])
            lines = 0
        groups[-1].append(row["id"])
        lines += row["lines"]
    return groups


async def compare(pool: Pool, ids: list[str], ledger: Ledger) -> None:
    """Add what the ledger says of the periods of these invoices."""
    async with pool.connection() as conn:
        row = await (await conn.execute(LEDGER, [ids])).fetchone()
    assert row is not None
    ledger.usage += picos(row["usage"])
    ledger.rounding += picos(row["rounding"])
    ledger.different += row["different"]
