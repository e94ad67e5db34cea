"""The kinds of file an invoice comes as; each is printed from the same view."""

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

from billing.invoices.formats import csv, en16931, focus, html, json, pdf
from billing.invoices.view import InvoiceView
from billing.prices.words import Language


class Format(NamedTuple):
    """A kind of file an invoice comes as. One for people is `read` in a browser, in the language asked for."""

    media_type: str
    print: Callable[[InvoiceView, Language], bytes]
    read: bool = False
    policy: str | None = None

    @property
    def disposition(self) -> str:
        return "inline" if self.read else "attachment"


def _data(media_type: str, printed: Callable[[InvoiceView], bytes]) -> Format:
    return Format(media_type, lambda shown, _language: printed(shown))


FORMATS = MappingProxyType(
    {
        "json": _data("application/json", json.document),
        "csv": _data("text/csv", csv.lines),
        "ndjson": _data("application/x-ndjson", json.line),
        "html": Format("text/html", html.document, read=True, policy=html.POLICY),
        "pdf": Format("application/pdf", pdf.document, read=True),
        "focus.csv": _data("text/csv", focus.table),
        "focus.ndjson": _data("application/x-ndjson", focus.lines),
        "xml": _data("application/xml", en16931.document),
    }
)
