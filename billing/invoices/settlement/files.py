"""The kinds of file a credit note comes as, each printed from the same view. Pure."""

import csv
import io
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec

from billing.invoices.formats import en16931, html, pdf
from billing.invoices.formats.csv import cell, corrected
from billing.invoices.render import Format, data
from billing.invoices.settlement import focus
from billing.invoices.settlement.views import CreditLineView, CreditNoteView

SAME_COLUMNS = ("number", "account", "customer", "invoice", "issued_at", "currency", "record")
LINE_COLUMNS = CreditLineView.__struct_fields__
TOTALS = ("subtotal", "tax", "tax_included", "total")


def as_json(note: CreditNoteView) -> bytes:
    return msgspec.json.format(msgspec.json.encode(note), indent=2) + b"\n"


def as_ndjson(note: CreditNoteView) -> bytes:
    return msgspec.json.encode(note) + b"\n"


def as_csv(note: CreditNoteView) -> bytes:
    """RFC 4180 in UTF-8: a header, then one record for each line, tax and total; `record` says which it is."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow((*SAME_COLUMNS, *LINE_COLUMNS))
    for record in records(note):
        writer.writerow([cell(record.get(column, "")) for column in (*SAME_COLUMNS, *LINE_COLUMNS)])
    return text.getvalue().encode()


def records(note: CreditNoteView) -> Iterator[dict[str, object]]:
    """A dict for each line, tax and total."""
    document = msgspec.to_builtins(note)
    same = {name: document[name] for name in ("number", "account", "currency", "issued_at")}
    same |= {"customer": note.customer.name, "invoice": note.invoice.number}
    for line in document["lines"]:
        yield {**same, "record": "line", **line, "correction_of": corrected(line)}
    for tax in note.taxes:
        yield {**same, "record": f"tax.{tax.name}", "amount": tax.amount}
    for name in TOTALS:
        yield {**same, "record": name, "amount": document[name]}


FORMATS: Mapping[str, Format[CreditNoteView]] = MappingProxyType(
    {
        "json": data("application/json", as_json),
        "csv": data("text/csv", as_csv),
        "ndjson": data("application/x-ndjson", as_ndjson),
        "html": Format("text/html", html.note, read=True, policy=html.POLICY),
        "pdf": Format("application/pdf", pdf.note, read=True),
        "focus.csv": data("text/csv", focus.table),
        "focus.ndjson": data("application/x-ndjson", focus.lines),
        "xml": data("application/xml", en16931.note),
    }
)
