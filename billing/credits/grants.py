"""A grant of credit. Pure; amounts are picodollars, times UTC."""

from datetime import datetime
from typing import Literal

import msgspec

Category = Literal["paid", "promotional"]
State = Literal["pending", "active", "used", "expired", "voided"]

PRIORITY = 100
"""Of a grant that says none; lower ones are used first."""


class NewGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Credit to be given, more than zero. It begins now, if not said, and never ends without `expires_at`."""

    account_id: str
    category: Category
    priority: int = PRIORITY
    amount: int
    effective_at: datetime | None = None
    expires_at: datetime | None = None
    reference: str | None = None
    reason: str | None = None
    actor: str


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Credit that was given. It pays usage from `effective_at` until before `expires_at`.

    pending   not in force yet: nothing is posted
    active    in force; `remaining` of it is there
    used      all of it has paid usage
    expired   what remained went when its time was over
    voided    what remained was taken back

    `used` is what has paid usage; `transaction` posted the grant.
    """

    account_id: str
    id: str
    category: Category
    priority: int
    amount: int
    remaining: int
    used: int
    state: State
    effective_at: datetime
    expires_at: datetime | None
    reference: str | None
    reason: str | None
    created_at: datetime
    transaction: int | None
