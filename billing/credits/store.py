"""The SQL of credits: what begins and expires by itself, what usage takes, what is given, and what there is.

Everything here joins the caller's transaction. Accounts are locked in their sorted order, as everywhere.
"""

from collections.abc import Iterable
from datetime import datetime
from importlib.resources import files
from typing import Any, LiteralString

import msgspec

from billing.credits.grants import Grant, NewGrant
from billing.db.arrays import TextArray
from billing.db.dollars import dollars, picos
from billing.db.pool import Connection
from billing.errors import NotFound
from billing.observe.metrics import POSTINGS
from billing.pages import Page, rows_of

SETTLE = (files("billing.credits") / "settle.sql").read_text()
BURN = (files("billing.credits") / "burn.sql").read_text()

Row = dict[str, Any]

LOCK_DUE = """
SELECT account_id
FROM balances
WHERE account_id = ANY(%(account_ids)s) AND credits_due_at <= coalesce(%(now)s::timestamptz, statement_timestamp())
ORDER BY account_id
FOR NO KEY UPDATE
"""

# Accounts that somebody is booking to are left for the next time; who books settles what is due by himself.
LOCK_ANY_DUE = """
SELECT account_id
FROM balances
WHERE credits_due_at <= statement_timestamp()
LIMIT %s
FOR NO KEY UPDATE SKIP LOCKED
"""

INSERT = """
WITH given AS (
  INSERT INTO grants (
    account_id, id, category, priority, amount, effective_at, expires_at, reference, reason, actor
  )
  SELECT account_id, %(id)s, %(category)s, %(priority)s, %(amount)s,
         coalesce(%(effective_at)s, statement_timestamp()), %(expires_at)s, %(reference)s, %(reason)s, %(actor)s
  FROM balances
  WHERE account_id = %(account_id)s
  RETURNING account_id, effective_at
)
UPDATE balances
SET credits_due_at = least(credits_due_at, effective_at)
FROM given
WHERE balances.account_id = given.account_id
"""


async def settle(conn: Connection, account_ids: Iterable[str], now: datetime | None = None) -> int:
    """Post the grants of these accounts that have begun or expired by `now` (by the database's clock: None).

    Locks those accounts that have any, which may be locked already. Again, it posts nothing. Answers how many postings.
    """
    parameters = {"account_ids": TextArray.of(account_ids), "now": now}
    rows = await (await conn.execute(LOCK_DUE, parameters)).fetchall()
    return await _settle_locked(conn, [row["account_id"] for row in rows], now)


async def settle_some(conn: Connection, limit: int) -> int:
    """The same for some accounts that have anything due, whoever they are. Answers how many accounts it found."""
    rows = await (await conn.execute(LOCK_ANY_DUE, [limit])).fetchall()
    await _settle_locked(conn, [row["account_id"] for row in rows], None)
    return len(rows)


async def _settle_locked(conn: Connection, account_ids: list[str], now: datetime | None) -> int:
    if not account_ids:
        return 0
    cursor = await conn.execute(SETTLE, {"account_ids": TextArray.of(account_ids), "now": now})
    POSTINGS.inc(cursor.rowcount)
    return cursor.rowcount


async def burn(conn: Connection, transaction: int, account_ids: list[str]) -> None:
    """Let credits pay what a transaction's usage took, for accounts that it has locked and that have nothing due."""
    if account_ids:
        parameters = {"transaction": transaction, "account_ids": TextArray.of(account_ids)}
        cursor = await conn.execute(BURN, parameters)
        POSTINGS.inc(cursor.rowcount)


async def insert(conn: Connection, grant_id: str, grant: NewGrant) -> None:
    """Keep a new grant, due to begin; `settle` posts it. Raises NotFound for an unknown account."""
    parameters = {**msgspec.structs.asdict(grant), "id": grant_id, "amount": dollars(grant.amount)}
    if (await conn.execute(INSERT, parameters)).rowcount == 0:
        raise NotFound("unknown_account", f"There is no account {grant.account_id}.")


async def mark_voided(conn: Connection, account_id: str, grant_id: str) -> None:
    """Mark a grant as voided; what remained of it is posted by the caller."""
    await conn.execute(
        "UPDATE grants SET state = 'voided', remaining = 0 WHERE account_id = %s AND id = %s", [account_id, grant_id]
    )


LISTED: LiteralString = """
SELECT grants.*, begun.transaction
FROM grants
LEFT JOIN LATERAL (
  SELECT transaction
  FROM postings
  WHERE postings.account_id = grants.account_id AND grant_id = grants.id AND kind = 'grant' AND reverses IS NULL
) AS begun ON true
WHERE grants.account_id = %(account_id)s
"""


async def find(conn: Connection, account_id: str, grant_id: str) -> Grant | None:
    cursor = await conn.execute(LISTED + "AND id = %(id)s", {"account_id": account_id, "id": grant_id})
    row = await cursor.fetchone()
    return None if row is None else _grant(row)


async def listed(conn: Connection, account_id: str, page: Page) -> tuple[list[Grant], bool]:
    """A page of the account's grants, newest first, and whether more follow."""
    rows, more = await rows_of(conn, LISTED, {"account_id": account_id}, newest_by="created_at", page=page)
    return [_grant(row) for row in rows], more


def _grant(row: Row) -> Grant:
    amounts = {name: picos(row[name]) for name in ("amount", "remaining", "used")}
    return Grant(**{name: row[name] for name in Grant.__struct_fields__} | amounts)
