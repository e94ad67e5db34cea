"""Lines against exact fractions (rules.md Invoices 2 and 3)."""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.invoices.lines import Factors, PriceUsage, lines_of, sums_of
from pricing import money
from pricing.charge import recompute

AT = datetime(2026, 10, 1, tzinfo=UTC)
CENT = money.PICOS_PER_CENT

FACTORS = [
    Factors(model=model, dimension=dimension, variant="", entry="e", official=Decimal(official),
            multiplier=Decimal(multiplier), unit=unit, unit_size=size)
    for model, dimension, official, multiplier, unit, size in [
        ("gpt-4", "input", "30", "0.5", "1M_tokens", 1_000_000),
        ("gpt-4", "output", "60", "0.5", "1M_tokens", 1_000_000),
        ("gpt-4", "output", "60", "0.333333333333", "1M_tokens", 1_000_000),
        ("gpt-4o-mini", "cached_input", "0.075", "0.5", "1M_tokens", 1_000_000),
        ("whisper-1", "audio_input_duration", "0.006", "0.5", "minute", 60),
        ("dall-e-3", "image:hd:1024x1792", "0.12", "0.5", "image", 1),
        ("free", "input", "0", "0.5", "1M_tokens", 1_000_000),
    ]
]  # fmt: skip
"""Prices as relays have them: halves that divide, thirds and minutes that do not."""

events = st.lists(st.tuples(st.integers(0, len(FACTORS) - 1), st.integers(1, 3), st.integers(0, 200_000)), max_size=60)


def usage_of(booked: list[tuple[int, int, int]]) -> list[PriceUsage]:
    """What the roll-ups hold after these events: (factors, which price with these factors, quantity)."""
    prices: dict[int, list[int]] = {}
    for kind, book, quantity in booked:
        prices.setdefault(kind * 10 + book, []).append(quantity)
    return [
        PriceUsage(
            price_id=price,
            factors=FACTORS[price // 10],
            quantity=sum(quantities),
            amount=sum(charged(FACTORS[price // 10], quantity) for quantity in quantities),
            events=len(quantities),
            first_at=AT,
            last_at=AT,
            evidence=bytes([price]),
        )
        for price, quantities in prices.items()
    ]


def charged(factors: Factors, quantity: int) -> int:
    """What one event is charged: the hot path's own arithmetic."""
    return recompute(quantity, f"{factors.official:f}", factors.unit_size, f"{factors.multiplier:f}")


@given(events)
def test_lines_sum_up_every_event_and_round_once(booked: list[tuple[int, int, int]]) -> None:
    lines = lines_of(usage_of(booked))
    for line in lines:
        own = [quantity for kind, _, quantity in booked if FACTORS[kind] == line.factors]
        assert (line.quantity, line.events) == (sum(own), len(own))
        assert line.amount_exact == sum(charged(line.factors, quantity) for quantity in own)
        assert line.amount % CENT == 0
        assert 2 * abs(line.amount - line.amount_exact) <= CENT
    assert sum(line.amount_exact for line in lines) == sum(charged(FACTORS[kind], n) for kind, _, n in booked)


@given(events)
def test_printed_factors_reproduce_the_exact_amount(booked: list[tuple[int, int, int]]) -> None:
    for line in lines_of(usage_of(booked)):
        factors = line.factors
        product = line.quantity * Fraction(factors.official) * Fraction(factors.multiplier) / factors.unit_size
        picos = product * money.PICOS_PER_DOLLAR
        if factors.multiplier == Decimal("0.5") and factors.unit_size != 60:
            assert line.amount_exact == picos
            assert line.per_event_rounding == 0
        assert line.amount_exact == round(picos) + line.per_event_rounding or picos.denominator == 2
        assert abs(line.amount_exact - picos) <= Fraction(line.events, 2)


@given(events)
def test_sums_carry_the_residue(booked: list[tuple[int, int, int]]) -> None:
    lines = lines_of(usage_of(booked))
    sums = sums_of(lines)
    assert sums.subtotal == sum(line.amount for line in lines)
    assert sums.residue == sums.subtotal - sums.amount_exact
    assert 2 * abs(sums.residue) <= CENT * len(lines)


def test_the_halves_go_away_from_zero() -> None:
    half = PriceUsage(price_id=1, factors=FACTORS[0], quantity=1, amount=CENT // 2, events=1, first_at=AT, last_at=AT,
                      evidence=b"")  # fmt: skip
    assert lines_of([half])[0].amount == CENT
    assert sums_of(lines_of([half])).residue == CENT // 2


def test_prices_of_two_books_with_the_same_factors_are_one_line() -> None:
    """A new edition of the book that left this price alone does not split the line."""
    [line] = lines_of(usage_of([(0, 2, 100), (0, 1, 10), (0, 2, 1)]))
    assert line.price_ids == (1, 2)
    assert (line.quantity, line.events) == (111, 3)
    assert line.evidence == hashlib.sha256(bytes([1]) + bytes([2])).digest()


def test_lines_come_in_the_order_of_their_names() -> None:
    lines = lines_of(usage_of([(5, 1, 1), (1, 1, 1), (4, 1, 1), (0, 1, 1)]))
    assert [(line.factors.model, line.factors.dimension) for line in lines] == [
        ("dall-e-3", "image:hd:1024x1792"),
        ("gpt-4", "input"),
        ("gpt-4", "output"),
        ("whisper-1", "audio_input_duration"),
    ]


@pytest.mark.parametrize(
    ("dimension", "quantity", "amount", "shown"),
    [
        ("input", 5, 0, True),  # a free model: what was used is worth seeing
        ("input", 0, 0, False),
        ("request", 7, 0, False),  # failed requests, of which nothing is billed
        ("request", 7, 100, True),
    ],
)
def test_lines_that_say_nothing_are_left_out(dimension: str, quantity: int, amount: int, shown: bool) -> None:
    factors = Factors(model="m", dimension=dimension, variant="", entry="e", official=Decimal(0), multiplier=Decimal(1),
                      unit="request", unit_size=1)  # fmt: skip
    item = PriceUsage(price_id=1, factors=factors, quantity=quantity, amount=amount, events=1, first_at=AT, last_at=AT,
                      evidence=b"")  # fmt: skip
    assert bool(lines_of([item])) == shown
