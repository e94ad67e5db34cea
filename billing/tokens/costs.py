"""What a count costs: an interval of tokens is an interval of dollars, officially and here. Pure, and exact."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from pricing import money, usage
from pricing.book import Book
from pricing.errors import Unpriced, UsageError
from pricing.rating import rate_request
from pricing.tokens import Count, Counted
from pricing.units import LONG_CONTEXT_TOKENS
from pricing.usage import Usage

Span = tuple[str, str | None]
"""From and to, in dollars; nothing bounds it from above when the second is None."""

_OF_OUTPUT = ("output", "image")


class Cost(msgspec.Struct, frozen=True):
    official: Span
    ours: Span


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """The official price, and ours, which is official × multiplier; `output` is None when nothing is known of it."""

    currency: str = "USD"
    multiplier: str
    input: Cost
    output: Cost | None
    total: Cost


class Side(NamedTuple):
    """Picodollars, officially and here."""

    official: int
    ours: int


class Quantities(NamedTuple):
    """One end of the interval of a request: what is billed for its input and its output."""

    unit: str
    input: int
    output: int
    request: Mapping[str, Any]

    def usage(self) -> Usage:
        """As the API would report it. Raises UsageError when the request's details are not those of any picture."""
        return usage.of_counts(self.unit, self.input, self.output, self.request)


def priced(
    book: Book,
    model: str,
    counted: Counted,
    request: Mapping[str, Any],
    output_tokens: int | None,
    *,
    at: datetime,
    multiplier: str,
) -> Price | None:
    """What a request costs at an instant; None when its input could not be counted. Raises Unpriced."""
    if not isinstance(counted.input, Count):
        return None
    answer = _answer(counted, request, output_tokens)
    known = answer or Count(0, 0, 0)
    low = Quantities(counted.unit, counted.input.low, known.low, request)
    least = _cost(book, model, low, at, multiplier)
    most = _cost(book, model, _highest(low, counted.input, known), at, multiplier)
    bounded = (counted.input.high is not None, known.high is not None)
    ends = list(zip(least, most, (*bounded, all(bounded)), strict=True))
    return Price(
        multiplier=multiplier,
        input=_interval(*ends[0]),
        output=_interval(*ends[1]) if answer else None,
        total=_interval(*ends[2]),
    )


def _highest(low: Quantities, given: Count, answer: Count) -> Quantities:
    """The dearest end. An input that nothing bounds may be a long prompt, whose answer is dearer too."""
    unbounded = max(given.low, LONG_CONTEXT_TOKENS + 1)
    return low._replace(
        input=unbounded if given.high is None else given.high,
        output=answer.low if answer.high is None else answer.high,
    )


def _answer(counted: Counted, request: Mapping[str, Any], output_tokens: int | None) -> Count | None:
    """The output as it was counted; else as it was assumed: a length, or the number of pictures asked for."""
    if isinstance(counted.output, Count):
        return counted.output
    if counted.unit == "images":
        asked = request.get("n")
        output_tokens = asked if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0 else 1
    return None if output_tokens is None else Count(output_tokens, output_tokens, output_tokens)


def _cost(book: Book, model: str, quantities: Quantities, at: datetime, multiplier: str) -> tuple[Side, Side, Side]:
    """Input, output, and both together."""
    try:
        used = quantities.usage()
    except UsageError:
        raise Unpriced("No price is known for pictures of this number, size and quality.", model=model) from None
    official = rate_request(book, used, model=model, at=at, multiplier="1")
    ours = rate_request(book, used, model=model, at=at, multiplier=multiplier)
    both = list(zip(official.lines, ours.lines, strict=True))
    answer = [(a.amount, b.amount) for a, b in both if a.price.dimension in _OF_OUTPUT]
    output = Side(sum(a for a, _ in answer), sum(b for _, b in answer))
    return (
        Side(official.amount - output.official, ours.amount - output.ours),
        output,
        Side(official.amount, ours.amount),
    )


def _interval(low: Side, high: Side, bounded: bool) -> Cost:
    def span(least: int, most: int) -> Span:
        return money.format(least), money.format(most) if bounded else None

    return Cost(official=span(low.official, high.official), ours=span(low.ours, high.ours))
