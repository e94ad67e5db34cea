"""Money that is counted towards an invoice: recorded as it came in, or taken from a top-up that is booked already."""

from datetime import UTC, datetime

import msgspec

from billing import ids
from billing.audit import log as audit
from billing.db.pool import Connection
from billing.errors import Conflict, NotFound, Unprocessable
from billing.invoices.settlement import store
from billing.invoices.settlement.notes import locked
from billing.invoices.settlement.standing import Payment
from billing.ledger import store as ledger
from billing.ledger.movements import EARLIEST
from billing.ledger.store import Posting
from pricing import money


class Pay(msgspec.Struct, frozen=True, kw_only=True):
    """Money for an invoice: `amount` of it (picodollars), or all that is open.

    With `from_top_up` the money is that of the top-up of this reference; else it came in now, at `paid_at`.
    """

    invoice_id: str
    reference: str
    amount: int | None = None
    from_top_up: bool = False
    method: str | None = None
    paid_at: datetime | None = None
    actor: str


async def pay(conn: Connection, asked: Pay) -> Payment:
    """Count money towards an invoice, in the caller's transaction; what comes in is posted, once for its reference.

    Raises NotFound, Conflict for a void invoice or a reference that is booked, Unprocessable for more than is open or
    than the top-up has left, or for a day that cannot be.
    """
    invoice, standing = await locked(conn, asked.invoice_id)
    amount = standing.open if asked.amount is None else asked.amount
    if amount > standing.open or amount == 0:
        detail = f"{money.format(standing.open)} of invoice {invoice.number} is open; book what is more as a top-up."
        raise Unprocessable("payment_too_large", detail)
    await _check_day(conn, invoice.account_id, asked.paid_at)
    known = await store.money_in(conn, invoice.account_id, asked.reference)
    if asked.from_top_up:
        top_up = _top_up(known, asked.reference)
        amount = min(amount, top_up.left) if asked.amount is None else amount
        if amount > top_up.left or amount == 0:
            left = money.format(top_up.left)
            raise Unprocessable("payment_too_large", f"The top-up {asked.reference} has {left} left for invoices.")
        transaction, paid_at = top_up.transaction, top_up.effective_at
    else:
        transaction, paid_at = await _book(conn, invoice.account_id, known, asked, amount)
    payment = Payment(
        id=ids.new("pay"),
        account_id=invoice.account_id,
        invoice_id=invoice.id,
        amount=amount,
        transaction=transaction,
        reference=asked.reference,
        method=asked.method,
        paid_at=asked.paid_at or paid_at,
        created_at=datetime.now(UTC),
    )
    await store.insert_payment(conn, payment, asked.actor)
    await audit.record(
        conn,
        "payment.record",
        account=payment.account_id,
        subject=payment.id,
        invoice=invoice.id,
        amount=money.format(amount),
        reference=asked.reference,
        transaction=transaction,
    )
    return await found(conn, payment.id)


async def _check_day(conn: Connection, account_id: str, paid_at: datetime | None) -> None:
    """Raises Unprocessable for a day on which nobody can have paid yet, or any more."""
    if paid_at is None:
        return
    if paid_at > (await ledger.lock(conn, account_id)).now:
        raise Unprocessable("future", "Nobody has paid in the future: paid_at is after now.")
    if paid_at < EARLIEST:
        raise Unprocessable("too_early", f"Money cannot be booked before {EARLIEST:%Y-%m-%d}; see paid_at.")


def _top_up(known: list[store.MoneyIn], reference: str) -> store.MoneyIn:
    """The top-up of a reference that has most left. Raises NotFound."""
    top_ups = [one for one in known if one.kind == "top_up"]
    if not top_ups:
        raise NotFound("unknown_top_up", f"The account has no top-up of the reference {reference}.")
    return max(top_ups, key=lambda one: one.left)


async def _book(
    conn: Connection, account_id: str, known: list[store.MoneyIn], asked: Pay, amount: int
) -> tuple[int, datetime]:
    """Post the money; its transaction, and when it counts from: never in a closed period."""
    for one in known:
        if one.kept:
            how = "as a top-up: count that towards the invoice" if one.kind == "top_up" else "already"
            raise Conflict("payment_exists", f"{asked.reference} is booked {how} (transaction {one.transaction}).")
    posting = Posting(
        account_id=account_id,
        kind="payment",
        source="cash",
        destination="wallet",
        amount=amount,
        effective_at=asked.paid_at,
        reference=asked.reference,
        actor=asked.actor,
    )
    posted = await ledger.post(conn, posting)
    return posted.transaction, posted.effective_at


async def reverse(conn: Connection, payment_id: str, *, reason: str, actor: str) -> Payment:
    """Take a payment back, in the caller's transaction: a bounced one, or one that was recorded wrongly.

    Money that came in for the invoice goes out again, whatever the wallet holds; a top-up stays in the wallet, and is
    counted towards the invoice no longer. Raises NotFound, or Conflict for one that is taken back already.
    """
    payment = await found(conn, payment_id)
    await ledger.lock(conn, payment.account_id)
    payment = await found(conn, payment_id)
    if payment.reversed_at is not None:
        raise Conflict("payment_reversed", f"Payment {payment_id} was taken back already.")
    reversal = await _take_back(conn, payment, reason, actor)
    await store.reverse_payment(conn, payment, new_id=ids.new("pay"), reversal=reversal, reason=reason, actor=actor)
    await audit.record(
        conn,
        "payment.reverse",
        account=payment.account_id,
        subject=payment.id,
        invoice=payment.invoice_id,
        amount=money.format(payment.amount),
        reason=reason,
        reversal=reversal,
    )
    return await found(conn, payment_id)


async def _take_back(conn: Connection, payment: Payment, reason: str, actor: str) -> int | None:
    original = await ledger.reversible(conn, payment.account_id, payment.transaction)
    if original is None or original.kind != "payment":
        return None
    posting = Posting(
        account_id=payment.account_id,
        kind="payment",
        source="wallet",
        destination="cash",
        amount=payment.amount,
        reference=payment.reference,
        reason=reason,
        actor=actor,
        reverses=payment.transaction,
    )
    return (await ledger.post(conn, posting)).transaction


async def move(conn: Connection, payment: Payment, *, to: str, reason: str, actor: str) -> None:
    """Count a payment towards another invoice of the account instead; no money moves."""
    await store.reverse_payment(conn, payment, new_id=ids.new("pay"), reversal=None, reason=reason, actor=actor)
    moved = msgspec.structs.replace(payment, id=ids.new("pay"), invoice_id=to)
    await store.insert_payment(conn, moved, actor)


async def found(conn: Connection, payment_id: str) -> Payment:
    """Raises NotFound."""
    payment = await store.payment(conn, payment_id)
    if payment is None:
        raise NotFound("unknown_payment", f"There is no payment {payment_id[:80]}.")
    return payment
