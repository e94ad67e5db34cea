"""Checks of the whole book that a person runs before trusting it: everything is reported, nothing is changed.

`load` already refuses a book whose structure is wrong. What is reported here can be right and still needs a look:
gaps in time, prices that are not half of the list, rows nobody checked lately, open questions, drift from other lists.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from pricing import money
from pricing.book import TABLES, Book
from pricing.entries import Entry, Table
from pricing.errors import BookError
from pricing.units import UNITS

STALE_DAYS = 120
DISAGREEMENT_COLUMNS = ("model", "dimension", "source", "seen", "theirs", "reason")

Peer = Mapping[tuple[str, str, str, str], Fraction]
"""Another price list: model, dimension, tier, context → dollars for one token, second, image or call."""


class Finding(NamedTuple):
    """One thing to look at: the kind of check, what it is about, a sentence, and the reason if it is known."""

    check: str
    subject: str
    sentence: str
    reason: str = ""


def findings(book: Book, today: date, *, stale_days: int = STALE_DAYS) -> list[Finding]:
    """Every finding that needs nothing but the book and the date."""
    return [*gaps(book), *off_list(book), *stale(book, today, stale_days), *open_questions(book, today)]


def gaps(book: Book) -> list[Finding]:
    """Spans of time between two entries of the same key in which a request would be unpriced."""
    return [
        Finding("gap", later.id, f"Between {earlier.until:%Y-%m-%d} and {later.since:%Y-%m-%d} there is no price.")
        for layer in book.layers
        for sequence in layer.values()
        for earlier, later in pairwise(sequence)
        if earlier.until < later.since
    ]


def off_list(book: Book) -> list[Finding]:
    """Prices that win over the official one and differ from it: half of them is not half of the list."""
    *winning, official = book.layers
    return [
        finding
        for layer in winning
        for sequence in layer.values()
        for entry in sequence
        for listed in official.get(entry.key, ())
        if listed.since < entry.until and entry.since < listed.until
        for finding in _off_list(entry, listed)
    ]


def _off_list(entry: Entry, listed: Entry) -> list[Finding]:
    ratio = _exact(entry) / _exact(listed) if _exact(listed) else None
    if ratio == 1 or _exact(entry) == _exact(listed):
        return []
    side = "below" if _exact(entry) < _exact(listed) else "above"
    percent = "" if ratio is None else f" ({float(ratio):.1%} of it)"
    sentence = f"{entry.price} for {entry.unit} is {side} the official {listed.price}{percent}: half of it sells "
    return [Finding("off-list", entry.id, f"{sentence}{side} half of the list.", entry.note)]


def stale(book: Book, today: date, stale_days: int = STALE_DAYS) -> list[Finding]:
    """Prices in force that nobody has compared with their source for too long."""
    now, since = midnight(today), today - timedelta(days=stale_days)
    return [
        Finding("stale", entry.id, f"Last checked on {entry.checked}, more than {stale_days} days ago.")
        for entry in book.entries()
        if entry.since <= now < entry.until and entry.checked < since
        if book.lifecycle.get(entry.key[0], date.max) > today
    ]


def open_questions(book: Book, today: date) -> list[Finding]:
    """What is not known about prices in force today."""
    return [
        Finding("question", f"{question.model}/{question.dimension}", question.question, question.meanwhile)
        for question in book.questions
        if question.since <= today
    ]


def drift(book: Book, peer: Peer, source: str, today: date) -> list[Finding]:
    """Where another list says something else about a price in force today; a development tool.

    `source` names the list as the disagreements table does; a disagreement known there carries its reason. Models that
    only the other list has are not findings.
    """
    known, now = disagreements(), midnight(today)
    found = []
    for key, theirs in sorted(peer.items()):
        model, *place = key
        sequence = book.layers[-1].get(key, ())
        for entry in sequence:
            told = _per_unit(theirs, entry)
            if entry.since <= now < entry.until and money.parse(told) != money.parse(entry.price):
                reason = known.get((model, "|".join(filter(None, place)), source, told), "")
                sentence = f"{source} has {told} for {entry.unit} where the book has {entry.price}."
                found.append(Finding("drift", entry.id, sentence, reason))
    return found


def disagreements() -> dict[tuple[str, str, str, str], str]:
    """Known differences from other lists: model, dimension, source, their price → why ours stands."""
    faults: list[str] = []
    file = "disagreements.csv"
    table = Table(file, (TABLES / file).read_text("utf-8"), DISAGREEMENT_COLUMNS, faults)
    known = {
        (model, dimension, source, theirs): reason for _, (model, dimension, source, _seen, theirs, reason) in table
    }
    if faults:
        raise BookError(faults)
    return known


def _exact(entry: Entry) -> Fraction:
    """Dollars for one thing counted."""
    return Fraction(entry.price) / UNITS[entry.unit].size


def _per_unit(amount: Fraction, entry: Entry) -> str:
    """Dollars for one thing as dollars for the unit of an entry, in at most twelve decimals."""
    picos = amount * UNITS[entry.unit].size * money.PICOS_PER_DOLLAR
    return money.format(money.round_half_away(picos.numerator, picos.denominator))


def midnight(day: date) -> datetime:
    """The instant a day begins in the book: its dates are days in UTC."""
    return datetime.combine(day, time.min, UTC)
