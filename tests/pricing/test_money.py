"""Money is an exact integer of picodollars; parsing is strict, printing plain, rounding has one rule."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing import money

PICO = 1
DOLLAR = money.PICOS_PER_DOLLAR
amounts = st.integers(min_value=-(10**27) + 1, max_value=10**27 - 1)


def test_dollars_and_their_parts() -> None:
    assert money.parse("1") == DOLLAR
    assert money.parse("12.50") == 12 * DOLLAR + DOLLAR // 2
    assert money.parse("0.000000000001") == PICO
    assert money.parse("-0.01") == -DOLLAR // 100
    assert money.parse("-0") == 0
    assert money.parse("007.10") == 7 * DOLLAR + DOLLAR // 10


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "1 ", " 1", "1\n", "+1", "--1", ".5", "5.", "1.2.3", "1,5", "1_000", "1e3", "1E-3", "0x10"),
        *("NaN", "nan", "Infinity", "-inf", "sNaN", "٣", "１", "0.1234567890123", "9" * 16, "9" * 100_000),
    ],
)
def test_what_is_not_an_amount_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(money.MoneyError, match=r"is not an amount of dollars: .*\.$") as refusal:
        money.parse(text)
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize("value", [10, 1.5, None, Decimal(2), b"3", True])
def test_only_strings_are_parsed(value: object) -> None:
    with pytest.raises(money.MoneyError):
        money.parse(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("picos", "text"),
    [
        (0, "0"),
        (PICO, "0.000000000001"),
        (-PICO, "-0.000000000001"),
        (DOLLAR, "1"),
        (100 * DOLLAR, "100"),
        (DOLLAR * 5 // 2, "2.5"),
        (-DOLLAR // 100, "-0.01"),
        (10**30, "1" + "0" * 18),
    ],
)
def test_printing_is_plain(picos: int, text: str) -> None:
    assert money.format(picos) == text


@given(amounts)
def test_printing_and_parsing_return_the_same_amount(picos: int) -> None:
    text = money.format(picos)
    assert money.parse(text) == picos
    assert Fraction(text) == Fraction(picos, DOLLAR)
    assert "e" not in text.lower()
    assert not text.startswith("-0") or picos < 0


@pytest.mark.parametrize(
    ("numerator", "denominator", "nearest"),
    [(1, 2, 1), (-1, 2, -1), (3, 2, 2), (-3, 2, -2), (1, 3, 0), (2, 3, 1), (-2, 3, -1), (0, 7, 0), (10, 5, 2)],
)
def test_a_half_goes_away_from_zero(numerator: int, denominator: int, nearest: int) -> None:
    assert money.round_half_away(numerator, denominator) == nearest


@given(amounts, st.integers(min_value=1, max_value=10**18))
def test_rounding_is_never_off_by_more_than_a_half(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    rounded = money.round_half_away(numerator, denominator)
    assert abs(rounded - exact) <= Fraction(1, 2)
    if abs(rounded - exact) == Fraction(1, 2):
        assert abs(rounded) > abs(exact)


def test_cents() -> None:
    assert money.to_cents(money.parse("0.005")) == 1
    assert money.to_cents(money.parse("-0.005")) == -1
    assert money.to_cents(money.parse("0.004999999999")) == 0
    assert money.to_cents(money.parse("12.34")) == 1234
    assert money.from_cents(1234) == money.parse("12.34")
    assert money.round_to_exponent(money.parse("1.005"), 2) == money.parse("1.01")
    assert money.round_to_exponent(money.parse("1.5"), 0) == money.parse("2")
