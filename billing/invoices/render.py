"""The kinds of file an invoice comes as; each is printed from the same view."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from billing.invoices.formats import csv, en16931, focus, html, json, pdf
from billing.invoices.view import InvoiceView
from billing.prices.words import Language

Shown = TypeVar("Shown")


class Format(NamedTuple, Generic[Shown]):
    """A kind of file an invoice or a credit note comes as. One for people is `read` in a browser, in a language."""

    media_type: str
    print: Callable[[Shown, Language], bytes]
    read: bool = False
    policy: str | None = None

    @property
    def disposition(self) -> str:
        return "inline" if self.read else "attachment"


def data(media_type: str, printed: Callable[[Shown], bytes]) -> Format[Shown]:
    return Format(media_type, lambda shown, _language: printed(shown))


FORMATS: Mapping[str, Format[InvoiceView]] = MappingProxyType(
    {
        "json": data("application/json", json.document),
        "csv": data("text/csv", csv.lines),
        "ndjson": data("application/x-ndjson", json.line),
        "html": Format("text/html", html.document, read=True, policy=html.POLICY),
        "pdf": Format("application/pdf", pdf.document, read=True),
        "focus.csv": data("text/csv", focus.table),
        "focus.ndjson": data("application/x-ndjson", focus.lines),
        "xml": data("application/xml", en16931.document),
    }
)
