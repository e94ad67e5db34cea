"""Exact dollars: an amount of money is an `int` of picodollars (10⁻¹² US dollar).

Adding integers is exact at any size; `Decimal` rounds silently at 28 digits and `float` always. This file alone parses
and prints dollars and holds the one named rounding (rules.md, Money 1 and Invoices 3; docs/decisions/0001).
"""

import re

from pricing.errors import PricingError

PICO_DIGITS = 12
PICOS_PER_DOLLAR = 1_000_000_000_000
PICOS_PER_CENT = PICOS_PER_DOLLAR // 100
WHOLE_DIGITS_MAX = 15
"""Digits before the point that `parse` accepts: more than all the money there is, less than numeric(38,12) holds."""

_PLAIN_DECIMAL = re.compile(rf"(-?)([0-9]{{1,{WHOLE_DIGITS_MAX}}})(?:\.([0-9]{{1,{PICO_DIGITS}}}))?", re.ASCII)


class MoneyError(PricingError, ValueError):
    """The text is not an amount of dollars; the message is a full sentence for the person who sent it."""


def parse(text: str) -> int:
    """Picodollars of a plain decimal string of dollars such as `"12.50"`, `"-0.000000000001"` or `"7"`.

    Refuses with `MoneyError`: an exponent, NaN or Infinity, a plus sign, underscores, blanks, a bare point, more than
    12 decimals, more than 15 digits before the point, and anything that is not a string.
    """
    match = _PLAIN_DECIMAL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise MoneyError(
            f"{_shown(text)} is not an amount of dollars: write a plain decimal string with at most "
            f"{WHOLE_DIGITS_MAX} digits before the point and {PICO_DIGITS} after it, such as 12.50."
        )
    sign, whole, decimals = match.groups(default="")
    picos = int(whole + decimals.ljust(PICO_DIGITS, "0"))
    return -picos if sign else picos


def format(picos: int) -> str:
    """Dollars as a plain decimal string with as many decimals as needed: no exponent, no trailing zero, never `-0`."""
    whole, rest = divmod(abs(picos), PICOS_PER_DOLLAR)
    sign = "-" if picos < 0 else ""
    if rest == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{rest:012d}".rstrip("0")


def round_half_away(numerator: int, denominator: int) -> int:
    """The integer nearest to numerator / denominator, a half going away from zero: the one rounding of money.

    The denominator must be positive.
    """
    assert denominator > 0
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return -magnitude if numerator < 0 else magnitude


def round_to_exponent(picos: int, exponent: int) -> int:
    """Picodollars rounded to `exponent` decimals of a dollar (2 for cents), once, half away from zero."""
    assert 0 <= exponent <= PICO_DIGITS
    step: int = 10 ** (PICO_DIGITS - exponent)
    return round_half_away(picos, step) * step


def to_cents(picos: int) -> int:
    """Whole cents nearest to an amount, half away from zero (rules.md, Invoices 3)."""
    return round_half_away(picos, PICOS_PER_CENT)


def from_cents(cents: int) -> int:
    """Picodollars of whole cents."""
    return cents * PICOS_PER_CENT


def _shown(text: object) -> str:
    """The refused value, quoted and cut, so that a megabyte of digits does not come back in an error."""
    shown = repr(text)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
