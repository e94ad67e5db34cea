"""Money that a person moves: top-ups and adjustments, and what takes them back."""

from datetime import UTC, datetime
from typing import Literal

import msgspec

from billing.accounts.store import check_not_closed
from billing.audit import log as audit
from billing.credits import store as credits
from billing.db.pool import Connection
from billing.errors import NotFound, Unprocessable
from billing.ledger import store
from billing.ledger.reads import PostingView, by_number
from billing.ledger.store import Book, Locked, Posting
from pricing import money

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

    Raises NotFound for an unknown account, Conflict for a top-up of a closed one, Unprocessable for a day in the
    future, in a closed period or before us.
    """
    if movement.kind == "top_up":
        await check_not_closed(conn, movement.account_id)
    if movement.effective_at is not None:
        balance = await check_open(conn, movement.account_id, movement.effective_at)
        if movement.effective_at > balance.now:
            raise Unprocessable("future", "Money cannot be booked into the future: effective_at is after now.")
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
    await audit.record(
        conn,
        movement.kind,
        account=movement.account_id,
        subject=str(posted.transaction),
        amount=money.format(movement.amount),
        reference=movement.reference,
        reason=movement.reason,
    )
    return await by_number(conn, movement.account_id, posted.transaction)


async def check_open(conn: Connection, account_id: str, effective_at: datetime) -> Locked:
    """The account's row stays locked until the caller commits, so that what is open now stays open."""
    balance = await store.lock(conn, account_id)
    if effective_at < EARLIEST:
        raise Unprocessable("too_early", f"Money cannot be booked before {EARLIEST:%Y-%m-%d}; see effective_at.")
    if balance.open_from is not None and effective_at < balance.open_from:
        closed = balance.open_from.isoformat()
        raise Unprocessable("period_closed", f"Everything before {closed} is closed for this account; use a later day.")
    return balance


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """A top-up or an adjustment to be taken back: `amount` of it (picodollars, more than zero), or all that is left."""

    account_id: str
    transaction: int
    amount: int | None = None
    reference: str | None = None
    reason: str
    actor: str


async def refund(conn: Connection, refund: Refund) -> PostingView:
    """Book what reverses a movement, in the caller's transaction: the same kind, its legs swapped, naming it.

    A top-up is paid back, so only as far as the wallet holds it and nothing else waits for it. An adjustment may be
    taken back below zero, as it may be made. Raises NotFound, or Unprocessable with what is possible instead.
    """
    await credits.settle(conn, [refund.account_id])  # what has expired is gone, and no part of what the wallet holds
    balance = await store.lock(conn, refund.account_id)
    original = await store.reversible(conn, refund.account_id, refund.transaction)
    if original is None:
        raise NotFound("unknown_transaction", f"Account {refund.account_id} has no transaction {refund.transaction}.")
    if original.kind not in OTHER_SIDE or original.reverses is not None:
        raise Unprocessable("not_refundable", "Only a top-up or an adjustment can be refunded; void a grant.")
    amount = original.left if refund.amount is None else refund.amount
    if amount > original.left or original.left == 0:
        left = money.format(original.left)
        raise Unprocessable("refund_too_large", f"Of transaction {refund.transaction} {left} is left to be refunded.")
    if original.kind == "top_up" and amount > balance.refundable:
        detail = f"The wallet holds {money.format(max(balance.refundable, 0))} that can be paid back."
        raise Unprocessable("insufficient_balance", detail)
    posting = Posting(
        account_id=refund.account_id,
        kind=original.kind,
        source=original.destination,
        destination=original.source,
        amount=amount,
        reference=refund.reference,
        reason=refund.reason,
        actor=refund.actor,
        reverses=refund.transaction,
    )
    posted = await store.post(conn, posting)
    await audit.record(
        conn,
        "refund",
        account=refund.account_id,
        subject=str(posted.transaction),
        amount=money.format(amount),
        reverses=refund.transaction,
        reference=refund.reference,
        reason=refund.reason,
    )
    return await by_number(conn, refund.account_id, posted.transaction)
