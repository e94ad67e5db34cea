"""From a period's usage, summed by price, to the lines of an invoice. Pure.

A line gathers what shares all factors: model, dimension, variant, unit, official price, multiplier and price entry
(rules.md Invoices 2). Its amount is rounded once, half away from zero, to cents; the invoice's is the sum of those
(Invoices 3). Amounts are picodollars.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import msgspec

from billing.invoices.periods import Period
from pricing import money

CURRENCY = "USD"
EXPONENT = 2
"""Decimals of the currency's smallest coin."""


class Factors(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """What every event of a line has in common. `official` is dollars for `unit_size` of the quantity."""

    model: str
    dimension: str
    variant: str
    entry: str
    official: Decimal
    multiplier: Decimal
    unit: str
    unit_size: int

    def product(self, quantity: int) -> Fraction:
        """quantity × official price × multiplier, in picodollars and not rounded."""
        dollars = quantity * Fraction(self.official) * Fraction(self.multiplier) / self.unit_size
        return dollars * money.PICOS_PER_DOLLAR


class PriceUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What one account used in one period at one stored price; of what came late, in the quarter hour `late`.

    `evidence` is that of the price (docs/evidence.md); of what came late, the chains it is to be made of.
    """

    price_id: int
    factors: Factors
    quantity: int
    amount: int
    events: int
    first_at: datetime
    last_at: datetime
    evidence: bytes
    late: datetime | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line. `amount` is `amount_exact` in whole cents; `events` have their times from `first_at` to `last_at`.

    `correction_of` is the earlier period they belong to: they came when it was closed. None: the invoice's own.
    Quantity and amounts are negative when corrections and voids take back more than was used.
    """

    factors: Factors
    price_ids: tuple[int, ...]
    quantity: int
    amount_exact: int
    amount: int
    events: int
    first_at: datetime
    last_at: datetime
    evidence: bytes
    correction_of: Period | None = None

    @property
    def per_event_rounding(self) -> int:
        """What rounding event by event to a picodollar added over rounding once: 0 where the price divides evenly."""
        product = self.factors.product(self.quantity)
        return self.amount_exact - money.round_half_away(product.numerator, product.denominator)


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of lines: Σ exact, Σ rounded, and what rounding added."""

    amount_exact: int
    subtotal: int

    @property
    def residue(self) -> int:
        return self.subtotal - self.amount_exact


Origin = Callable[[datetime], Period]
"""Says which earlier period a late quarter hour belongs to."""


def nothing_late(slot: datetime) -> Period:
    raise AssertionError(f"Usage of {slot} came late, and nobody knows its period.")


def lines_of(usage: Iterable[PriceUsage], origin: Origin = nothing_late) -> list[Line]:
    """The lines worth printing: the period's own by model, dimension, variant and then the other factors; after them
    those of each earlier period."""
    groups: dict[tuple[Period | None, Factors], list[PriceUsage]] = defaultdict(list)
    for item in sorted(usage, key=lambda item: (item.price_id, item.late or item.first_at)):
        groups[origin(item.late) if item.late else None, item.factors].append(item)
    lines = (_line(*group, groups[group]) for group in sorted(groups, key=_place))
    return [line for line in lines if is_shown(line)]


def _place(group: tuple[Period | None, Factors]) -> tuple[tuple[datetime, ...], Factors]:
    period, factors = group
    return (period.start, period.end) if period else (), factors


def is_shown(line: Line) -> bool:
    """A line without money is left out when it counts nothing, or only requests of which nothing was billed."""
    return line.amount_exact != 0 or (line.quantity != 0 and line.factors.dimension != "request")


def sums_of(lines: Iterable[Line]) -> Sums:
    exact = rounded = 0
    for line in lines:
        exact += line.amount_exact
        rounded += line.amount
    return Sums(amount_exact=exact, subtotal=rounded)


def evidence_of(evidences: Iterable[bytes]) -> bytes:
    """A line's evidence from that of its prices, in the order of their numbers (docs/evidence.md)."""
    return hashlib.sha256(b"".join(evidences)).digest()


def plain(number: Decimal) -> str:
    """A factor as a plain decimal: no exponent, no trailing zeros, every digit it has."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _line(period: Period | None, factors: Factors, items: Sequence[PriceUsage]) -> Line:
    exact = sum(item.amount for item in items)
    prices: dict[int, list[PriceUsage]] = defaultdict(list)
    for item in items:
        prices[item.price_id].append(item)
    return Line(
        factors=factors,
        price_ids=tuple(prices),
        quantity=sum(item.quantity for item in items),
        amount_exact=exact,
        amount=money.round_to_exponent(exact, EXPONENT),
        events=sum(item.events for item in items),
        first_at=min(item.first_at for item in items),
        last_at=max(item.last_at for item in items),
        evidence=evidence_of(_price_evidence(of_price) for of_price in prices.values()),
        correction_of=period,
    )


def _price_evidence(items: Sequence[PriceUsage]) -> bytes:
    """That of one price within a line: known for usage of the period, made of the chains for what came late."""
    return evidence_of(item.evidence for item in items) if items[0].late else items[0].evidence
