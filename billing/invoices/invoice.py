"""An invoice and the statement it carries, as they are kept. Pure; amounts are picodollars, times UTC."""

from datetime import datetime

import msgspec

from billing.invoices.lines import CURRENCY, Line
from billing.invoices.periods import Period
from pricing import money


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """Who sells, as it was when the invoice was made."""

    name: str
    address: str


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Who buys, as it was when the invoice was made."""

    name: str
    email: str | None
    address: str | None


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """How wallet and credits came from `opening` to `closing` within the period (rules.md Invoices 4).

    `usage` is the invoice's rounded total, so it includes the residue. What was paid back is taken off `top_ups`, what
    was taken back of grants off `grants`.
    """

    opening: int
    top_ups: int
    grants: int
    usage: int
    expired: int
    adjustments: int

    @property
    def closing(self) -> int:
        return self.opening + self.top_ups + self.grants - self.usage - self.expired + self.adjustments

    def amounts(self) -> dict[str, str]:
        """Every amount and the closing balance as decimal strings of dollars: so it is kept, so it is shown."""
        named = {**msgspec.structs.asdict(self), "closing": self.closing}
        return {name: money.format(amount) for name, amount in named.items()}


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a period comes to for an account: an invoice that has no number yet."""

    id: str
    account_id: str
    period: Period
    time_zone: str
    issuer: Issuer
    customer: Customer
    lines: tuple[Line, ...]
    statement: Statement
    amount_exact: int
    subtotal: int
    tax: int
    total: int
    residue: int
    currency: str = CURRENCY


class Invoice(Draft, frozen=True, kw_only=True):
    """A final invoice. `number` is gapless within its series; `transaction` is the residue's, if there is one."""

    number: str
    transaction: int | None
    finalized_at: datetime
