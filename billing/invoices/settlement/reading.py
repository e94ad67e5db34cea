"""Invoices and credit notes read back, with what belongs to them."""

from collections.abc import Sequence

from billing.db.pool import Connection
from billing.invoices import store as invoices
from billing.invoices.invoice import Invoice
from billing.invoices.settlement import store
from billing.invoices.settlement.note import CreditNote
from billing.invoices.settlement.standing import Status
from billing.invoices.settlement.views import (
    CreditNoteView,
    CurrentInvoiceView,
    current_view,
    note_view,
    standing_view,
)
from billing.pages import Page


async def current(conn: Connection, found: Sequence[Invoice]) -> list[CurrentInvoiceView]:
    """These invoices with what has become of them."""
    ids = [invoice.id for invoice in found]
    standings = await store.standings(conn, ids)
    notes = await store.notes_of(conn, ids)
    payments = await store.payments_of(conn, ids)
    return [
        current_view(
            invoice,
            standing_view(
                standings[invoice.id],
                [note for note in notes if note.invoice_id == invoice.id],
                [payment for payment in payments if payment.invoice_id == invoice.id],
            ),
        )
        for invoice in found
    ]


async def listed(
    conn: Connection, account_id: str | None, status: Status | None, page: Page
) -> tuple[list[CurrentInvoiceView], bool]:
    """A page of the account's invoices (of all with None), of a status or of any, newest period first."""
    if status is None:
        found, more = await invoices.listed(conn, account_id, page)
    else:
        standings, more = await store.with_status(conn, account_id, status, page)
        by_id = {invoice.id: invoice for invoice in await invoices.find_all(conn, [one.id for one in standings])}
        found = [by_id[one.id] for one in standings]
    return await current(conn, found), more


async def note_views(conn: Connection, notes: Sequence[CreditNote]) -> list[CreditNoteView]:
    """These notes, each with the invoice that it corrects."""
    credited = await invoices.find_all(conn, sorted({note.invoice_id for note in notes}))
    by_id = {invoice.id: invoice for invoice in credited}
    return [note_view(note, by_id[note.invoice_id]) for note in notes]
