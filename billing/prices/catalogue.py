"""What everything costs at an instant, for people to look at. Pure."""

from collections.abc import Iterable
from datetime import date, datetime
from functools import cache

import msgspec

from pricing import money
from pricing.book import Book
from pricing.charge import recompute
from pricing.entries import ANY_MODEL, BEGINNING, Entry
from pricing.units import is_information


class PriceView(msgspec.Struct, frozen=True, kw_only=True):
    """One price in force: the official one, and ours, which is official × multiplier. Dollars for one `unit`."""

    model: str
    dimension: str
    tier: str
    context: str
    unit: str
    official_unit_price: str
    multiplier: str
    unit_price: str
    entry: str
    source: str
    effective_from: date | None


def prices(book: Book, models: Iterable[str], at: datetime, multiplier: str) -> list[PriceView]:
    """The prices in force at an instant, by model and dimension, in the order in which they were named."""
    return [
        _view(model, entry, multiplier)
        for model in models
        for key in _keys(book, model, at)
        if (entry := book.find(model, *key, at)) is not None and not is_information(key[0])
    ]


def _keys(book: Book, model: str, at: datetime) -> list[tuple[str, str, str]]:
    keyed = _keys_by_model(book)
    found = {key for name in (*book.stand_ins(model, at), ANY_MODEL) for key in keyed.get(name, ())}
    return sorted(found, key=lambda key: (key[1], key[2], key[0].startswith("tool:"), key[0]))


@cache
def _keys_by_model(book: Book) -> dict[str, set[tuple[str, str, str]]]:
    keyed: dict[str, set[tuple[str, str, str]]] = {}
    for entry in book.entries():
        keyed.setdefault(entry.key[0], set()).add(entry.key[1:])
    return keyed


def _view(model: str, entry: Entry, multiplier: str) -> PriceView:
    _, dimension, tier, context = entry.key
    return PriceView(
        model=model,
        dimension=dimension,
        tier=tier,
        context=context,
        unit=entry.unit,
        official_unit_price=entry.price,
        multiplier=multiplier,
        unit_price=money.format(recompute(1, entry.price, 1, multiplier)),
        entry=entry.id,
        source=entry.source,
        effective_from=None if entry.since == BEGINNING else entry.since.date(),
    )
