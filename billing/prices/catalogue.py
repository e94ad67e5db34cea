"""What everything costs at an instant, for people to look at. Pure."""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime

import msgspec

from billing.prices.kept import kept
from pricing import money
from pricing.book import Book
from pricing.charge import Price
from pricing.entries import BEGINNING, END
from pricing.rating import price_list

ANY_MODEL = "*"
"""Stands for the fees of hosted tools, which cost the same with every model."""


class PriceView(msgspec.Struct, frozen=True, kw_only=True):
    """One price in force: the official one, and ours, which is official × multiplier. Dollars for one `unit`."""

    model: str
    dimension: str
    variant: str
    unit: str
    unit_size: int
    official_unit_price: str
    multiplier: str
    unit_price: str
    entry: str
    source: str


def prices(book: Book, models: Iterable[str], at: datetime, multiplier: str) -> list[PriceView]:
    """The prices in force at an instant of each of the models. Raises Unpriced for an unknown one."""
    return [_view(price) for model in models for price in price_list(book, model, at=at, multiplier=multiplier)]


def last_change(book: Book, at: datetime) -> datetime:
    """The last instant up to this one at which any price began or ended: prices then are prices now.

    There are some seventy of them, so what is made for each can be kept, whatever instants are asked for.
    """
    changes = _changes(book)
    return changes[bisect_right(changes, at) - 1]


@kept
def _changes(book: Book) -> list[datetime]:
    spans = [(row.since, row.until) for row in book.entries()] + [(row.since, row.until) for row in book.aliases]
    return sorted({BEGINNING, *(instant for span in spans for instant in span)} - {END})


def offered(book: Book, at: datetime) -> list[str]:
    """The names a request may be made under at an instant: priced then, and neither another spelling of a name nor
    the base of fine-tuned models, whose own names go on after it."""
    spellings = {alias.alias for alias in book.aliases if alias.kind == "spelling"}
    names = (name for name in book.models if name not in spellings and not name.startswith("ft:"))
    return [name for name in names if book.in_force(name, at)]


def _view(price: Price) -> PriceView:
    return PriceView(
        model=price.model,
        dimension=price.dimension,
        variant=price.variant,
        unit=price.unit,
        unit_size=price.unit_size,
        official_unit_price=price.official,
        multiplier=price.multiplier,
        unit_price=money.format(price.amount(price.unit_size)),
        entry=price.entry,
        source=price.source,
    )
