"""The proof that no cent is missing: every sum in the book, done again from what it is the sum of (rules.md Ledger 3).

Each check is one query that answers a sentence for each difference it finds, and nothing when all is right. They all
read one snapshot, so that usage which is posted meanwhile is no difference.
"""

from collections.abc import Awaitable, Callable
from typing import LiteralString, NamedTuple

from psycopg import sql

from billing.db.pool import Connection
from billing.invoices.verify import differences as invoice_differences

SHOWN_MAX = 20
"""Differences listed for each check; of more, the number is said."""


class Check(NamedTuple):
    """What is claimed, and the query whose rows (`difference`) say where it is not so."""

    claim: str
    query: LiteralString


CHECKS = (
    Check(
        "Every balance is the sum of its postings",
        """
        SELECT format('Account %s has a balance of %s, but its postings sum up to %s.', account_id, posted, total)
          AS difference
        FROM (
          SELECT account_id, balances.posted, coalesce(sum(
            CASE WHEN destination = 'wallet' THEN amount WHEN source = 'wallet' THEN -amount ELSE 0 END
          ), 0) AS total
          FROM balances LEFT JOIN postings USING (account_id)
          GROUP BY account_id, balances.posted
        ) AS summed
        WHERE posted <> total
        """,
    ),
    Check(
        "Transactions are numbered without gaps, and each carries the balance after it",
        """
        WITH changes AS (
          SELECT account_id, transaction, seq, min(balance) AS balance, max(balance) AS other_balance,
                 sum(CASE WHEN destination = 'wallet' THEN amount WHEN source = 'wallet' THEN -amount ELSE 0 END)
                   AS change
          FROM postings
          GROUP BY account_id, transaction, seq
        ),
        running AS (
          SELECT *, row_number() OVER by_seq AS expected_seq, sum(change) OVER by_seq AS expected_balance
          FROM changes
          WINDOW by_seq AS (PARTITION BY account_id ORDER BY seq)
        )
        SELECT format('Transaction %s of account %s is number %s with a balance of %s; it should be number %s with %s.',
                      transaction, account_id, seq, balance, expected_seq, expected_balance) AS difference
        FROM running
        WHERE seq <> expected_seq OR balance <> expected_balance OR other_balance <> expected_balance
        UNION ALL
        SELECT format('Account %s counts %s transactions, but %s are booked.', account_id, transactions, booked)
        FROM (
          SELECT account_id, transactions, count(DISTINCT seq) AS booked
          FROM balances LEFT JOIN postings USING (account_id)
          GROUP BY account_id, transactions
        ) AS counted
        WHERE transactions <> booked
        """,
    ),
    Check(
        "What events were charged is what was posted",
        """
        SELECT format('Transaction %s of account %s posted %s, but its events were charged %s.',
                      transaction, account_id, coalesce(posted, 0), coalesce(charged, 0)) AS difference
        FROM (
          SELECT account_id, transaction, sum(amount) AS posted FROM postings WHERE kind = 'usage' GROUP BY 1, 2
        ) AS posted
        FULL JOIN (
          SELECT account_id, transaction, sum(amount) AS charged FROM charges GROUP BY 1, 2
        ) AS charged USING (account_id, transaction)
        WHERE posted IS DISTINCT FROM charged
        """,
    ),
    Check(
        "Every charge follows from its quantities, official prices and multiplier",
        """
        SELECT format('Event %s of source %s, account %s, was charged %s; its factors make %s.',
                      id, source, account_id, amount, expected) AS difference
        FROM (
          SELECT charges.account_id, charges.source, charges.id, charges.amount, coalesce(sum(round(
            quantity * official * multiplier * 1.000000000000000000000000 / unit_size, 12
          )), 0) AS expected
          FROM charges
          CROSS JOIN LATERAL unnest(price_ids, quantities) AS line(price_id, quantity)
          LEFT JOIN prices ON prices.id = price_id
          GROUP BY charges.account_id, charges.source, charges.id
        ) AS recomputed
        WHERE amount <> expected
        """,
    ),
    Check(
        "The roll-ups are the sums of the charges",
        """
        WITH lines AS (
          SELECT charges.account_id, date_bin('15 minutes', charges.time, 'epoch') AS slot, price_id, quantity,
                 round(quantity * coalesce(official, 0) * multiplier * 1.000000000000000000000000 / unit_size, 12)
                   AS amount,
                 (line.place = 1 AND corrects IS NULL)::integer AS requests,
                 (
                   SELECT min(effective_at) FROM postings
                   WHERE postings.account_id = charges.account_id AND postings.transaction = charges.transaction
                     AND effective_at >= date_bin('15 minutes', charges.time, 'epoch')
                 ) AS billed
          FROM charges
          CROSS JOIN LATERAL unnest(price_ids, quantities) WITH ORDINALITY AS line(price_id, quantity, place)
          JOIN prices ON prices.id = price_id
        ),
        charged AS (
          SELECT account_id, billed, slot, price_id, count(*) AS events, sum(requests) AS requests,
                 sum(quantity) AS quantity, sum(amount) AS amount
          FROM lines
          GROUP BY account_id, billed, slot, price_id
        ),
        rolled_up AS (
          SELECT account_id, billed, slot, price_id, sum(events) AS events, sum(requests) AS requests,
                 sum(quantity) AS quantity, sum(amount) AS amount
          FROM usage_rollups
          GROUP BY account_id, billed, slot, price_id
        )
        SELECT format('The roll-up of account %s at %s, price %s, says %s for %s events; the charges say %s for %s.',
                      account_id, slot, price_id, r.amount, r.events, c.amount, c.events) AS difference
        FROM rolled_up AS r FULL JOIN charged AS c USING (account_id, billed, slot, price_id)
        WHERE (r.events, r.requests, r.quantity, r.amount) IS DISTINCT FROM (c.events, c.requests, c.quantity, c.amount)
        """,
    ),
    Check(
        "Every event that was charged is kept",
        """
        SELECT format('Account %s has %s charges, but %s of the events are kept.', account_id, charged, kept)
          AS difference
        FROM (SELECT account_id, count(*) AS charged FROM charges GROUP BY account_id) AS charged
        FULL JOIN (SELECT account_id, count(*) AS kept FROM events GROUP BY account_id) AS kept USING (account_id)
        WHERE charged IS DISTINCT FROM kept
        """,
    ),
)

INVOICES = "Invoices are the sums of their lines, their lines those of the roll-ups, their numbers without gaps"


async def differences(conn: Connection, progress: Callable[[str, list[str]], None]) -> list[str]:
    """Every difference in the whole book, as sentences; none when it is right. `progress` hears of each check done."""
    found: list[str] = []
    async with conn.transaction():
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await conn.execute("SET LOCAL statement_timeout = 0")
        for check in CHECKS:
            found += await _reported(check.claim, _found(conn, check.query), progress)
        found += await _reported(INVOICES, invoice_differences(conn), progress)
    return found


async def _reported(claim: str, finding: Awaitable[list[str]], progress: Callable[[str, list[str]], None]) -> list[str]:
    found = await finding
    progress(claim, found)
    return found


async def _found(conn: Connection, query: LiteralString) -> list[str]:
    limited = sql.SQL("SELECT difference, count(*) OVER () AS total FROM ({}) AS found LIMIT {}").format(
        sql.SQL(query), SHOWN_MAX
    )
    rows = await (await conn.execute(limited)).fetchall()
    shown = [row["difference"] for row in rows]
    more = rows[0]["total"] - len(rows) if rows else 0
    return [*shown, f"… and {more} more like it."] if more else shown
