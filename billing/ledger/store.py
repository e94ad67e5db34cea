"""The ledger's SQL: one posting at a time, for everything that is not usage.

Usage posts by the batch, in the same statement as its events: billing/metering/post_usage.sql.
"""

from datetime import datetime
from typing import Literal

import msgspec

from billing.db.dollars import dollars, picos
from billing.db.pool import Connection
from billing.errors import NotFound
from billing.observe.metrics import POSTINGS

Book = Literal["wallet", "revenue", "cash", "adjustments", "rounding"]
Kind = Literal["usage", "top_up", "adjustment", "rounding"]


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """An amount (picodollars, not negative) that moves from a source to a destination of one account's book.

    `effective_at` decides the period it belongs to; None means now.
    """

    account_id: str
    kind: Kind
    source: Book
    destination: Book
    amount: int
    effective_at: datetime | None = None
    reference: str | None = None
    reason: str | None = None
    actor: str | None = None


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """What was booked. `seq` counts the account's transactions; `balance` is the wallet after it, in picodollars."""

    transaction: int
    seq: int
    balance: int
    effective_at: datetime
    posted_at: datetime


POST = """
WITH account AS (
  UPDATE balances
  SET posted = posted + %(change)s, transactions = transactions + 1
  WHERE account_id = %(account_id)s
  RETURNING account_id, posted, transactions, open_from
)
INSERT INTO postings (account_id, transaction, line, seq, kind, source, destination, amount, balance,
                      effective_at, reference, reason, actor)
SELECT account_id, nextval('transaction_numbers'), 1, transactions, %(kind)s, %(source)s, %(destination)s, %(amount)s,
       posted, greatest(coalesce(%(effective_at)s, clock_timestamp()), open_from), %(reference)s, %(reason)s, %(actor)s
FROM account
RETURNING transaction, seq, balance, effective_at, posted_at
"""


async def post(conn: Connection, posting: Posting) -> Posted:
    """Book one posting and move the wallet with it; one statement, the account's row locked until the commit.

    Never into a closed period: what waited for the lock while one was closed counts from the start of the next.

    Raises NotFound for an unknown account.
    """
    change = posting.amount * ((posting.destination == "wallet") - (posting.source == "wallet"))
    parameters = {**msgspec.structs.asdict(posting), "amount": dollars(posting.amount), "change": dollars(change)}
    row = await (await conn.execute(POST, parameters)).fetchone()
    if row is None:
        raise NotFound("unknown_account", f"There is no account {posting.account_id}.")
    POSTINGS.inc()
    return Posted(**{**row, "balance": picos(row["balance"])})
