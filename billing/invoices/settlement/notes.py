"""Crediting invoices: in part, or whole, which voids them."""

from collections.abc import Sequence

import msgspec

from billing import ids, outbox
from billing.audit import log as audit
from billing.db.pool import Connection
from billing.errors import Conflict, NotFound, Unprocessable
from billing.invoices import store as invoices
from billing.invoices.invoice import Invoice
from billing.invoices.settlement import store
from billing.invoices.settlement.note import CreditNote, Settle, Taking, Wanted, take
from billing.invoices.settlement.standing import Standing
from billing.ledger import store as ledger
from billing.ledger.store import Book, Posting
from pricing import money


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """A credit note to be issued over some lines of an invoice, or (None) over all that is left of it."""

    invoice_id: str
    lines: Sequence[Wanted] | None
    settle: Settle
    reason: str
    actor: str


async def credit(conn: Connection, asked: Credit, prefix: str) -> CreditNote:
    """Issue a credit note in the caller's transaction, and move the money that it gives back.

    Raises NotFound, Conflict for an invoice that is void, Unprocessable for more than is left of it, or for paying out
    what has not been paid, or not by money.
    """
    invoice, standing = await locked(conn, asked.invoice_id)
    before = await store.credited(conn, invoice)
    taking = take(invoice, before, asked.lines)
    if taking.total < 0:
        raise Unprocessable("credit_too_large", "The invoice gives money back: there is nothing to credit.")
    if asked.settle == "refund":
        await _check_paid(conn, invoice, standing, before.paid_out + taking.total)
    return await issue(conn, invoice, asked, taking, prefix)


async def _check_paid(conn: Connection, invoice: Invoice, standing: Standing, out: int) -> None:
    """Raises Unprocessable unless so much of the invoice, to be paid out in all, was paid with money: not with what was
    given away.
    """
    if standing.open:
        detail = f"{money.format(standing.open)} of the invoice is not paid yet: let the note go to the wallet."
        raise Unprocessable("invoice_unpaid", detail)
    given = min(await store.promotional(conn, invoice), invoice.total)
    if out > invoice.total - given:
        detail = (
            f"Promotional credit paid {money.format(given)} of the invoice, so at most "
            f"{money.format(invoice.total - given)} of it can be paid out: let the note go to the wallet."
        )
        raise Unprocessable("refund_too_large", detail)


async def locked(conn: Connection, invoice_id: str) -> tuple[Invoice, Standing]:
    """An invoice that is not void, its account's balance locked. Raises NotFound or Conflict."""
    invoice = await invoices.find(conn, invoice_id, None)
    if invoice is None:
        raise NotFound("unknown_invoice", f"There is no invoice {invoice_id[:80]}.")
    await ledger.lock(conn, invoice.account_id)
    standing = await store.standing(conn, invoice.id)
    if standing.status == "void":
        instead = f": {standing.replaced_by} stands for it" if standing.replaced_by else ""
        raise Conflict("invoice_void", f"Invoice {invoice.number} is void{instead}.")
    return invoice, standing


async def issue(conn: Connection, invoice: Invoice, asked: Credit, taking: Taking, prefix: str) -> CreditNote:
    """Post what a note gives back, and write it with the next number; the account's balance is locked."""
    note_id = ids.new("cn")
    net = await _give_back(conn, invoice, asked, note_id, "revenue", taking.subtotal - taking.tax_included)
    tax = await _give_back(conn, invoice, asked, note_id, "taxes", taking.tax + taking.tax_included)
    new = store.NewNote(
        id=note_id,
        invoice_id=invoice.id,
        taking=taking,
        settle=asked.settle,
        reason=asked.reason,
        actor=asked.actor,
        transaction=net,
        tax_transaction=tax,
    )
    await store.issue(conn, new, prefix)
    note = await store.note(conn, note_id, invoice.account_id)
    assert note is not None
    told = {
        "number": note.number,
        "account": note.account_id,
        "invoice": invoice.id,
        "currency": note.currency,
        "subtotal": money.format(taking.subtotal),
        "tax": money.format(taking.tax),
        "total": money.format(taking.total),
        "settle": note.settle,
        "reason": note.reason,
    }
    await audit.record(conn, "credit_note.issue", subject=note.id, **told)
    await outbox.add(conn, "credit_note.issued", note.account_id, {"id": note.id, **told})
    return note


async def _give_back(
    conn: Connection, invoice: Invoice, asked: Credit, note_id: str, source: Book, amount: int
) -> int | None:
    """Post what a note gives back out of one book, now; the transaction, if there is any."""
    if asked.settle == "replacement" or not amount:
        return None
    posting = Posting(
        account_id=invoice.account_id,
        kind="credit_note",
        source=source,
        destination="wallet" if asked.settle == "wallet" else "cash",
        amount=amount,
        reference=note_id,
        reason=asked.reason,
        actor=asked.actor,
    )
    return (await ledger.post(conn, posting)).transaction
