"""What a customer's key may do: how much it may spend, on which models, from where."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from psycopg.rows import DictRow

from billing.accounts.keys import SPANS, Key, Limits, shown
from billing.audit import log as audit
from billing.db.dollars import dollars, picos
from billing.db.pool import Connection
from billing.errors import NotFound, Unprocessable
from pricing import money

Unset = msgspec.UnsetType


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change of a key; what is UNSET stays. Limits in picodollars; None: no limit, or all."""

    name: str | Unset = msgspec.UNSET
    expires_at: datetime | Unset | None = msgspec.UNSET
    day_limit: int | Unset | None = msgspec.UNSET
    month_limit: int | Unset | None = msgspec.UNSET
    total_limit: int | Unset | None = msgspec.UNSET
    models: list[str] | Unset | None = msgspec.UNSET
    ips: list[str] | Unset | None = msgspec.UNSET


class KeySpending(Key, frozen=True, kw_only=True):
    """A key with what it has spent today, this month (both UTC) and in all, and what is set aside for it, in dollars.

    `spent` is None while no key of its account has had a limit: then it is not counted by key."""

    spent: Limits | None
    held: str | None


async def change(conn: Connection, key_id: str, changes: Changes) -> Key:
    """Change a key from this moment on. Raises NotFound; Unprocessable where only a customer's key can have that."""
    asked = {
        name: value for name in changes.__struct_fields__ if (value := getattr(changes, name)) is not msgspec.UNSET
    }
    async with conn.transaction():
        before = await _locked(conn, key_id)
        if before["account_id"] is None and asked.keys() - {"name", "expires_at"}:
            raise Unprocessable("not_a_customers_key", "Only a customer's key has limits, models and networks.")
        limits = {name: dollars(asked[name]) for span in SPANS if asked.get(name := f"{span}_limit") is not None}
        if limits:
            await _begin_counting(conn, before["account_id"])
        cursor = await conn.execute(
            """
            UPDATE api_keys
            SET name = %(name)s, expires_at = %(expires_at)s, day_limit = %(day_limit)s, month_limit = %(month_limit)s,
                total_limit = %(total_limit)s, models = %(models)s, ips = %(ips)s
            WHERE id = %(id)s
            RETURNING *
            """,
            {**before, **asked, **limits},
        )
        row = await cursor.fetchone()
        assert row is not None
        said = {**asked, **{name: _dollars(amount) for name, amount in limits.items()}}
        await audit.record(conn, "key.change", account=row["account_id"], subject=key_id, **said)
        return shown(row)


async def _locked(conn: Connection, key_id: str) -> DictRow:
    cursor = await conn.execute("SELECT * FROM api_keys WHERE id = %s FOR NO KEY UPDATE", [key_id])
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("unknown_key", f"There is no key {key_id}.")
    return row


async def _begin_counting(conn: Connection, account_id: str) -> None:
    """From now on count what each key of the account spends, beginning with what is booked and held already.

    The account's row is locked first: what is posted later finds it counting, what was posted before is in the sums.
    """
    cursor = await conn.execute(
        "UPDATE balances SET counts_keys = true WHERE account_id = %s AND NOT counts_keys", [account_id]
    )
    if cursor.rowcount == 0:
        return
    await conn.execute(
        """
        INSERT INTO key_sums (account_id, key_id, span, start, amount)
        SELECT account_id, key_id, span, start, sum(amount)
        FROM usage_rollups
        CROSS JOIN LATERAL (SELECT (slot AT TIME ZONE 'UTC')::date AS day) AS used
        CROSS JOIN LATERAL (
          VALUES ('day', day), ('month', date_trunc('month', day::timestamp)::date), ('total', date '1970-01-01')
        ) AS spans(span, start)
        WHERE account_id = %(account_id)s AND key_id <> ''
        GROUP BY account_id, key_id, span, start
        UNION ALL
        SELECT account_id, key_id, 'held', date '1970-01-01', sum(amount)
        FROM holds
        WHERE account_id = %(account_id)s AND state = 'open' AND key_id IS NOT NULL
        GROUP BY account_id, key_id
        """,
        {"account_id": account_id},
    )


async def spending(conn: Connection, key_id: str) -> KeySpending:
    """A key with what it has spent. Raises NotFound."""
    cursor = await conn.execute(
        """
        SELECT api_keys.*, coalesce(counts_keys, false) AS counts_keys, sums.*
        FROM api_keys
        LEFT JOIN balances USING (account_id)
        CROSS JOIN LATERAL (
          SELECT sum(amount) FILTER (WHERE span = 'day' AND start = today) AS day,
                 sum(amount) FILTER (WHERE span = 'month' AND start = date_trunc('month', today::timestamp)) AS month,
                 sum(amount) FILTER (WHERE span = 'total') AS total,
                 sum(amount) FILTER (WHERE span = 'held') AS held
          FROM key_sums, (SELECT (now() AT TIME ZONE 'UTC')::date AS today) AS calendar
          WHERE key_sums.account_id = api_keys.account_id AND key_id = api_keys.id
        ) AS sums
        WHERE api_keys.id = %s
        """,
        [key_id],
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("unknown_key", f"There is no key {key_id}.")
    counted = {name: _dollars(row[name]) for name in (*SPANS, "held")} if row["counts_keys"] else None
    fields: dict[str, Any] = {name: getattr(shown(row), name) for name in Key.__struct_fields__}
    return KeySpending(
        **fields,
        spent=Limits(**{span: counted[span] for span in SPANS}) if counted else None,
        held=counted["held"] if counted else None,
    )


def _dollars(amount: Decimal | None) -> str:
    return money.format(picos(Decimal(amount or 0)))
