"""The events that an invoice bills, line by line, as a file in constant memory: a page of events at a time."""

import csv
import io
from collections.abc import AsyncIterator

import msgspec

from billing.db.pool import Pool
from billing.invoices import line_events
from billing.invoices.formats.csv import cell
from billing.invoices.invoice import Invoice
from billing.invoices.line_events import LineEvent
from billing.pages import Page

KIND, MEDIA_TYPE = "events.csv", "text/csv"
AT_ONCE = 1_000
LINE_COLUMNS = ("number", "line", "model", "dimension")
COLUMNS = (*LINE_COLUMNS, *LineEvent.__struct_fields__)


async def table(pool: Pool, invoice: Invoice) -> AsyncIterator[bytes]:
    """RFC 4180 in UTF-8: a header, then a record for each event of each line. The amounts of a line's events sum to its
    exact amount. No connection is held while the reader takes its time."""
    yield _rows([COLUMNS])
    for position, line in enumerate(invoice.lines, start=1):
        same = (invoice.number, position, line.factors.model, line.factors.dimension)
        source, page, more = "", Page(AT_ONCE), True
        while more:
            async with pool.connection() as conn:
                found, more = await line_events.listed(conn, invoice, line, source, page)
            yield _rows([(*same, *_cells(event)) for event in found])
            if more:
                source, page = found[-1].source, Page(AT_ONCE, starting_after=found[-1].id)


def _cells(event: LineEvent) -> list[object]:
    return ["" if value is None else value for value in msgspec.to_builtins(event).values()]


def _rows(rows: list[tuple[object, ...]] | list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([cell(value) for value in row] for row in rows)
    return text.getvalue().encode()
