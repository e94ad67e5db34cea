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

Book = Literal["wallet", "credits", "revenue", "cash", "adjustments", "promotions", "breakage", "rounding", "taxes"]
Kind = Literal["usage", "top_up", "adjustment", "rounding", "grant", "burn", "expiry", "tax", "payment", "credit_note"]


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """An amount (picodollars, not negative) that moves from a source to a destination of one account's book.

    `effective_at` decides the period it belongs to; None means now. `reverses` is the transaction that it takes back.
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
    grant_id: str | None = None
    reverses: int | None = None


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """What was booked. `seq` counts the account's transactions; `balance` is all it has after it, in picodollars."""

    transaction: int
    seq: int
    balance: int
    effective_at: datetime
    posted_at: datetime


POST = """
WITH number AS (
  SELECT nextval('transaction_numbers') AS transaction, coalesce(%(effective_at)s, clock_timestamp()) AS moment
),
account AS (
  UPDATE balances
  SET posted = posted + %(change)s, credits = credits + %(credits)s, transactions = transactions + 1,
      chain = chained(chain, chain_link(account_id, transaction, said_of_posting(
        %(kind)s, %(source)s, %(destination)s, %(amount)s, greatest(moment, open_from), %(reference)s, %(reason)s,
        %(actor)s, %(grant_id)s, %(reverses)s
      )))
  FROM number
  WHERE account_id = %(account_id)s
  RETURNING account_id, posted, transactions, greatest(moment, open_from) AS effective_at, chain, transaction
)
INSERT INTO postings (account_id, transaction, line, seq, kind, source, destination, amount, balance,
                      effective_at, reference, reason, actor, grant_id, reverses, chain)
SELECT account_id, transaction, 1, transactions, %(kind)s, %(source)s, %(destination)s, %(amount)s,
       posted, effective_at, %(reference)s, %(reason)s, %(actor)s, %(grant_id)s, %(reverses)s, chain
FROM account
RETURNING transaction, seq, balance, effective_at, posted_at
"""


async def post(conn: Connection, posting: Posting) -> Posted:
    """Book one posting and move the balance with it; one statement, the account's row locked until the commit.

    Never into a closed period: what waited for the lock while one was closed counts from the start of the next.

    Raises NotFound for an unknown account.
    """
    wallet, credit = _change(posting, "wallet"), _change(posting, "credits")
    amounts = {"amount": dollars(posting.amount), "change": dollars(wallet + credit), "credits": dollars(credit)}
    parameters = {**msgspec.structs.asdict(posting), **amounts}
    row = await (await conn.execute(POST, parameters)).fetchone()
    if row is None:
        raise NotFound("unknown_account", f"There is no account {posting.account_id}.")
    POSTINGS.inc()
    return Posted(**{**row, "balance": picos(row["balance"])})


def _change(posting: Posting, book: Book) -> int:
    """What a posting adds to a book, or takes from it."""
    return posting.amount * ((posting.destination == book) - (posting.source == book))


class Locked(msgspec.Struct, frozen=True, kw_only=True):
    """A balance that nobody else moves until the commit, `now` by the database's clock. `refundable` is what could be
    paid out of the wallet, when no credits are due."""

    refundable: int
    open_from: datetime | None
    now: datetime


async def lock(conn: Connection, account_id: str) -> Locked:
    """Lock an account's row until the caller commits. Raises NotFound for an unknown account."""
    cursor = await conn.execute(
        """
        SELECT posted - greatest(credits, held) AS refundable, open_from, clock_timestamp() AS now
        FROM balances
        WHERE account_id = %s
        FOR NO KEY UPDATE
        """,
        [account_id],
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("unknown_account", f"There is no account {account_id}.")
    return Locked(refundable=picos(row["refundable"]), open_from=row["open_from"], now=row["now"])


class Reversible(msgspec.Struct, frozen=True, kw_only=True):
    """The first posting of a transaction, and how much of it (picodollars) no other has taken back, and no invoice was
    paid with."""

    kind: Kind
    source: Book
    destination: Book
    left: int
    reverses: int | None


async def reversible(conn: Connection, account_id: str, transaction: int) -> Reversible | None:
    """What could be taken back of a transaction; None: the account has no such transaction."""
    cursor = await conn.execute(
        """
        SELECT kind, source, destination, reverses, amount - coalesce((
          SELECT sum(later.amount)
          FROM postings AS later
          WHERE later.account_id = first.account_id AND later.reverses = first.transaction
        ), 0) - coalesce((
          SELECT sum(CASE WHEN payments.reverses IS NULL THEN payments.amount ELSE -payments.amount END)
          FROM payments
          WHERE payments.account_id = first.account_id AND payments.transaction = first.transaction
        ), 0) AS left
        FROM postings AS first
        WHERE account_id = %s AND transaction = %s AND line = 1
        """,
        [account_id, transaction],
    )
    row = await cursor.fetchone()
    return None if row is None else Reversible(**{**row, "left": picos(row["left"])})
