"""The holds room's SQL. Its locks: who makes holds locks the accounts, sorted; who ends one locks it first."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString

import msgspec

from billing.db.arrays import BytesArray, InstantArray, Int8Array, TextArray
from billing.db.dollars import picos
from billing.db.pool import Connection
from billing.holds.rules import SPANS, Account, Hold, Key, Seen, Span
from billing.pages import Page, rows_of

ZERO = Decimal(0)

# Of the accounts that are named, or whose keys are.
LOCK = """
SELECT account_id, posted, held, credit_limit, clock_timestamp() AS now,
       coalesce(credits_due_at <= statement_timestamp(), false) AS credits_due
FROM balances
WHERE account_id = ANY(ARRAY(
  SELECT unnest(%(accounts)s) UNION SELECT account_id FROM api_keys WHERE hash = ANY(%(hashes)s)
))
ORDER BY account_id
FOR NO KEY UPDATE
"""

ACCOUNTS = """
SELECT id, closed_at IS NOT NULL AS closed, suspended_at IS NOT NULL AS suspended
FROM accounts
WHERE id = ANY(ARRAY(
  SELECT unnest(%(accounts)s) UNION SELECT account_id FROM api_keys WHERE hash = ANY(%(hashes)s)
))
"""

KEYS = """
SELECT hash, id, key.account_id, revoked_at IS NOT NULL AS revoked, coalesce(expires_at <= now(), false) AS expired,
       day_limit, month_limit, total_limit, models, ips, day, month, total, held
FROM api_keys AS key
CROSS JOIN LATERAL (
  SELECT sum(amount) FILTER (WHERE span = 'day') AS day, sum(amount) FILTER (WHERE span = 'month') AS month,
         sum(amount) FILTER (WHERE span = 'total') AS total, sum(amount) FILTER (WHERE span = 'held') AS held
  FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) AS calendar
  CROSS JOIN LATERAL (
    VALUES ('day', today), ('month', date_trunc('month', today::timestamp)::date),
           ('total', date '1970-01-01'), ('held', date '1970-01-01')
  ) AS spans(span, start)
  JOIN key_sums USING (span, start)
  WHERE key_sums.account_id = key.account_id AND key_id = key.id
    AND num_nonnulls(day_limit, month_limit, total_limit) > 0
) AS sums
WHERE hash = ANY(%(hashes)s) AND key.account_id IS NOT NULL
"""

NAMED = """
SELECT holds.* FROM unnest(%(owners)s, %(ids)s) AS named(account_id, id) JOIN holds USING (account_id, id)
UNION
SELECT holds.*
FROM unnest(%(owner_hashes)s, %(hash_ids)s) AS named(hash, id)
JOIN api_keys USING (hash)
JOIN holds ON holds.account_id = api_keys.account_id AND holds.id = named.id
"""


async def look(conn: Connection, owners: Sequence[str | bytes], ids: Sequence[str | None]) -> Seen:
    """Lock the accounts of these owners (ids of accounts, hashes of keys), and see what is true of them.

    What is locked is read as it is then; all else by statements that begin later, and so see what was committed before.
    """
    accounts = [owner for owner in owners if isinstance(owner, str)]
    hashes = [owner for owner in owners if isinstance(owner, bytes)]
    named = {"accounts": TextArray.of(set(accounts)), "hashes": BytesArray.of(set(hashes))}
    locked = await conn.execute(LOCK, named)
    states = await conn.execute(ACCOUNTS, named)
    keys = await conn.execute(KEYS, named) if hashes else None
    before = await conn.execute(NAMED, _named(owners, ids)) if any(ids) else None
    balances = await locked.fetchall()
    of = {row["id"]: row for row in await states.fetchall()}
    return Seen(
        now=balances[0]["now"] if balances else datetime.min,  # noqa: DTZ901 - then there is nobody to hold for
        accounts={row["account_id"]: _account(row, of[row["account_id"]]) for row in balances},
        keys={row["hash"]: _key(row) for row in await keys.fetchall()} if keys else {},
        holds={(row["account_id"], row["id"]): hold(row) for row in await before.fetchall()} if before else {},
    )


def _named(owners: Sequence[str | bytes], ids: Sequence[str | None]) -> dict[str, object]:
    by_account = [(owner, id) for owner, id in zip(owners, ids, strict=True) if id and isinstance(owner, str)]
    by_hash = [(owner, id) for owner, id in zip(owners, ids, strict=True) if id and isinstance(owner, bytes)]
    return {
        "owners": TextArray.of(owner for owner, _ in by_account),
        "ids": TextArray.of(id for _, id in by_account),
        "owner_hashes": BytesArray.of(owner for owner, _ in by_hash),
        "hash_ids": TextArray.of(id for _, id in by_hash),
    }


def _account(balance: dict[str, Any], state: dict[str, Any]) -> Account:
    return Account(
        id=balance["account_id"],
        available=picos(balance["posted"]) + picos(balance["credit_limit"]) - picos(balance["held"]),
        closed=state["closed"],
        suspended=state["suspended"],
        credits_due=balance["credits_due"],
    )


def _key(row: dict[str, Any]) -> Key:
    limits: dict[Span, int] = {span: picos(limit) for span in SPANS if (limit := row[f"{span}_limit"]) is not None}
    return Key(
        id=row["id"],
        account_id=row["account_id"],
        revoked=row["revoked"],
        expired=row["expired"],
        limits=limits,
        spent={span: picos(row[span] or ZERO) for span in limits},
        held=picos(row["held"] or ZERO),
        models=row["models"],
        ips=row["ips"],
    )


def hold(row: dict[str, Any]) -> Hold:
    event = None if row["event_id"] is None else (row["event_source"], row["event_id"])
    named = {**row, "amount": picos(row["amount"]), "event": event}
    return Hold(**{field: named[field] for field in Hold.__struct_fields__})


DUE = """
SELECT account_id, key_id, sum(amount) AS due
FROM holds
WHERE account_id = ANY(%(accounts)s) AND state = 'open' AND expires_at <= now()
GROUP BY account_id, key_id
"""


async def with_due(conn: Connection, seen: Seen) -> Seen:
    """The same, knowing which of its holds have expired and are not freed yet."""
    rows = await (await conn.execute(DUE, {"accounts": TextArray.of(seen.accounts)})).fetchall()
    by_account: dict[str, int] = {}
    by_key: dict[str, int] = {}
    for row in rows:
        by_account[row["account_id"]] = by_account.get(row["account_id"], 0) + picos(row["due"])
        if row["key_id"] is not None:
            by_key[row["key_id"]] = picos(row["due"])
    return msgspec.structs.replace(
        seen,
        accounts={
            id: msgspec.structs.replace(account, due=by_account.get(id, 0)) for id, account in seen.accounts.items()
        },
        keys={
            digest: msgspec.structs.replace(key, due=by_key.get(key.id, 0) if key.limits else 0)
            for digest, key in seen.keys.items()
        },
    )


MAKE = """
WITH made AS (
  INSERT INTO holds (account_id, id, amount, key_id, model, created_at, expires_at)
  SELECT account_id, id, picos * 0.000000000001, key_id, model, created_at, expires_at
  FROM unnest(%(accounts)s, %(ids)s, %(picos)s, %(keys)s, %(models)s, %(created)s, %(expires)s)
    AS t(account_id, id, picos, key_id, model, created_at, expires_at)
  RETURNING account_id, key_id, amount
),
account AS (
  UPDATE balances SET held = held + change
  FROM (SELECT account_id, sum(amount) AS change FROM made GROUP BY account_id) AS changes
  WHERE balances.account_id = changes.account_id
  RETURNING balances.account_id, counts_keys
)
INSERT INTO key_sums AS sums (account_id, key_id, span, start, amount)
SELECT account_id, key_id, 'held', date '1970-01-01', sum(amount)
FROM account JOIN made USING (account_id)
WHERE counts_keys AND key_id IS NOT NULL
GROUP BY account_id, key_id
ON CONFLICT (account_id, key_id, span, start) DO UPDATE SET amount = sums.amount + excluded.amount
"""


async def make(conn: Connection, holds: Sequence[Hold]) -> None:
    """Store new holds, of accounts that are locked."""
    await conn.execute(
        MAKE,
        {
            "accounts": TextArray.of(one.account_id for one in holds),
            "ids": TextArray.of(one.id for one in holds),
            "picos": Int8Array.of([one.amount for one in holds]),
            "keys": TextArray.of(one.key_id for one in holds),
            "models": TextArray.of(one.model for one in holds),
            "created": InstantArray.of(one.created_at for one in holds),
            "expires": InstantArray.of(one.expires_at for one in holds),
        },
    )


# A hold that has ended stays as it is. What has expired has expired, whoever ends it. They are found by their primary
# key: that they have not ended is not said as the indexes of open holds say it, which lead through many.
END = """
WITH ending AS (
  SELECT account_id, id
  FROM unnest(%(accounts)s, %(ids)s) AS named(account_id, id)
  JOIN holds AS hold USING (account_id, id)
  WHERE ended_at IS NULL
  ORDER BY account_id, id
  FOR NO KEY UPDATE OF hold
),
ended AS (
  UPDATE holds
  SET state = CASE WHEN expires_at <= now() THEN 'expired' ELSE 'released' END, ended_at = now()
  FROM ending
  WHERE holds.account_id = ending.account_id AND holds.id = ending.id AND holds.ended_at IS NULL
  RETURNING holds.account_id, holds.key_id, holds.amount
),
account AS (
  INSERT INTO balances AS balance (account_id, held)
  SELECT account_id, -sum(amount) FROM ended GROUP BY account_id ORDER BY account_id
  ON CONFLICT (account_id) DO UPDATE SET held = balance.held + excluded.held
  RETURNING account_id, counts_keys
)
INSERT INTO key_sums AS sums (account_id, key_id, span, start, amount)
SELECT account_id, key_id, 'held', date '1970-01-01', -sum(amount)
FROM account JOIN ended USING (account_id)
WHERE counts_keys AND key_id IS NOT NULL
GROUP BY account_id, key_id
ON CONFLICT (account_id, key_id, span, start) DO UPDATE SET amount = sums.amount + excluded.amount
"""

EXPIRED = """
SELECT account_id, id
FROM holds
WHERE state = 'open' AND expires_at <= now()
ORDER BY expires_at
LIMIT %s
FOR NO KEY UPDATE SKIP LOCKED
"""


async def end(conn: Connection, holds: Sequence[tuple[str, str]]) -> None:
    """End these holds, (account, id), and free what they held."""
    accounts, ids = TextArray.of(account for account, _ in holds), TextArray.of(id for _, id in holds)
    await conn.execute(END, {"accounts": accounts, "ids": ids})


async def sweep(conn: Connection, limit: int) -> int:
    """End up to this many holds that have expired; answers how many. Those somebody else is ending are left to him."""
    async with conn.transaction():
        rows = await (await conn.execute(EXPIRED, [limit])).fetchall()
        await end(conn, [(row["account_id"], row["id"]) for row in rows])
    return len(rows)


SHOWN: LiteralString = """
SELECT account_id, id, amount, shown.state, key_id, model, created_at, expires_at, ended_at, event_source, event_id
FROM holds
CROSS JOIN LATERAL (
  SELECT CASE WHEN holds.state = 'open' AND expires_at <= now() THEN 'expired' ELSE holds.state END AS state
) AS shown
"""


async def find(conn: Connection, hold_id: str, account_id: str | None) -> list[Hold]:
    """The holds of this name, of one account or of any."""
    cursor = await conn.execute(
        SHOWN + "WHERE id = %(id)s AND (%(account_id)s::text IS NULL OR account_id = %(account_id)s) LIMIT 2",
        {"id": hold_id, "account_id": account_id},
    )
    return [hold(row) for row in await cursor.fetchall()]


async def listed(conn: Connection, account_id: str, state: str | None, page: Page) -> tuple[list[Hold], bool]:
    """A page of an account's holds, those with ids of ours newest first, and whether more follow."""
    rows, more = await rows_of(
        conn,
        SHOWN + "WHERE account_id = %(account_id)s AND (%(state)s::text IS NULL OR shown.state = %(state)s)",
        {"account_id": account_id, "state": state},
        newest_by="id",
        page=page,
    )
    return [hold(row) for row in rows], more


FORGET = """
DELETE FROM holds
WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM holds WHERE state <> 'open' AND ended_at < now() - %(days)s * interval '1 day' LIMIT %(limit)s
))
"""


async def forget(conn: Connection, days: int, limit: int) -> int:
    """Delete holds that ended more than so many days ago, at most `limit`; how many these were."""
    return (await conn.execute(FORGET, {"days": days, "limit": limit})).rowcount
