"""The price list as people read it: models in sections, each with the rows of its prices. Pure; pages.py draws it.

Names that cost the same and stand for one another (an alias and its snapshot) share an item. A price by tokens has a
place in a grid of kinds of token × columns; any other price is a line of its own.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from billing.prices.catalogue import ANY_MODEL
from billing.prices.kinds import KINDS, Kind, kind_of
from pricing import money
from pricing.book import Book
from pricing.charge import Price, recompute
from pricing.rating import price_list

COLUMNS = ("input", "cached", "write", "output")

# Dimension → kind of token and column.
PLACES = {
    "input": ("text", "input"),
    "cached_input": ("text", "cached"),
    "cache_write": ("text", "write"),
    "output": ("text", "output"),
    "cache_write_12h": ("cache_12h", "write"),
    "input_audio": ("audio", "input"),
    "cached_input_audio": ("audio", "cached"),
    "output_audio": ("audio", "output"),
    "input_image": ("image", "input"),
    "cached_input_image": ("image", "cached"),
    "output_image": ("image", "output"),
}
TOKENS = ("text", "cache_12h", "audio", "image")
LONG = ">272k"
TIERS = ("", "batch", "flex", "priority", "ultrafast")


class Cost(NamedTuple):
    """One price: ours and the official one, in dollars for the unit, and for a thousand where that is another unit."""

    ours: str
    official: str
    ours_1k: str = ""
    official_1k: str = ""


class Row(NamedTuple):
    """The prices of one kind of token in one tier, by column."""

    token: str
    tier: str
    long: bool
    costs: dict[str, Cost]


class Flat(NamedTuple):
    """One price that is not by the token: `what` is a dimension and what varies within it."""

    what: str
    detail: str
    unit: str
    cost: Cost
    models: tuple[str, ...] = ()


class Item(NamedTuple):
    """A model: its name, the names that cost the same because they stand for it, and its prices.

    `shutdown` is the day OpenAI ends or ended it; `listed` the prices of OpenAI's list that ours are not half of.
    """

    name: str
    others: tuple[str, ...]
    kind: Kind
    rows: list[Row]
    flats: list[Flat]
    shutdown: str
    gone: bool
    listed: list[tuple[str, str]]
    questions: tuple[int, ...]


class Question(NamedTuple):
    number: int
    model: str
    dimension: str
    question: str
    meanwhile: str


class Board(NamedTuple):
    sections: dict[Kind, list[Item]]
    tools: list[Flat]
    questions: list[Question]


def board(book: Book, at: datetime, multiplier: str) -> Board:
    """Everything with a price at an instant."""
    lists = {name: price_list(book, name, at=at, multiplier=multiplier) for name in book.models}
    lists = {name: found for name, found in lists.items() if found}
    questions = [
        Question(number, each.model, each.dimension, each.question, each.meanwhile)
        for number, each in enumerate((q for q in book.questions if q.since <= at.date()), 1)
    ]
    items = [_item(book, names, lists[names[0]], at, questions) for names in _grouped(book, lists, at)]
    sections = {kind: sorted((item for item in items if item.kind == kind), key=_order) for kind in KINDS}
    anywhere = price_list(book, ANY_MODEL, at=at, multiplier=multiplier)
    return Board(sections, _tools(anywhere, items, lists), questions)


def _grouped(book: Book, lists: dict[str, tuple[Price, ...]], at: datetime) -> list[list[str]]:
    """Names by what they stand for and what they cost; the shortest name of each group first."""
    spelled = {alias.alias: alias.model for alias in book.aliases if alias.kind == "spelling"}
    groups: dict[object, list[str]] = {}
    for name in sorted(lists, key=_shortest):
        root = min(book.stand_ins(spelled.get(name, name), at), key=_shortest)
        costs = tuple((price.dimension, price.variant, price.unit, price.official) for price in lists[name])
        groups.setdefault((root, costs), []).append(name)
    return list(groups.values())


def _shortest(name: str) -> tuple[int, str]:
    return len(name), name


def _item(book: Book, names: list[str], prices: tuple[Price, ...], at: datetime, questions: list[Question]) -> Item:
    shutdown = next((book.lifecycle[name] for name in names if name in book.lifecycle), None)
    models = {*names, *book.stand_ins(names[0], at)}
    return Item(
        name=names[0],
        others=tuple(names[1:]),
        kind=kind_of(names[0], {price.dimension for price in prices}),
        rows=_rows(prices),
        flats=[_flat(price) for price in prices if price.dimension not in PLACES and not _is_tool(price)],
        shutdown=shutdown.isoformat() if shutdown else "",
        gone=shutdown is not None and shutdown <= at.date(),
        listed=list(_off_list(book, names[0], at)),
        questions=tuple(question.number for question in questions if question.model in models),
    )


def _rows(prices: Iterable[Price]) -> list[Row]:
    found: dict[tuple[int, bool, int], Row] = {}
    for price in prices:
        if price.dimension in PLACES:
            token, column = PLACES[price.dimension]
            long = price.variant.endswith(LONG)
            tier = price.variant.removesuffix(LONG).rstrip("|")
            place = (TIERS.index(tier), long, TOKENS.index(token))
            found.setdefault(place, Row(token, tier, long, {})).costs[column] = _cost(price)
    return [found[place] for place in sorted(found)]


def _flat(price: Price, models: tuple[str, ...] = ()) -> Flat:
    return Flat(price.dimension, price.variant, price.unit, _cost(price), models)


def _tools(anywhere: Iterable[Price], items: list[Item], lists: dict[str, tuple[Price, ...]]) -> list[Flat]:
    """The fees of tools, each first as it is for every model, then for the models that have their own."""
    general = {(price.dimension, price.official) for price in anywhere}
    own: dict[tuple[str, str, str], tuple[Price, list[str]]] = {}
    for item in items:
        for price in lists[item.name]:
            if _is_tool(price) and (price.dimension, price.official) not in general:
                _, models = own.setdefault((price.dimension, price.variant, price.official), (price, []))
                models.append(item.name)
    flats = [*map(_flat, anywhere), *(_flat(price, tuple(sorted(models))) for price, models in own.values())]
    return sorted(flats, key=lambda flat: (flat.what, bool(flat.models), flat.cost))


def _is_tool(price: Price) -> bool:
    return price.dimension.startswith("tool:")


def _off_list(book: Book, name: str, at: datetime) -> Iterator[tuple[str, str]]:
    """Where a published or local price wins over OpenAI's list and differs from it: its dimension, and the list's."""
    official = book.layers[-1]
    for entry in book.in_force(name, at):
        for listed in official.get(entry.key, ()):
            if entry.layer != "official" and listed.since <= at < listed.until and listed.price != entry.price:
                yield entry.key[1], dollars(money.parse(listed.price))


def _cost(price: Price) -> Cost:
    ours, official = price.amount(price.unit_size), money.parse(price.official)
    if price.unit_size != 1_000_000:
        return Cost(dollars(ours), dollars(official))
    thousand = recompute(1_000, price.official, price.unit_size, "1")
    return Cost(dollars(ours), dollars(official), dollars(price.amount(1_000)), dollars(thousand))


def dollars(picos: int) -> str:
    """`$1.25`, `$0.000625`: every decimal there is, and at least two."""
    whole, _, decimals = money.format(picos).partition(".")
    return f"${int(whole):,}.{decimals.ljust(2, '0')}"


_FAMILIES = ("gpt-realtime", "gpt-live", "gpt-audio", "gpt-transcribe", "gpt-", "ft:gpt-", "o", "ft:o")
_VERSION = re.compile(r"(\d+)(?:\.(\d+))?", re.ASCII)


def _order(item: Item) -> tuple[bool, int, int, int, str]:
    """What can be asked for first, then the newest; within a version by name."""
    family = next((rank for rank, beginning in enumerate(_FAMILIES) if item.name.startswith(beginning)), len(_FAMILIES))
    version = _VERSION.search(item.name)
    major, minor = version.groups("0") if version else ("0", "0")
    return item.gone, family, -int(major), -int(minor), item.name
