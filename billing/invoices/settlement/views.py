"""Credit notes, payments and what has become of an invoice, as they are answered and printed. Pure."""

from datetime import datetime
from typing import Literal

import msgspec

from billing.invoices.invoice import Customer, Invoice, Issuer
from billing.invoices.settlement.note import CreditNote, Part, Settle
from billing.invoices.settlement.standing import Payment, Standing, Status
from billing.invoices.view import (
    AppliedView,
    CorrectedView,
    InvoiceView,
    LineView,
    PeriodView,
    TaxView,
    tax_view,
    view,
)
from pricing import money


class CreditLineView(msgspec.Struct, frozen=True, kw_only=True):
    """What is credited of the line at a `position` of the invoice: a `quantity` (0: by amount) and an `amount`.

    The rest says which line that is, and is the invoice's.
    """

    position: int
    model: str
    dimension: str
    variant: str
    quantity: int
    unit: str
    unit_size: int
    official_unit_price: str
    multiplier: str
    entry: str
    amount: str
    correction_of: CorrectedView | None


class CreditedInvoiceView(msgspec.Struct, frozen=True, kw_only=True):
    """The invoice that a note corrects, with what it said of how it is paid, and of `top_ups` in its period."""

    id: str
    number: str
    total: str
    applied: AppliedView
    amount_due: str
    top_ups: str
    finalized_at: datetime


class CreditNoteView(msgspec.Struct, frozen=True, kw_only=True):
    """A credit note: amounts are what is given back. subtotal + tax = total; `tax_included` is within the subtotal.

    `settle`: where the money goes. Into the wallet: `off_due` of it went off what was still to be paid of the invoice.
    Issuer and customer are those of the invoice.
    """

    id: str
    number: str
    account: str
    invoice: CreditedInvoiceView
    period: PeriodView
    status: Literal["issued"] = "issued"
    settle: Settle
    off_due: str
    reason: str
    currency: str
    issuer: Issuer
    customer: Customer
    lines: list[CreditLineView]
    subtotal: str
    taxes: list[TaxView]
    tax: str
    tax_included: str
    total: str
    transaction: int | None
    tax_transaction: int | None
    issued_at: datetime


def note_view(note: CreditNote, invoice: Invoice) -> CreditNoteView:
    """The note on an invoice, as it is answered and printed."""
    shown = view(invoice)
    return CreditNoteView(
        id=note.id,
        number=note.number,
        account=note.account_id,
        invoice=CreditedInvoiceView(
            id=invoice.id,
            number=invoice.number,
            total=shown.total,
            applied=shown.applied,
            amount_due=shown.amount_due,
            top_ups=shown.statement.top_ups,
            finalized_at=invoice.finalized_at,
        ),
        period=shown.period,
        settle=note.settle,
        off_due=money.format(note.off_due),
        reason=note.reason,
        currency=note.currency,
        issuer=note.issuer,
        customer=note.customer,
        lines=[_line(position, part, shown.lines[position - 1]) for position, part in note.taking.lines.items()],
        subtotal=money.format(note.taking.subtotal),
        taxes=[tax_view(tax) for tax in note.taking.taxes],
        tax=money.format(note.taking.tax),
        tax_included=money.format(note.taking.tax_included),
        total=money.format(note.taking.total),
        transaction=note.transaction,
        tax_transaction=note.tax_transaction,
        issued_at=note.issued_at,
    )


def _line(position: int, part: Part, line: LineView) -> CreditLineView:
    same = (
        *("model", "dimension", "variant", "unit", "unit_size", "official_unit_price", "multiplier", "entry"),
        "correction_of",
    )
    return CreditLineView(
        position=position,
        quantity=part.quantity,
        amount=money.format(part.amount),
        **{name: getattr(line, name) for name in same},
    )


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """Money counted towards an invoice: `transaction` brought it. When it was taken back, `reversed_at` says since when
    and `reason` why; `reversal` is the transaction that took it out of the wallet, if one did."""

    id: str
    account: str
    invoice: str
    amount: str
    transaction: int
    reference: str
    method: str | None
    paid_at: datetime
    created_at: datetime
    reversed_at: datetime | None
    reversal: int | None
    reason: str | None


def payment_view(payment: Payment) -> PaymentView:
    named = {
        **msgspec.structs.asdict(payment),
        "account": payment.account_id,
        "invoice": payment.invoice_id,
        "amount": money.format(payment.amount),
    }
    return PaymentView(**{name: named[name] for name in PaymentView.__struct_fields__})


class NoteNamed(msgspec.Struct, frozen=True, kw_only=True):
    """A credit note on an invoice, by its name."""

    id: str
    number: str
    total: str
    settle: Settle
    issued_at: datetime


class StandingView(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of an invoice. `open` is what is still to be paid of its amount due."""

    status: Status
    credited: str
    paid: str
    open: str
    credit_notes: list[NoteNamed]
    payments: list[PaymentView]
    replaces: str | None
    replaces_number: str | None
    replaced_by: str | None
    replaced_by_number: str | None


def standing_view(standing: Standing, notes: list[CreditNote], payments: list[Payment]) -> StandingView:
    return StandingView(
        status=standing.status,
        credited=money.format(standing.credited),
        paid=money.format(standing.paid),
        open=money.format(standing.open),
        credit_notes=[
            NoteNamed(
                id=note.id,
                number=note.number,
                total=money.format(note.taking.total),
                settle=note.settle,
                issued_at=note.issued_at,
            )
            for note in notes
        ],
        payments=[payment_view(payment) for payment in payments],
        replaces=standing.replaces,
        replaces_number=standing.replaces_number,
        replaced_by=standing.replaced_by,
        replaced_by_number=standing.replaced_by_number,
    )


class CurrentInvoiceView(InvoiceView, frozen=True, kw_only=True):
    """An invoice with what has become of it today. HTML and PDF of it say that, too; of `InvoiceView`, which never
    changes, they do not."""

    standing: StandingView


def current_view(invoice: Invoice, standing: StandingView) -> CurrentInvoiceView:
    shown = {name: getattr(view(invoice), name) for name in InvoiceView.__struct_fields__}
    return CurrentInvoiceView(**shown, standing=standing)
