"""Money that a person moves: top-ups and adjustments."""

from datetime import UTC, datetime
from typing import Literal

import msgspec

from billing.db.pool import Connection
from billing.errors import NotFound, Unprocessable
from billing.ledger import store
from billing.ledger.reads import PostingView, by_number
from billing.ledger.store import Book, Posting

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
OTHER_SIDE: dict[str, Book] = {"top_up": "cash", "adjustment": "adjustments"}


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """An amount (picodollars, not zero) into the wallet, or out of it when negative. Effective now, if not said."""

    account_id: str
    kind: Literal["top_up", "adjustment"]
    amount: int
    effective_at: datetime | None = None
    reference: str | None = None
    reason: str | None = None
    actor: str


async def book(conn: Connection, movement: Movement) -> PostingView:
    """Book a movement in the caller's transaction.

    Raises NotFound for an unknown account, Unprocessable for a day in the future, in a closed period or before us.
    """
    if movement.effective_at is not None:
        await _check_open(conn, movement.account_id, movement.effective_at)
    other = OTHER_SIDE[movement.kind]
    posted = await store.post(
        conn,
        Posting(
            account_id=movement.account_id,
            kind=movement.kind,
            source=other if movement.amount > 0 else "wallet",
            destination="wallet" if movement.amount > 0 else other,
            amount=abs(movement.amount),
            effective_at=movement.effective_at,
            reference=movement.reference,
            reason=movement.reason,
            actor=movement.actor,
        ),
    )
    return await by_number(conn, movement.account_id, posted.transaction)


async def _check_open(conn: Connection, account_id: str, effective_at: datetime) -> None:
    """The account's row stays locked until the caller commits, so that what is open now stays open."""
    cursor = await conn.execute("SELECT open_from FROM balances WHERE account_id = %s FOR NO KEY UPDATE", [account_id])
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("unknown_account", f"There is no account {account_id}.")
    if effective_at > datetime.now(UTC):
        raise Unprocessable("future", "Money cannot be booked into the future: effective_at is after now.")
    if effective_at < EARLIEST:
        raise Unprocessable("too_early", f"Money cannot be booked before {EARLIEST:%Y-%m-%d}; see effective_at.")
    if row["open_from"] is not None and effective_at < row["open_from"]:
        closed = row["open_from"].isoformat()
        raise Unprocessable("period_closed", f"Everything before {closed} is closed for this account; use a later day.")
