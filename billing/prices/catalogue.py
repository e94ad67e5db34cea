"""What everything costs at an instant, for people to look at. Pure."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from pricing import money
from pricing.book import Book
from pricing.charge import Price
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
