"""The kinds of file an invoice comes as; each is printed from the same view."""

from collections.abc import Callable
from typing import NamedTuple

from billing.invoices.formats import csv, json
from billing.invoices.view import InvoiceView


class Format(NamedTuple):
    """A kind of file an invoice comes as."""

    media_type: str
    print: Callable[[InvoiceView], bytes]


FORMATS = {
    "json": Format("application/json", json.document),
    "csv": Format("text/csv", csv.lines),
    "ndjson": Format("application/x-ndjson", json.line),
}
