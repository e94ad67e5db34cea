"""An invoice as it is shown: one view, which every format prints. Pure.

Money is dollars as a decimal string with as many decimals as it needs, in every format the same (interfaces.md).
"""

from datetime import date, datetime
from typing import Literal

import msgspec

from billing.invoices.invoice import Customer, Draft, Invoice, Issuer, Settlement
from billing.invoices.lines import Line, plain
from billing.invoices.periods import Period
from billing.invoices.taxes import Tax
from pricing import money


class PeriodView(msgspec.Struct, frozen=True, kw_only=True):
    """From `start` to before `end`: the local midnights of `time_zone`, as instants."""

    start: datetime
    end: datetime
    time_zone: str


class CorrectedView(msgspec.Struct, frozen=True, kw_only=True):
    """The earlier period, from `start` to before `end`, that a line's usage belongs to: it came too late for that."""

    start: datetime
    end: datetime


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """One line: quantity ÷ `unit_size` × `official_unit_price` × `multiplier` = `amount_exact`.

    Where a price does not divide evenly each event is rounded to 10⁻¹² dollar; what that added is `per_event_rounding`,
    so that the product, rounded to 12 decimals, and it are together `amount_exact`. `amount` is that in whole cents.
    A line gives back what events had too much when it is negative. `correction_of` is null for usage of the period.
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
    correction_of: CorrectedView | None


class TaxView(msgspec.Struct, frozen=True, kw_only=True):
    """What one rate comes to: `amount`, in whole cents, is `percent` of the net amount `taxable`.

    `inclusive`: the subtotal contains it; else it comes on top. `reverse_charge`: the customer owes it; see `note`.
    """

    name: str
    percent: str
    inclusive: bool
    reverse_charge: bool
    note: str | None
    taxable: str
    amount: str


class AppliedView(msgspec.Struct, frozen=True, kw_only=True):
    """What paid the invoice when it was made: of `credits`, and of the wallet's `balance`."""

    credits: str
    balance: str


class StatementView(msgspec.Struct, frozen=True, kw_only=True):
    """opening + top_ups + payments + grants + credit_notes - usage - tax - expired + adjustments = closing, of wallet
    and credits."""

    opening: str
    top_ups: str
    payments: str
    grants: str
    credit_notes: str
    usage: str
    tax: str
    expired: str
    adjustments: str
    closing: str


class InvoiceView(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice, or the draft of one, which has no id, number and date yet.

    subtotal + tax = total = applied.credits + applied.balance + amount_due. `tax_included` is within the subtotal.
    `residue` is what rounding the lines added to `amount_exact`. amount_due + `earlier_due` (owed besides this
    invoice: for earlier ones, or by adjustments, which no invoice asks for) is what the closing balance is below zero.
    `settlement`: paid by what was there (`prepaid`), later, or in part each.
    """

    id: str | None
    number: str | None
    account: str
    period: PeriodView
    status: Literal["draft", "final"]
    settlement: Settlement
    currency: str
    issuer: Issuer
    customer: Customer
    lines: list[LineView]
    amount_exact: str
    subtotal: str
    taxes: list[TaxView]
    tax: str
    tax_included: str
    total: str
    applied: AppliedView
    amount_due: str
    due_date: date | None
    earlier_due: str
    residue: str
    statement: StatementView
    finalized_at: datetime | None


def view(invoice: Draft) -> InvoiceView:
    """The invoice as it is answered and printed, or a draft."""
    final = invoice if isinstance(invoice, Invoice) else None
    return InvoiceView(
        id=final.id if final else None,
        number=final.number if final else None,
        account=invoice.account_id,
        period=PeriodView(start=invoice.period.start, end=invoice.period.end, time_zone=invoice.time_zone),
        status="final" if final else "draft",
        settlement=invoice.settlement,
        currency=invoice.currency,
        issuer=invoice.issuer,
        customer=invoice.customer,
        lines=[_line(line) for line in invoice.lines],
        amount_exact=money.format(invoice.amount_exact),
        subtotal=money.format(invoice.subtotal),
        taxes=[tax_view(tax) for tax in invoice.taxes],
        tax=money.format(invoice.tax),
        tax_included=money.format(invoice.tax_included),
        total=money.format(invoice.total),
        applied=AppliedView(
            credits=money.format(invoice.applied_credits), balance=money.format(invoice.applied_balance)
        ),
        amount_due=money.format(invoice.amount_due),
        due_date=invoice.due_date,
        earlier_due=money.format(invoice.earlier_due),
        residue=money.format(invoice.residue),
        statement=StatementView(**invoice.statement.amounts()),
        finalized_at=final.finalized_at if final else None,
    )


def tax_view(tax: Tax) -> TaxView:
    amounts = {"taxable": money.format(tax.taxable), "amount": money.format(tax.amount)}
    return TaxView(**{**msgspec.structs.asdict(tax), **amounts})


def _corrected(period: Period | None) -> CorrectedView | None:
    return CorrectedView(start=period.start, end=period.end) if period else None


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
        correction_of=_corrected(line.correction_of),
    )
