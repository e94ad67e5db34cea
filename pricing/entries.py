"""The rows of the price book as checked values: reading CSV tables, every fault named by file and line.

A table is reviewed by a person in a diff: one row a line, exact decimals, sources by key. docs/pricing.md describes
the columns. Nothing here decides what a request costs; book.py does.
"""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from hashlib import sha256
from itertools import pairwise

import msgspec

from pricing import money, units

PRICE_COLUMNS = (
    *("model", "dimension", "tier", "context", "unit", "price"),
    *("effective_from", "effective_to", "confidence", "source", "checked", "note"),
)
ALIAS_COLUMNS = ("alias", "model", "kind", "effective_from", "effective_to", "source", "note")
SOURCE_COLUMNS = ("key", "citation")
LIFECYCLE_COLUMNS = ("model", "shutdown", "source")
QUESTION_COLUMNS = ("model", "dimension", "since", "question", "meanwhile")

CONFIDENCES = ("A", "B", "C")
"""A: an official page shows it; B: two machine-readable sources agree; C: one source. Nothing is billed from memory."""
ALIAS_KINDS = ("snapshot", "rate_card", "spelling")
ANY_MODEL = "*"
BEGINNING = datetime.min.replace(tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)

Key = tuple[str, str, str, str]
"""model, dimension, tier, context: what has one price at any instant."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One dated price: in force at every instant of [since, until), midnights UTC.

    An empty effective_from is since ever, an empty effective_to is until the next entry of the same key begins:
    `until` is when it ends, `effective_to` what the table says.
    """

    layer: str
    key: Key
    unit: str
    price: str
    since: datetime
    until: datetime
    effective_to: str
    confidence: str
    source: str
    checked: date
    note: str
    place: str

    @property
    def id(self) -> str:
        """Stable and readable: `gpt-4o/output|batch@2026-10-14`, `published:gpt-4-turbo/output@2024-04-09`."""
        model, dimension, tier, context = self.key
        layer = "" if self.layer == "official" else f"{self.layer}:"
        began = "launch" if self.since == BEGINNING else f"{self.since:%Y-%m-%d}"
        return f"{layer}{model}/{'|'.join(filter(None, (dimension, tier, context)))}@{began}"

    def content(self) -> list[str]:
        """What may never change once published: all that decides an amount, and the evidence for it."""
        return [
            *(self.layer, *self.key, self.unit, self.price),
            *(_day(self.since), self.effective_to, self.confidence, self.source),
        ]

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits over the content: a published entry keeps them for ever."""
        return sha256(msgspec.json.encode(self.content())).hexdigest()[:16]


class Alias(msgspec.Struct, frozen=True, gc=False):
    """A name that stands for a model during [since, until).

    A `snapshot` is the very model, so either name may carry its prices; a `rate_card` is another model at the same
    prices; a `spelling` is how some upstream or Azure writes the name.
    """

    alias: str
    model: str
    kind: str
    since: datetime
    until: datetime
    place: str

    def content(self) -> list[str]:
        return [self.alias, self.model, self.kind, _day(self.since), _day(self.until)]


class Question(msgspec.Struct, frozen=True):
    """What is not known about a price, and what the book does meanwhile: it says so and does not guess."""

    model: str
    dimension: str
    since: date
    question: str
    meanwhile: str


class Table:
    """One CSV file: its rows, and the faults found in them."""

    def __init__(self, file: str, text: str, columns: tuple[str, ...], faults: list[str]) -> None:
        self.file = file
        self.faults = faults
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        self._rows = self._checked(reader, columns)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and cells of each row of the right width."""
        return self._rows

    def fault(self, line: int, sentence: str) -> None:
        self.faults.append(f"{self.file}:{line}: {sentence}")

    def _checked(self, reader: Iterator[list[str]], columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
        line = 0
        try:
            for line, cells in enumerate(reader, 1):
                if line == 1:
                    if tuple(cells) != columns:
                        self.fault(line, f"the columns must be {','.join(columns)}.")
                        return
                elif len(cells) != len(columns):
                    self.fault(line, f"{len(cells)} cells instead of {len(columns)}.")
                elif any(cell != cell.strip() or "\n" in cell for cell in cells):
                    self.fault(line, "a cell begins or ends with a blank or contains a line break.")
                else:
                    yield line, cells
        except csv.Error as error:
            self.fault(line + 1, f"not CSV: {error}.")


def read_prices(table: Table, layer: str, citations: dict[str, str] | None) -> list[Entry]:
    """The entries of one table. A source is keys of the sources table, apart by blanks; any text without that table."""
    entries = []
    for line, cells in table:
        model, dimension, tier, context, unit, price, since, until, confidence, source, checked, note = cells
        faults = [
            *_faults_of_key(model, dimension, tier, context),
            *_faults_of_price(dimension, unit, price),
            *_faults_of_dates(since, until),
            *_faults_of_evidence(confidence, source, checked, citations),
        ]
        for sentence in faults:
            table.fault(line, sentence)
        if not faults:
            key = (model, dimension, tier, context)
            cited = " ; ".join(citations[part] for part in source.split()) if citations is not None else source
            place = f"{table.file}:{line}"
            dates = (_instant(since, BEGINNING), _instant(until, END))
            day = date.fromisoformat(checked)
            entries.append(Entry(layer, key, unit, price, *dates, until, confidence, cited, day, note, place))
    return entries


def read_aliases(table: Table) -> list[Alias]:
    aliases = []
    for line, (alias, model, kind, since, until, source, _note) in table:
        faults = _faults_of_dates(since, until)
        if not alias or not model or alias == model:
            faults.append("an alias and another name are needed.")
        if kind not in ALIAS_KINDS:
            faults.append(f"the kind {kind!r} is none of {', '.join(ALIAS_KINDS)}.")
        if kind == "spelling" and (since or until):
            faults.append("another spelling has no dates.")
        if not source:
            faults.append("a source is needed.")
        for sentence in faults:
            table.fault(line, sentence)
        if not faults:
            place = f"{table.file}:{line}"
            aliases.append(Alias(alias, model, kind, _instant(since, BEGINNING), _instant(until, END), place))
    return aliases


def read_sources(table: Table) -> dict[str, str]:
    citations: dict[str, str] = {}
    for line, (key, citation) in table:
        if not key or not citation or " " in key:
            table.fault(line, "a key without blanks and a citation are needed.")
        elif key in citations:
            table.fault(line, f"the source {key} is there twice.")
        else:
            citations[key] = citation
    return citations


def read_lifecycle(table: Table) -> dict[str, date]:
    """Model → day of its shutdown upstream. It informs: an old bill and another upstream still need the price."""
    shutdowns: dict[str, date] = {}
    for line, (model, shutdown, _source) in table:
        if model in shutdowns:
            table.fault(line, f"{model} is there twice.")
        elif shutdown and _day_or_none(shutdown) is None:
            table.fault(line, f"{shutdown!r} is not a date such as 2026-11-23.")
        elif shutdown:
            shutdowns[model] = date.fromisoformat(shutdown)
    return shutdowns


def read_questions(table: Table) -> list[Question]:
    questions = []
    for line, (model, dimension, since, question, meanwhile) in table:
        if not (model and question and meanwhile) or _day_or_none(since) is None:
            table.fault(line, "a model, a date, a question and what the book does meanwhile are needed.")
        else:
            questions.append(Question(model, dimension, date.fromisoformat(since), question, meanwhile))
    return questions


def follow_each_other(entries: list[Entry], faults: list[str]) -> dict[Key, tuple[Entry, ...]]:
    """Entries by key in order of time, each closed where the next begins; overlaps are faults."""
    by_key: dict[Key, list[Entry]] = {}
    for entry in entries:
        by_key.setdefault(entry.key, []).append(entry)
    return {key: _in_sequence(found, faults) if len(found) > 1 else (found[0],) for key, found in by_key.items()}


def _in_sequence(entries: list[Entry], faults: list[str]) -> tuple[Entry, ...]:
    entries = sorted(entries, key=lambda entry: entry.since)
    closed = []
    for entry, following in pairwise(entries):
        if entry.since == following.since or (entry.until != END and entry.until > following.since):
            faults.append(f"{following.place}: {following.id} overlaps {entry.id} of {entry.place}.")
        closed.append(msgspec.structs.replace(entry, until=min(entry.until, following.since)))
    return (*closed, entries[-1])


def _faults_of_key(model: str, dimension: str, tier: str, context: str) -> list[str]:
    faults = []
    if not model:
        faults.append("a model is needed.")
    if model == ANY_MODEL and not dimension.startswith("tool:"):
        faults.append("only the fee of a tool may hold for every model.")
    if tier not in units.TIERS:
        faults.append(f"the tier {tier!r} is not known.")
    if context not in units.CONTEXTS:
        faults.append(f"the context {context!r} is not known.")
    return faults


def _faults_of_price(dimension: str, unit: str, price: str) -> list[str]:
    faults = []
    thing = "image" if units.is_information(dimension) else units.thing_counted(dimension)
    if dimension in (units.REQUEST, units.DURATION):  # what a request may use, but no table may price
        thing = None
    if thing is None:
        faults.append(f"the dimension {dimension!r} is not known.")
    if unit not in units.UNITS:
        faults.append(f"the unit {unit!r} is not known.")
    elif thing is not None and units.UNITS[unit].thing != thing:
        faults.append(f"the unit {unit} does not count what {dimension} is, a {thing}.")
    try:
        if money.parse(price) < 0:
            faults.append(f"the price {price} is below zero.")
    except money.MoneyError as error:
        faults.append(f"the price: {error}")
    return faults


def _faults_of_dates(since: str, until: str) -> list[str]:
    faults = [f"{day!r} is not a date such as 2026-11-23." for day in (since, until) if day and not _day_or_none(day)]
    if not faults and since and until and since >= until:
        faults.append(f"effective_to {until} is not after effective_from {since}.")
    return faults


def _faults_of_evidence(confidence: str, source: str, checked: str, citations: dict[str, str] | None) -> list[str]:
    unknown = [] if citations is None else [key for key in source.split() if key not in citations]
    faults = [f"the source {key!r} is not in the sources table." for key in unknown]
    if not source:
        faults.append("a source is needed.")
    if confidence not in CONFIDENCES:
        faults.append(f"the confidence {confidence!r} is none of {', '.join(CONFIDENCES)}: it may not be billed from.")
    if _day_or_none(checked) is None:
        faults.append(f"checked {checked!r} is not a date such as 2026-11-23.")
    return faults


def _day_or_none(text: str) -> date | None:
    """The date, written YYYY-MM-DD and in no other of ISO's ways."""
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


def _instant(day: str, otherwise: datetime) -> datetime:
    return datetime.combine(date.fromisoformat(day), time.min, UTC) if day else otherwise


def _day(instant: datetime) -> str:
    return "" if instant in (BEGINNING, END) else f"{instant:%Y-%m-%d}"
