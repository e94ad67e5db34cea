"""Putting another invoice in the place of one whose details were wrong."""

import msgspec

from billing import ids
from billing.audit import log as audit
from billing.db.pool import Connection
from billing.errors import Conflict
from billing.invoices import store as invoices
from billing.invoices import told
from billing.invoices.invoice import Invoice, Issuer
from billing.invoices.settlement import store
from billing.invoices.settlement.note import take
from billing.invoices.settlement.notes import Credit, issue, locked
from billing.invoices.settlement.payments import move


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice whose details are to be corrected by another one."""

    invoice_id: str
    reason: str
    actor: str


async def replace(
    conn: Connection, asked: Replacement, issuer: Issuer, *, invoice_prefix: str, note_prefix: str
) -> Invoice:
    """Void an invoice and put another in its place, in the caller's transaction: the same lines, the details of today.

    No money moves: what was posted stands, and what was paid counts towards the new one. Raises NotFound, or Conflict
    for an invoice that is void or credited in part.
    """
    invoice, standing = await locked(conn, asked.invoice_id)
    if standing.notes:
        raise Conflict("invoice_credited", f"Invoice {invoice.number} is credited in part; what is left can be voided.")
    taking = take(invoice, await store.credited(conn, invoice), None)
    voiding = Credit(invoice_id=invoice.id, lines=None, settle="replacement", reason=asked.reason, actor=asked.actor)
    await issue(conn, invoice, voiding, taking, note_prefix)
    new_id = ids.new("inv")
    await store.replace(conn, new_id, invoice.id, issuer, invoice_prefix)
    for payment in await store.payments_of(conn, [invoice.id]):
        if payment.reversed_at is None:
            await move(conn, payment, to=new_id, reason=asked.reason, actor=asked.actor)
    new = await invoices.find(conn, new_id, None)
    assert new is not None
    await audit.record(
        conn, "invoice.replace", account=new.account_id, subject=new.id, replaces=invoice.id, reason=asked.reason
    )
    await told.finalized(conn, new, new.number)
    return new
