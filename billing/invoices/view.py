"""An invoice as it is shown: one view, which every format prints. Pure.

Money is dollars as a decimal string with as many decimals as it needs, in every format the same (interfaces.md).
"""

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from billing.invoices.invoice import Customer, Invoice, Issuer
from billing.invoices.lines import Line
from pricing import money


class PeriodView(msgspec.Struct, frozen=True, kw_only=True):
    """From `start` to before `end`: the local midnights of `time_zone`, as instants."""

    start: datetime
    end: datetime
    time_zone: str


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """One line: quantity ÷ `unit_size` × `official_unit_price` × `multiplier` = `amount_exact`.

    Where a price does not divide evenly each event is rounded to 10⁻¹² dollar; what that added is `per_event_rounding`,
    so that the product, rounded to 12 decimals, and it are together `amount_exact`. `amount` is that in whole cents.
    """

    model: str
    dimension: str
    variant: str
    quantity: int
    unit: str
    unit_size: int
    official_unit_price: str
    multiplier: str
    entry: str
    per_event_rounding: str
    amount_exact: str
    amount: str
    events: int
    first_event_at: datetime
    last_event_at: datetime
    price_ids: tuple[int, ...]
    evidence: str


class StatementView(msgspec.Struct, frozen=True, kw_only=True):
    """opening + top_ups + grants - usage - expired + adjustments = closing, of wallet and credits."""

    opening: str
    top_ups: str
    grants: str
    usage: str
    expired: str
    adjustments: str
    closing: str


class InvoiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A final invoice. `residue` is what rounding the lines added to `amount_exact`."""

    id: str
    number: str
    account: str
    period: PeriodView
    status: Literal["final"] = "final"
    currency: str
    issuer: Issuer
    customer: Customer
    lines: list[LineView]
    amount_exact: str
    subtotal: str
    tax: str
    total: str
    residue: str
    statement: StatementView
    finalized_at: datetime


def view(invoice: Invoice) -> InvoiceView:
    """The invoice as it is answered and printed."""
    return InvoiceView(
        id=invoice.id,
        number=invoice.number,
        account=invoice.account_id,
        period=PeriodView(start=invoice.period.start, end=invoice.period.end, time_zone=invoice.time_zone),
        currency=invoice.currency,
        issuer=invoice.issuer,
        customer=invoice.customer,
        lines=[_line(line) for line in invoice.lines],
        amount_exact=money.format(invoice.amount_exact),
        subtotal=money.format(invoice.subtotal),
        tax=money.format(invoice.tax),
        total=money.format(invoice.total),
        residue=money.format(invoice.residue),
        statement=StatementView(**invoice.statement.amounts()),
        finalized_at=invoice.finalized_at,
    )


def _line(line: Line) -> LineView:
    return LineView(
        model=line.factors.model,
        dimension=line.factors.dimension,
        variant=line.factors.variant,
        quantity=line.quantity,
        unit=line.factors.unit,
        unit_size=line.factors.unit_size,
        official_unit_price=plain(line.factors.official),
        multiplier=plain(line.factors.multiplier),
        entry=line.factors.entry,
        per_event_rounding=money.format(line.per_event_rounding),
        amount_exact=money.format(line.amount_exact),
        amount=money.format(line.amount),
        events=line.events,
        first_event_at=line.first_at,
        last_event_at=line.last_at,
        price_ids=line.price_ids,
        evidence=line.evidence.hex(),
    )


def plain(number: Decimal) -> str:
    """A factor as a plain decimal: no exponent, no trailing zeros, every digit it has."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
