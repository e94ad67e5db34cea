"""The records of documents in the tables of a month. Pure.

In CSV and FOCUS what a credit note takes back is below zero, so that a column sums to what is net. NDJSON has each
document as it is, behind its sort.
"""

import csv
import io
from collections.abc import Iterator, Sequence

import msgspec

from billing.invoices.exports.month import Document
from billing.invoices.formats import csv as invoice_csv
from billing.invoices.formats import focus
from billing.invoices.formats.csv import LINE_COLUMNS, cell
from billing.invoices.settlement import files as note_csv
from billing.invoices.settlement import focus as note_focus
from billing.invoices.view import InvoiceView

CSV_COLUMNS = (
    *("document", "number", "issued_at", "account", "customer", "corrects", "period_start", "period_end", "currency"),
    *("record", "position", *LINE_COLUMNS),
)

Row = dict[str, object]


def rows(kind: str, documents: Sequence[Document], *, with_head: bool) -> bytes:
    """The records of some documents for the table of a kind; a table has its head once."""
    if kind == "ndjson":
        return b"".join(map(_ndjson, documents))
    if kind == "focus":
        text = focus.as_csv(row for document in documents for row in _focus(document))
    else:
        text = _as_csv(row for document in documents for row in _csv(document))
    return text if with_head else text.partition(b"\r\n")[2]


def _sort(document: Document) -> str:
    return "invoice" if isinstance(document, InvoiceView) else "credit_note"


def _ndjson(document: Document) -> bytes:
    return b'{"document":"%b",' % _sort(document).encode() + msgspec.json.encode(document)[1:] + b"\n"


def _focus(document: Document) -> Iterator[focus.Record]:
    return focus.records(document) if isinstance(document, InvoiceView) else note_focus.records(document)


def _as_csv(records: Iterator[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for record in records:
        writer.writerow([cell(record.get(column, "")) for column in CSV_COLUMNS])
    return text.getvalue().encode()


def _csv(document: Document) -> Iterator[Row]:
    if isinstance(document, InvoiceView):
        same: Row = {"document": "invoice", "issued_at": _text(document.finalized_at), "corrects": ""}
        for record in invoice_csv.records(document):
            yield {**same, **record}
        return
    same = {
        "document": "credit_note",
        "corrects": document.invoice.number,
        "period_start": _text(document.period.start),
        "period_end": _text(document.period.end),
    }
    for record in note_csv.records(document):
        taken: Row = {name: _negative(str(record[name])) for name in ("quantity", "amount") if name in record}
        yield {**same, **record, **taken}


def _text(value: object) -> object:
    """As JSON has it."""
    return msgspec.to_builtins(value)


def _negative(number: str) -> str:
    return number if number == "0" else f"-{number}".removeprefix("--")
