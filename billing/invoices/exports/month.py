"""The SQL of a month's export: which documents it has, some of them at a time, and what the ledger says of them.

A month has the invoices of the periods whose last moment, in their own zone, falls into it; and of what corrects
invoices the credit notes that were issued in it, and the invoices that were made with them in the place of others. They
are fixed when the export begins, by the last number of each series: numbers have no gaps, and a document never changes.
So no transaction stays open, and whoever reads slowly keeps nothing but memory for one batch.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from billing.db.dollars import picos
from billing.db.pool import Connection, Pool
from billing.errors import Invalid
from billing.invoices import store
from billing.invoices.periods import PeriodError
from billing.invoices.periods import month as month_of
from billing.invoices.settlement import store as settlement
from billing.invoices.settlement.reading import note_views
from billing.invoices.settlement.views import CreditNoteView
from billing.invoices.view import InvoiceView, view
from pricing import money

SELECTED = 200
LINES_MAX = 5_000
"""Lines of the invoices of a batch, or of those that its credit notes correct; one invoice may have more."""

OFFSET_MAX = timedelta(hours=14)
SUMS = ("amount_exact", "subtotal", "tax", "tax_included", "total", "amount_due", "residue")
NET_SUMS = ("subtotal", "tax", "tax_included", "total")
"""What credit notes have, too."""

ROOM = files("billing.invoices.exports")
OUTLOOK = (ROOM / "outlook.sql").read_text()

Sort = Literal["invoice", "credit_note"]
Document = InvoiceView | CreditNoteView

DOCUMENTS: dict[Sort, str] = {
    "invoice": (ROOM / "invoices.sql").read_text(),
    "credit_note": (ROOM / "notes.sql").read_text(),
}
LEDGER: dict[Sort, str] = {
    "invoice": (ROOM / "ledger.sql").read_text(),
    "credit_note": (ROOM / "ledger_of_notes.sql").read_text(),
}

OVERVIEW = f"""
SELECT sort, series, min(sequence) AS first, max(sequence) AS last, count(*) AS documents, max(made_at) AS made_at,
       {", ".join(f"sum({name}) AS {name}" for name in SUMS)}
FROM ({" UNION ALL ".join(DOCUMENTS.values())}) AS documents
WHERE month = %(label)s
  AND (sort = 'credit_note' OR replaces IS NOT NULL OR period_end > %(after)s AND period_end <= %(until)s)
GROUP BY sort, series
ORDER BY sort, series
"""  # noqa: S608 - a file of ours

SELECT = {
    sort: f"""
    SELECT id, sequence, (
      SELECT count(*)
      FROM invoice_lines AS line
      WHERE line.account_id = documents.account_id AND line.invoice_id = documents.invoice_id
    ) AS lines
    FROM ({documents}) AS documents
    WHERE series = %(series)s AND sequence > %(after)s AND sequence <= %(last)s AND month = %(label)s
    ORDER BY sequence
    LIMIT %(limit)s
    """  # noqa: S608 - a file of ours
    for sort, documents in DOCUMENTS.items()
}


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that a month's documents have of a series: from the first to the last, others may lie between."""

    series: str
    first: int
    last: int


class Sums(msgspec.Struct, kw_only=True):
    """What documents of one sort come to as they say it, in picodollars; credit notes have none but NET_SUMS."""

    documents: int = 0
    amount_exact: int = 0
    subtotal: int = 0
    tax: int = 0
    tax_included: int = 0
    total: int = 0
    amount_due: int = 0
    residue: int = 0

    def add(self, document: Document) -> None:
        self.documents += 1
        for name in SUMS if isinstance(document, InvoiceView) else NET_SUMS:
            setattr(self, name, getattr(self, name) + money.parse(getattr(document, name)))


class Documents(msgspec.Struct, frozen=True, kw_only=True):
    """A month's documents of one sort."""

    series: tuple[Series, ...]
    sums: Sums


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """A month as it is to be exported. `made_at` is when the last of its documents was made; `unbilled_accounts` have
    usage of periods of the month, or of earlier ones, that is on no invoice yet; `final`: no document will be added."""

    label: str
    documents: dict[Sort, Documents]
    made_at: datetime | None
    unbilled_accounts: int
    final: bool

    @property
    def invoices(self) -> Sums:
        return self.documents["invoice"].sums

    @property
    def credit_notes(self) -> Sums:
        return self.documents["credit_note"].sums

    def net(self, name: str) -> int:
        """Of NET_SUMS what the invoices come to, less what credit notes take back."""
        invoiced: int = getattr(self.invoices, name)
        credited: int = getattr(self.credit_notes, name)
        return invoiced - credited


class Ledger(msgspec.Struct, kw_only=True):
    """What the ledger took for a month's documents, in picodollars, into each of these books. `different`: how many
    documents say something else."""

    revenue: int = 0
    rounding: int = 0
    taxes: int = 0
    different: int = 0

    def agrees(self, month: Month) -> bool:
        """With every document, and with all of them together."""
        taken = (self.revenue + self.rounding + self.taxes, self.taxes)
        said = (month.net("total"), month.net("tax") + month.net("tax_included"))
        return self.different == 0 and taken == said


async def find(conn: Connection, label: str) -> Month:
    """Raises Invalid for what is no month."""
    try:
        utc = month_of(label, ZoneInfo("UTC"))
    except PeriodError as fault:
        raise Invalid("invalid_period", str(fault)) from None
    parameters = {"label": label, "after": utc.start - OFFSET_MAX, "until": utc.end + OFFSET_MAX, "first": utc.start}
    rows = await (await conn.execute(OVERVIEW, parameters)).fetchall()
    outlook = await (await conn.execute(OUTLOOK, parameters)).fetchone()
    assert outlook is not None
    return Month(
        label=label,
        documents={
            "invoice": _documents([row for row in rows if row["sort"] == "invoice"]),
            "credit_note": _documents([row for row in rows if row["sort"] == "credit_note"]),
        },
        made_at=max((row["made_at"] for row in rows), default=None),
        **outlook,
    )


def _documents(rows: list[dict[str, Any]]) -> Documents:
    sums = {name: sum(picos(row[name]) for row in rows) for name in SUMS}
    return Documents(
        series=tuple(Series(**{name: row[name] for name in Series.__struct_fields__}) for row in rows),
        sums=Sums(documents=sum(row["documents"] for row in rows), **sums),
    )


async def batches(pool: Pool, month: Month, sort: Sort) -> AsyncIterator[list[Document]]:
    """The month's documents of a sort in the order of their numbers, some at a time; a connection is taken for each
    batch only."""
    for series in month.documents[sort].series:
        after = series.first - 1
        while True:
            async with pool.connection() as conn:
                rows = await _select(conn, month.label, sort, series, after)
            if not rows:
                break
            after = rows[-1]["sequence"]
            for ids in _by_lines(rows):
                async with pool.connection() as conn:
                    found = {document.id: document for document in await _read(conn, sort, ids)}
                yield [found[id] for id in ids]


async def _read(conn: Connection, sort: Sort, ids: list[str]) -> list[Document]:
    if sort == "invoice":
        found = await store.find_all(conn, ids)
        return [*await asyncio.to_thread(lambda: [view(invoice) for invoice in found])]
    return [*await note_views(conn, await settlement.find_notes(conn, ids))]


async def _select(conn: Connection, label: str, sort: Sort, series: Series, after: int) -> list[dict[str, Any]]:
    parameters = {"label": label, "series": series.series, "after": after, "last": series.last}
    return await (await conn.execute(SELECT[sort], {**parameters, "limit": SELECTED})).fetchall()


def _by_lines(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Ids in groups of documents whose invoices have so many lines together."""
    groups: list[list[str]] = []
    lines = LINES_MAX
    for row in rows:
        if lines + row["lines"] > LINES_MAX:
            groups.append([])
            lines = 0
        groups[-1].append(row["id"])
        lines += row["lines"]
    return groups


async def compare(pool: Pool, sort: Sort, ids: list[str], ledger: Ledger) -> None:
    """Add what the ledger says of these documents of a sort."""
    async with pool.connection() as conn:
        row = await (await conn.execute(LEDGER[sort], [ids])).fetchone()
    assert row is not None
    for book in ("revenue", "rounding", "taxes"):
        setattr(ledger, book, getattr(ledger, book) + picos(row[book]))
    ledger.different += row["different"]
