"""A price, the rate of prices one request is charged at, and the charge: quantities, and what they cost.

A charge keeps each of its factors (rules.md, Money 2), so that `recompute` gives the stored amount years later,
without the book. Prices and rates are made once for each book and multiplier and shared: identity is equality.
"""

from fractions import Fraction
from operator import mul
from typing import NamedTuple

import msgspec

from pricing import money

ONE = money.PICOS_PER_DOLLAR
"""A multiplier has as many decimals as a dollar: `money.parse` reads both, and this is 1 of either."""


def recompute(quantity: int, official: str, unit_size: int, multiplier: str) -> int:
    """Picodollars of one stored line: quantity × official × multiplier ÷ unit_size, rounded once, half from zero."""
    return money.round_half_away(quantity * money.parse(official) * money.parse(multiplier), unit_size * ONE)


class Price(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One dimension of one model at one multiplier, from one dated entry of one book.

    `official` is exact dollars for one `unit`, which is `unit_size` of what is counted; `variant` tells apart what a
    dimension has several prices for: "batch", ">272k", "hd:1024x1792", "flex|>272k".
    """

    model: str
    dimension: str
    variant: str
    unit: str
    unit_size: int
    official: str
    multiplier: str
    entry: str
    source: str
    book: str

    def amount(self, quantity: int) -> int:
        """Picodollars of this many tokens, seconds, images or calls."""
        return recompute(quantity, self.official, self.unit_size, self.multiplier)

    def picos_each(self) -> Fraction:
        """Exact picodollars of one token, second, image or call."""
        return Fraction(money.parse(self.official) * money.parse(self.multiplier), self.unit_size * ONE)

    def as_dict(self) -> dict[str, str | int]:
        """Every factor as plain data: what a store keeps for ever."""
        return msgspec.structs.asdict(self)


class Line(NamedTuple):
    """One price times one quantity; `amount` in picodollars."""

    price: Price
    quantity: int
    amount: int

    def as_dict(self) -> dict[str, str | int]:
        """The line as `POST /v1/quote` shows it: money as decimal dollars."""
        price = self.price
        return {
            "dimension": price.dimension,
            "variant": price.variant,
            "quantity": self.quantity,
            "unit": price.unit,
            "unit_size": price.unit_size,
            "official_unit_price": price.official,
            "multiplier": price.multiplier,
            "amount": money.format(self.amount),
            "entry": price.entry,
            "source": price.source,
        }


class Rate:
    """The prices one kind of request is charged at, one for each dimension it uses, in the order of the quantities."""

    __slots__ = ("_each", "_steps", "model", "prices")

    def __init__(self, model: str, prices: tuple[Price, ...]) -> None:
        self.model = model
        self.prices = prices
        self._each = [price.picos_each().as_integer_ratio() for price in prices]
        whole = all(denominator == 1 for _, denominator in self._each)
        self._steps = [numerator for numerator, _ in self._each] if whole else None

    def charge(self, quantities: tuple[int, ...]) -> "Charge":
        """The charge for these quantities, one for each price: exact where every price is whole picodollars each."""
        if self._steps is not None:
            return Charge(self, quantities, sum(map(mul, self._steps, quantities)))
        return Charge(self, quantities, sum(self.amounts(quantities)))

    def amounts(self, quantities: tuple[int, ...]) -> tuple[int, ...]:
        """Picodollars of each line."""
        if self._steps is not None:
            return tuple(map(mul, self._steps, quantities))
        pairs = zip(self._each, quantities, strict=True)
        return tuple(money.round_half_away(quantity * each, size) for (each, size), quantity in pairs)

    def __repr__(self) -> str:
        return f"Rate({self.model}: {', '.join(price.entry for price in self.prices)})"


class Charge(msgspec.Struct, frozen=True, gc=False):
    """What one request costs: `amount` in picodollars is the sum of its lines, each rounded once."""

    rate: Rate
    quantities: tuple[int, ...]
    amount: int

    @property
    def lines(self) -> tuple[Line, ...]:
        """The explanation, made only when asked for."""
        pairs = zip(self.rate.prices, self.quantities, strict=True)
        return tuple(Line(price, quantity, price.amount(quantity)) for price, quantity in pairs)

    def as_dict(self) -> dict[str, object]:
        """The charge as `POST /v1/quote` answers it (interfaces.md)."""
        return {
            "amount": money.format(self.amount),
            "currency": "USD",
            "model": self.rate.model,
            "lines": [line.as_dict() for line in self.lines],
            "book": self.rate.prices[0].book,
        }
