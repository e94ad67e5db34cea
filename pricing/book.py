"""The price book: loaded once from CSV tables, validated as a whole, identified by a digest, asked by instant.

Three layers answer in this order: `local` (an operator's own file), `published` (what the platform's page quotes,
data/rates/README.md; it can be turned off), `official` (OpenAI's list). Within a layer the model's own entries come
before those of the names that stand for it at that instant.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from pricing import entries as rows
from pricing import names
from pricing.charge import Price, Rate
from pricing.entries import ANY_MODEL, Alias, Entry, Key, Question, Table
from pricing.errors import BookError

TABLES = Path(__file__).with_name("tables")
SHIPPED = {"published": "published.csv", "official": "openai.csv"}
Layer = dict[Key, tuple[Entry, ...]]


class Card:
    """One name the book knows: the instants at which any of its prices changes, and the rates made so far."""

    __slots__ = ("instants", "name", "rates")

    def __init__(self, name: str, instants: list[datetime]) -> None:
        self.name = name
        self.instants = instants
        self.rates: dict[tuple[Any, ...], Rate] = {}


class Book:
    """Every price there is. Immutable once loaded; what it keeps besides are rates already looked up."""

    def __init__(
        self,
        layers: tuple[Layer, ...],
        aliases: tuple[Alias, ...],
        lifecycle: dict[str, date],
        questions: tuple[Question, ...],
    ) -> None:
        self.layers = layers
        self.aliases = aliases
        self.lifecycle = lifecycle
        self.questions = questions
        self._spelled = {alias.alias: alias.model for alias in aliases if alias.kind == "spelling"}
        self._forward = _grouped(aliases, "alias")
        self._backward = _grouped((alias for alias in aliases if alias.kind == "snapshot"), "model")
        self._by_model = _grouped_by_model(layers)
        # What rating.py has made so far: one object for each price and rate, so that identity is equality.
        self.prices: dict[tuple[Any, ...], Price] = {}
        self.rates: dict[tuple[Price, ...], Rate] = {}
        self.anyone = Card(ANY_MODEL, [])
        self._cards: dict[str, Card] = {}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that decides an amount: every entry with its sources, every alias; not notes or comments."""
        content = sorted(entry.content() for entry in self.entries()), sorted(alias.content() for alias in self.aliases)
        return sha256(msgspec.json.encode(content)).hexdigest()

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Every name with a price, sorted: models, aliases and snapshots."""
        stand_ins = {alias.alias for alias in self.aliases} | {alias.model for alias in self.aliases}
        return tuple(sorted((set(self._by_model) | stand_ins) - {ANY_MODEL}))

    def entries(self) -> Iterator[Entry]:
        """Every entry of every layer, whatever it is in force for."""
        return (entry for layer in self.layers for sequence in layer.values() for entry in sequence)

    def card(self, name: str) -> Card | None:
        """The card of a model by any of its spellings, or None if the book does not know it."""
        found = self._cards.get(name)
        if found is not None:
            return found
        for spelling in names.spellings(name):
            known = self._spelled.get(spelling, spelling)
            if known in self._cards:
                return self._cards[known]
            if known in self._known:
                return self._cards.setdefault(known, Card(known, self._instants(known)))
        return None

    def overlaid(self, text: str, *, layer: str = "local", file: str = "local.csv") -> "Book":
        """A book in which the prices of this CSV text win over those of this book; raises `BookError`.

        The source of a row may be any text: an operator cites a contract, not our sources table. The new entries are
        named after the layer, and the digest is another one.
        """
        faults: list[str] = []
        added = rows.read_prices(Table(file, text, rows.PRICE_COLUMNS, faults), layer, None)
        top = rows.follow_each_other(added, faults)
        if faults:
            raise BookError(faults)
        return Book((top, *self.layers), self.aliases, self.lifecycle, self.questions)

    def nearest(self, name: str) -> tuple[str, ...]:
        """Known names most like this one."""
        return names.nearest(name, self.models)

    def find(self, name: str, dimension: str, tier: str, context: str, at: datetime) -> Entry | None:
        """The entry in force for one dimension at an instant, of the first layer that has one."""
        stand_ins = list(self.stand_ins(name, at))
        if dimension.startswith("tool:"):
            stand_ins.append(ANY_MODEL)
        for layer in self.layers:
            for model in stand_ins:
                for entry in layer.get((model, dimension, tier, context), ()):
                    if entry.since <= at < entry.until:
                        return entry
        return None

    def in_force(self, name: str, at: datetime) -> list[Entry]:
        """Every price of a model at an instant, one for each dimension, tier and context, sorted: its price list."""
        models = self.stand_ins(name, at)
        keys = {entry.key[1:] for model in models for entry in self._by_model.get(model, ())}
        found = (self.find(name, *key, at) for key in sorted(keys))
        return [entry for entry in found if entry is not None]

    def stand_ins(self, name: str, at: datetime | None = None) -> Iterator[str]:
        """The name itself, then each name whose prices are also its prices at an instant (or ever, without one)."""
        seen = {name}
        queue = [name]
        for model in queue:
            yield model
            ahead = ((alias, alias.model) for alias in self._forward.get(model, ()))
            behind = ((alias, alias.alias) for alias in self._backward.get(model, ()))
            for alias, other in (*ahead, *behind):
                if other not in seen and (at is None or alias.since <= at < alias.until):
                    seen.add(other)
                    queue.append(other)

    def history(self, name: str, dimension: str, tier: str = "", context: str = "") -> list[Entry]:
        """Every entry there ever was for one dimension, by layer, name and time."""
        models = (*self.stand_ins(name), ANY_MODEL)
        return [
            entry for layer in self.layers for m in models for entry in layer.get((m, dimension, tier, context), ())
        ]

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.models)

    def _instants(self, name: str) -> list[datetime]:
        """Every instant at which an answer of `find` may change for this name, in order."""
        models = (*self.stand_ins(name), ANY_MODEL)
        dated: list[Entry | Alias] = [entry for model in models for entry in self._by_model.get(model, ())]
        dated += [
            alias for model in models for alias in (*self._forward.get(model, ()), *self._backward.get(model, ()))
        ]
        return sorted({instant for row in dated for instant in (row.since, row.until)} - {rows.BEGINNING, rows.END})


def load(local: Path | None = None, *, published: bool = True) -> Book:
    """The shipped book, with an operator's own CSV of prices laid over it, and the published prices on or off.

    Reads files and raises `BookError` that names every fault of every table; never a book in part.
    """
    faults: list[str] = []
    citations = rows.read_sources(_shipped("sources.csv", rows.SOURCE_COLUMNS, faults))
    tables = [
        rows.read_prices(_shipped(file, rows.PRICE_COLUMNS, faults), layer, citations)
        for layer, file in SHIPPED.items()
        if published or layer != "published"
    ]
    aliases = rows.read_aliases(_shipped("aliases.csv", rows.ALIAS_COLUMNS, faults))
    layers = tuple(rows.follow_each_other(found, faults) for found in tables)
    faults += faults_of_aliases(aliases, layers)
    lifecycle = rows.read_lifecycle(_shipped("lifecycle.csv", rows.LIFECYCLE_COLUMNS, faults))
    questions = rows.read_questions(_shipped("questions.csv", rows.QUESTION_COLUMNS, faults))
    if faults:
        raise BookError(faults)
    book = Book(layers, tuple(aliases), lifecycle, tuple(questions))
    return book if local is None else book.overlaid(_text_of(local), file=local.name)


def faults_of_aliases(aliases: list[Alias], layers: tuple[Layer, ...]) -> list[str]:
    """Aliases that lead nowhere, in a circle, or to two models at once."""
    faults = []
    priced = {key[0] for layer in layers for key in layer}
    forward = _grouped(aliases, "alias")
    backward = _grouped(aliases, "model")
    for alias in aliases:
        reached = _reached(alias.model, forward)
        if alias.alias in reached:
            faults.append(f"{alias.place}: {alias.alias} leads back to itself.")
        elif not priced & (reached | {alias.alias, *(other.alias for other in backward[alias.model])}):
            faults.append(f"{alias.place}: {alias.alias} leads to {alias.model}, which has no price.")
    for named in forward.values():
        for first, second in pairwise(sorted(named, key=attrgetter("since"))):
            if first.until > second.since:
                faults.append(f"{second.place}: {second.alias} already leads to {first.model} by {first.place}.")
    return faults


def _reached(model: str, forward: dict[str, list[Alias]]) -> set[str]:
    """Every name that aliases lead to from this one, at any time, itself included."""
    reached = {model}
    queue = [model]
    for name in queue:
        further = {alias.model for alias in forward.get(name, ())} - reached
        reached |= further
        queue += further
    return reached


def _shipped(file: str, columns: tuple[str, ...], faults: list[str]) -> Table:
    return Table(file, (TABLES / file).read_text("utf-8"), columns, faults)


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BookError([f"{path.name}:1: cannot be read: {error}."]) from None


def _grouped(aliases: Iterable[Alias], field: str) -> dict[str, list[Alias]]:
    groups: dict[str, list[Alias]] = {}
    for alias in aliases:
        groups.setdefault(getattr(alias, field), []).append(alias)
    return groups


def _grouped_by_model(layers: tuple[Layer, ...]) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for layer in layers:
        for (model, *_), sequence in layer.items():
            groups.setdefault(model, []).extend(sequence)
    return groups
