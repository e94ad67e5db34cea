"""Taxes on an invoice: named rates, computed once each on the subtotal (rules.md Invoices 3). Pure.

Rates on top of the price (exclusive) are on the whole subtotal. Rates within it (inclusive) are taken out of it
together, and are on what remains. An account's rates at one time are all of one sort. Amounts are picodollars.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

import msgspec

from billing.invoices.lines import EXPONENT, plain
from pricing import money


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A tax by its name: `percent` of the net amount. With `reverse_charge` the customer owes it, as `note` says."""

    id: str
    name: str
    percent: Decimal
    inclusive: bool = False
    reverse_charge: bool = False
    note: str | None = None


class Tax(msgspec.Struct, frozen=True, kw_only=True):
    """What one rate comes to: `amount`, in whole cents, on the net amount `taxable`. `percent` is a plain decimal."""

    name: str
    percent: str
    inclusive: bool
    reverse_charge: bool
    note: str | None
    taxable: int
    amount: int


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """What is taxed: the subtotal of an account's period, and the rates in force at its last moment."""

    account_id: str
    customer_tax_id: str | None
    subtotal: int
    rates: tuple[Rate, ...]


class Calculator(Protocol):
    """Who says which taxes a sale bears. Asked again for the same sale it must answer the same.

    It is asked while the account is locked, so it has to answer, or raise, within a second or two: an account whose
    taxes are not known is not invoiced, and is tried again.
    """

    async def __call__(self, sale: Sale) -> tuple[Tax, ...]: ...


async def named_rates(sale: Sale) -> tuple[Tax, ...]:
    """The calculator we have: each of the sale's own rates."""
    return taxes_of(sale.subtotal, sale.rates)


def taxes_of(subtotal: int, rates: Sequence[Rate]) -> tuple[Tax, ...]:
    """What the rates come to. The net amount and the inclusive taxes are together the subtotal, to the cent."""
    inside = sum((Fraction(rate.percent) for rate in rates if rate.inclusive), Fraction(0))
    amounts = [_percent_of(subtotal, Fraction(rate.percent), inside) for rate in rates]
    net = subtotal - sum(amount for amount, rate in zip(amounts, rates, strict=True) if rate.inclusive)
    return tuple(
        Tax(
            name=rate.name,
            percent=plain(rate.percent),
            inclusive=rate.inclusive,
            reverse_charge=rate.reverse_charge,
            note=rate.note,
            taxable=net,
            amount=amount,
        )
        for rate, amount in zip(rates, amounts, strict=True)
    )


def added(taxes: Sequence[Tax]) -> int:
    """What they add to the subtotal."""
    return sum(tax.amount for tax in taxes if not tax.inclusive)


def included(taxes: Sequence[Tax]) -> int:
    """What of the subtotal they are."""
    return sum(tax.amount for tax in taxes if tax.inclusive)


def _percent_of(subtotal: int, percent: Fraction, inside: Fraction) -> int:
    """A share of what is left of the subtotal without the taxes inside it, rounded once, half away from zero."""
    exact = subtotal * percent / (100 + inside)
    cent: int = 10 ** (money.PICO_DIGITS - EXPONENT)
    return money.round_half_away(exact.numerator, exact.denominator * cent) * cent
