"""The ledger, read back."""

from datetime import datetime
from typing import Any

import msgspec

from billing.db.dollars import picos
from billing.db.pool import Connection
from billing.pages import Page, rows_of
from pricing import money


class PostingView(msgspec.Struct, frozen=True, kw_only=True):
    """A posting as it is answered: money in dollars; `balance` is the wallet after its transaction."""

    id: str
    account: str
    transaction: int
    line: int
    seq: int
    kind: str
    source: str
    destination: str
    amount: str
    balance: str
    effective_at: datetime
    posted_at: datetime
    reference: str | None
    reason: str | None


def posting_view(row: dict[str, Any]) -> PostingView:
    named = {
        **row,
        "id": f"{row['transaction']}.{row['line']}",
        "account": row["account_id"],
        "amount": money.format(picos(row["amount"])),
        "balance": money.format(picos(row["balance"])),
    }
    return PostingView(**{field: named[field] for field in PostingView.__struct_fields__})


async def journal(conn: Connection, account_id: str, page: Page) -> tuple[list[PostingView], bool]:
    """A page of the account's postings, newest first, and whether more follow."""
    rows, more = await rows_of(
        conn,
        "SELECT *, transaction || '.' || line AS id FROM postings WHERE account_id = %(account_id)s",
        {"account_id": account_id},
        newest_by="seq",
        page=page,
    )
    return [posting_view(row) for row in rows], more
