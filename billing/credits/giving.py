"""Giving credit, and taking back what is left of it."""

from datetime import datetime

import msgspec

from billing import ids
from billing.accounts.store import check_not_closed
from billing.audit import log as audit
from billing.credits import store
from billing.credits.grants import Category, Grant, NewGrant, State
from billing.db.pool import Connection
from billing.errors import Conflict, Fault, Invalid, NotFound
from billing.ledger import store as ledger
from billing.ledger.movements import check_open
from pricing import money


class GrantView(msgspec.Struct, frozen=True, kw_only=True):
    """A grant as it is answered: money in dollars. amount = used + remaining + what expired or was taken back."""

    id: str
    account: str
    category: Category
    priority: int
    amount: str
    remaining: str
    used: str
    state: State
    effective_at: datetime
    expires_at: datetime | None
    reference: str | None
    reason: str | None
    created_at: datetime
    transaction: int | None


def view(grant: Grant) -> GrantView:
    amounts = {name: money.format(getattr(grant, name)) for name in ("amount", "remaining", "used")}
    named = {**msgspec.structs.asdict(grant), **amounts, "account": grant.account_id}
    return GrantView(**{name: named[name] for name in GrantView.__struct_fields__})


async def give(conn: Connection, grant: NewGrant, now: datetime | None = None) -> GrantView:
    """Give credit, in the caller's transaction; what has begun by `now` (by the database's clock: None) is posted.

    Raises NotFound for an unknown account, Conflict for a closed one, Unprocessable for a day in a closed period or
    before us, Invalid for a grant that would be over before it begins.
    """
    await check_not_closed(conn, grant.account_id)
    at = now or (await ledger.lock(conn, grant.account_id)).now
    if grant.effective_at is not None:
        await check_open(conn, grant.account_id, grant.effective_at)
    if grant.expires_at is not None and grant.expires_at <= max(grant.effective_at or at, at):
        detail = "expires_at must be later than now and than effective_at."
        raise Invalid("expired", detail, (Fault("expired", detail, "$.expires_at"),))
    grant_id = ids.new("grant")
    await store.insert(conn, grant_id, grant)
    await store.settle(conn, [grant.account_id], now)
    await audit.record(
        conn,
        "grant.give",
        account=grant.account_id,
        subject=grant_id,
        amount=money.format(grant.amount),
        category=grant.category,
        expires_at=grant.expires_at,
        reference=grant.reference,
        reason=grant.reason,
    )
    return view(await _found(conn, grant.account_id, grant_id))


async def void(
    conn: Connection, account_id: str, grant_id: str, *, reason: str, actor: str, now: datetime | None = None
) -> GrantView:
    """Take back what remains of a grant, in the caller's transaction; of one that has not begun that is all of it.

    A paid one goes back to where the money came from. Raises NotFound for an unknown account or grant, Conflict when
    nothing of it is left.
    """
    await ledger.lock(conn, account_id)
    await store.settle(conn, [account_id], now)
    grant = await _found(conn, account_id, grant_id)
    if grant.state not in ("pending", "active"):
        raise Conflict("grant_ended", f"Nothing is left of grant {grant_id}: it is {grant.state}.")
    await store.mark_voided(conn, account_id, grant_id)
    await audit.record(
        conn,
        "grant.void",
        account=account_id,
        subject=grant_id,
        amount=money.format(grant.remaining),
        reason=reason,
    )
    if grant.remaining:
        await ledger.post(
            conn,
            ledger.Posting(
                account_id=account_id,
                kind="grant",
                source="credits",
                destination="cash" if grant.category == "paid" else "promotions",
                amount=grant.remaining,
                reason=reason,
                actor=actor,
                grant_id=grant_id,
                reverses=grant.transaction,
            ),
        )
    return view(await _found(conn, account_id, grant_id))


async def _found(conn: Connection, account_id: str, grant_id: str) -> Grant:
    grant = await store.find(conn, account_id, grant_id)
    if grant is None:
        raise NotFound("unknown_grant", f"There is no grant {grant_id} of account {account_id}.")
    return grant
