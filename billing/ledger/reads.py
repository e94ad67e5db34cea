"""The ledger, read back."""

import re
from datetime import datetime
from typing import Any

import msgspec
from psycopg import sql

from billing.db.dollars import picos
from billing.db.pool import Connection
from billing.errors import NotFound
from billing.pages import Page, two_cursors, unknown_cursor
from pricing import money

POSTING_ID = re.compile(r"([0-9]{1,18})\.([0-9]{1,9})", re.ASCII)


class PostingView(msgspec.Struct, frozen=True, kw_only=True):
    """A posting as it is answered: money in dollars; `balance` is what wallet and credits hold after its transaction.

    `grant` is the grant of credit that it moves, `reverses` the transaction that it takes back.
    """

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
    grant: str | None = None
    reverses: int | None = None


def posting_view(row: dict[str, Any]) -> PostingView:
    named = {
        **row,
        "id": f"{row['transaction']}.{row['line']}",
        "account": row["account_id"],
        "grant": row["grant_id"],
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


async def journal(conn: Connection, account_id: str, page: Page, *, costs: bool) -> tuple[list[PostingView], bool]:
    """A page of the account's postings, newest first, and whether more follow. Raises Invalid: see `rows_of`.

    With `costs` or without: what upstreams take is nobody's business but the operator's.

    Reads as much of the journal as it answers, however long that is: by the order of the transactions (`seq`, `line`),
    with the edge found by its key.
    """
    if page.starting_after and page.ending_before:
        raise two_cursors()
    edge = page.ending_before or page.starting_after
    backwards = page.ending_before is not None
    seq, line = (None, None) if edge is None else await _place(conn, account_id, edge)
    query = sql.SQL(
        """
        SELECT * FROM postings
        WHERE account_id = %(account_id)s
          AND (%(costs)s OR kind <> 'cost')
          AND (%(seq)s::bigint IS NULL OR (seq, line) {older} (%(seq)s::bigint, %(line)s::integer))
        ORDER BY seq {direction}, line {direction}
        LIMIT %(limit)s + 1
        """
    ).format(older=sql.SQL(">" if backwards else "<"), direction=sql.SQL("ASC" if backwards else "DESC"))
    parameters = {"account_id": account_id, "seq": seq, "line": line, "limit": page.limit, "costs": costs}
    found = await (await conn.execute(query, parameters)).fetchall()
    kept = [posting_view(row) for row in found[: page.limit]]
    return (kept[::-1] if backwards else kept), len(found) > page.limit


async def _place(conn: Connection, account_id: str, edge: str) -> tuple[int, int]:
    """Where the posting of this id stands in the account's journal."""
    named = POSTING_ID.fullmatch(edge)
    if named is not None:
        cursor = await conn.execute(
            "SELECT seq, line FROM postings WHERE account_id = %s AND transaction = %s AND line = %s",
            [account_id, int(named[1]), int(named[2])],
        )
        row = await cursor.fetchone()
        if row is not None:
            return row["seq"], row["line"]
    raise unknown_cursor(edge)


class PastBalance(msgspec.Struct, frozen=True, kw_only=True):
    """What wallet and credits held at an instant, by what was booked until then, in dollars.

    Nothing that is booked later changes it, whenever that counts from. Holds and limits of the past are not kept.
    """

    account: str
    currency: str
    posted: str
    as_of: datetime


# Transactions are numbered without gaps in the order they were booked in, so the last one by an instant is found by
# halving. (`posted_at` is when a transaction began; where several waited for one another it may lie a little before
# that of the one ahead, and then the answer is a balance of that moment, too.)
BALANCE_AT = """
WITH RECURSIVE search(low, high) AS (
  SELECT 0::bigint, transactions FROM balances WHERE account_id = %(account_id)s
  UNION ALL
  SELECT CASE WHEN booked THEN middle ELSE low END, CASE WHEN booked THEN high ELSE middle - 1 END
  FROM search
  CROSS JOIN LATERAL (SELECT (low + high + 1) / 2 AS middle) AS halved
  CROSS JOIN LATERAL (
    SELECT posted_at <= %(at)s AS booked FROM postings WHERE account_id = %(account_id)s AND seq = middle LIMIT 1
  ) AS looked_at
  WHERE low < high
)
SELECT coalesce((SELECT balance FROM postings WHERE account_id = %(account_id)s AND seq = low LIMIT 1), 0) AS posted
FROM search
WHERE low = high
"""


async def balance_at(conn: Connection, account_id: str, at: datetime) -> PastBalance:
    """The balance as it was booked by an instant. Raises NotFound for an unknown account."""
    row = await (await conn.execute(BALANCE_AT, {"account_id": account_id, "at": at})).fetchone()
    if row is None:
        raise NotFound("unknown_account", f"There is no account {account_id}.")
    return PastBalance(account=account_id, currency="USD", posted=money.format(picos(row["posted"])), as_of=at)
