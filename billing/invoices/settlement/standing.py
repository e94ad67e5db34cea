"""What has become of an invoice, and the payments that are counted towards it. Pure; amounts are picodollars."""

from datetime import datetime
from typing import Literal

import msgspec

Status = Literal["open", "partly_paid", "paid", "overdue", "void"]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice today. `open` is what is still to be paid of what was due; `credited` all that its credit
    notes took back.

    `replaced_by` is the invoice that stands for this one, `replaces` the one that this one stands for.
    """

    id: str
    account_id: str
    status: Status
    total: int
    amount_due: int
    notes: int
    credited: int
    paid: int
    open: int
    replaces: str | None
    replaces_number: str | None
    replaced_by: str | None
    replaced_by_number: str | None


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came in by a `transaction` and is counted towards an invoice, until `reversed_at`."""

    id: str
    account_id: str
    invoice_id: str
    amount: int
    transaction: int
    reference: str
    method: str | None
    paid_at: datetime
    created_at: datetime
    reversed_at: datetime | None = None
    reversal: int | None = None
    reason: str | None = None
