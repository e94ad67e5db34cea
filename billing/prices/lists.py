"""Every price there is, as JSON and as CSV: the content of GET /v1/prices."""

import csv
import io
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal

import msgspec

from billing.pages import Listing
from billing.prices.catalogue import ANY_MODEL, PriceView, prices
from billing.prices.documents import Document, document
from billing.prices.kept import kept
from pricing.book import Book

Form = Literal["json", "csv"]

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


@kept
def everything(book: Book, multiplier: str, since: datetime, form: Form) -> Document:
    """All prices from one change of the book (`catalogue.last_change`) to the next."""
    return listing(prices(book, [*book.models, ANY_MODEL], since, multiplier), "/v1/prices", form)


def listing(found: list[PriceView], url: str, form: Form) -> Document:
    media_type, write = FORMS[form]
    return document(write(found, url), media_type)


def as_json(found: list[PriceView], url: str) -> bytes:
    return msgspec.json.encode(Listing(url=url, has_more=False, data=found))


def as_csv(found: Iterable[PriceView], _url: str) -> bytes:
    """RFC 4180 in UTF-8; a text that a spreadsheet would compute gets an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(PriceView.__struct_fields__)
    writer.writerows(map(_cell, msgspec.structs.astuple(price)) for price in found)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


FORMS: dict[Form, tuple[str, Callable[[list[PriceView], str], bytes]]] = {
    "json": ("application/json", as_json),
    "csv": ("text/csv", as_csv),
}
