"""What webhooks are told of invoices: what it is about, and what it comes to. The rest is asked for by its id."""

from billing import outbox
from billing.db.pool import Connection
from billing.invoices.invoice import Draft
from pricing import money


async def finalized(conn: Connection, draft: Draft, number: str) -> None:
    """Say, in the transaction that gave an invoice its number, that it is final."""
    data = {
        "id": draft.id,
        "number": number,
        "account": draft.account_id,
        "period": {"start": draft.period.start, "end": draft.period.end, "time_zone": draft.time_zone},
        "currency": draft.currency,
        "subtotal": money.format(draft.subtotal),
        "tax": money.format(draft.tax),
        "total": money.format(draft.total),
        "amount_due": money.format(draft.amount_due),
        "due_date": draft.due_date,
    }
    await outbox.add(conn, "invoice.finalized", draft.account_id, data)
