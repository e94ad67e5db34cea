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


async def by_number(conn: Connection, account_id: str, transaction: int) -> PostingView:
    """The first posting of a transaction that is known to exist."""
    cursor = await conn.execute(
        "SELECT * FROM postings WHERE account_id = %s AND transaction = %s AND line = 1", [account_id, transaction]
    )
    row = await cursor.fetchone()
    assert row is not None
    return posting_view(row)


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
