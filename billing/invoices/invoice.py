"""An invoice and the statement it carries, as they are kept. Pure; amounts are picodollars, times UTC."""

from datetime import date, datetime
from typing import Literal

import msgspec

from billing.invoices import taxes
from billing.invoices.lines import CURRENCY, Line
from billing.invoices.periods import Period
from billing.invoices.taxes import Tax
from pricing import money

Settlement = Literal["prepaid", "postpaid", "mixed"]
"""How an invoice's total is paid: by what was there when it was made, later, or in part each."""


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """Who sells, as it was when the invoice was made."""

    name: str
    address: str
    tax_id: str | None = None
    country: str | None = None


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Who buys, as it was when the invoice was made."""

    name: str
    email: str | None
    address: str | None
    tax_id: str | None = None
    country: str | None = None


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """How wallet and credits came from `opening` to `closing` within the period (rules.md Invoices 4).

    `usage` is the invoice's rounded subtotal, so it includes the residue; `tax` is what taxes add to it. What was paid
    back is taken off `top_ups`, what was taken back of grants off `grants`. `payments` are those of invoices.
    """

    opening: int
    top_ups: int
    payments: int = 0
    grants: int
    credit_notes: int = 0
    usage: int
    tax: int = 0
    expired: int
    adjustments: int

    @property
    def closing(self) -> int:
        coming = self.opening + self.top_ups + self.payments + self.grants + self.credit_notes
        return coming - self.usage - self.tax - self.expired + self.adjustments

    def amounts(self) -> dict[str, str]:
        """Every amount and the closing balance as decimal strings of dollars: so it is kept, so it is shown."""
        named = {**msgspec.structs.asdict(self), "closing": self.closing}
        return {name: money.format(amount) for name, amount in named.items()}


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a period comes to for an account: an invoice that has no number yet.

    `credits_used` is the credit that paid usage of the period, of grants that the statement has. What is due follows
    from total and statement (docs/decisions/0066): of the total, what neither credit nor wallet covered.
    """

    id: str
    account_id: str
    period: Period
    time_zone: str
    anchor_day: int = 1
    issuer: Issuer
    customer: Customer
    lines: tuple[Line, ...]
    statement: Statement
    amount_exact: int
    subtotal: int
    taxes: tuple[Tax, ...] = ()
    residue: int
    credits_used: int = 0
    due_date: date | None = None
    currency: str = CURRENCY

    @property
    def tax(self) -> int:
        return taxes.added(self.taxes)

    @property
    def tax_included(self) -> int:
        return taxes.included(self.taxes)

    @property
    def total(self) -> int:
        return self.subtotal + self.tax

    @property
    def amount_due(self) -> int:
        """Of the total, what the balance at the period's end is below zero."""
        return max(0, min(self.total, -self.statement.closing))

    @property
    def earlier_due(self) -> int:
        """What the balance is below zero besides: by earlier invoices, or by what no invoice asks for (adjustments)."""
        return max(0, -self.statement.closing) - self.amount_due

    @property
    def applied(self) -> int:
        """Of the total, what credit and wallet covered."""
        return self.total - self.amount_due

    @property
    def applied_credits(self) -> int:
        return max(0, min(self.credits_used, self.applied))

    @property
    def applied_balance(self) -> int:
        return self.applied - self.applied_credits

    @property
    def settlement(self) -> Settlement:
        if self.amount_due == 0:
            return "prepaid"
        return "mixed" if self.applied else "postpaid"


class Invoice(Draft, frozen=True, kw_only=True):
    """A final invoice. `number` is gapless within its series; the transactions are the residue's and the tax's."""

    number: str
    transaction: int | None
    tax_transaction: int | None = None
    finalized_at: datetime
