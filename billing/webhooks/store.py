"""The SQL of webhooks: endpoints, messages given out to them, and what became of each."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString

import msgspec
from psycopg.types.json import Jsonb

from billing.db.pool import Connection
from billing.errors import Conflict, NotFound, TooMany, Unprocessable
from billing.pages import Page, rows_of
from billing.webhooks.messages import TEST, Attempt, Message, Target

Row = dict[str, Any]

LOG_MAX = 20
"""Attempts kept of each delivery."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told. `account` null: of all accounts; `types` null: of everything. `owner` is the account whose it is,
    which is told of itself only; null: the operator's.

    Nothing is sent to one that is disabled. `failing_since`: nothing got through since then.
    """

    id: str
    owner: str | None
    account: str | None
    url: str
    types: list[str] | None
    created_at: datetime
    old_secret_ends_at: datetime | None
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_because: str | None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message at an endpoint. `id` is the message's, `attempts` how often it was tried since it was
    made or replayed, `log` the last of all attempts; while it is pending, `due_at` is when it is tried again."""

    id: str
    type: str
    account: str | None
    state: str
    attempts: int
    created_at: datetime
    due_at: datetime | None
    log: list[Attempt]


SHOWN: LiteralString = """
SELECT id, owner_id AS owner, account_id AS account, url, types, created_at, failing_since, disabled_at,
       disabled_because,
       CASE WHEN old_secret_ends_at > now() THEN old_secret_ends_at END AS old_secret_ends_at
FROM webhook_endpoints
WHERE (%(owner)s::text IS NULL OR owner_id = %(owner)s)
"""


async def create(
    conn: Connection,
    *,
    endpoint_id: str,
    owner: str | None,
    account: str | None,
    url: str,
    types: Sequence[str] | None,
    secret: bytes,
) -> Endpoint:
    """Raises NotFound for an unknown account."""
    cursor = await conn.execute(
        """
        INSERT INTO webhook_endpoints (id, owner_id, account_id, url, types, secret)
        SELECT %(id)s, %(owner)s, %(account)s, %(url)s, %(types)s, %(secret)s
        WHERE %(account)s::text IS NULL OR EXISTS (SELECT FROM accounts WHERE id = %(account)s)
        """,
        {"id": endpoint_id, "owner": owner, "account": account, "url": url, "types": types, "secret": secret},
    )
    if cursor.rowcount == 0:
        raise NotFound("unknown_account", f"There is no account {account}.")
    return await find(conn, endpoint_id, owner)


async def check_room(conn: Connection, owner: str | None, account: str | None, most: int) -> None:
    """Raises Unprocessable when the owner has as many endpoints for the account as are allowed; holds off others who
    make one."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"webhooks for {account}"])
    cursor = await conn.execute(
        """
        SELECT count(*) AS many
        FROM webhook_endpoints
        WHERE account_id IS NOT DISTINCT FROM %s AND owner_id IS NOT DISTINCT FROM %s
        """,
        [account, owner],
    )
    row = await cursor.fetchone()
    assert row is not None
    if row["many"] >= most:
        raise Unprocessable("too_many_webhooks", f"There are {most} webhooks already, as many as may be. Delete one.")


async def find(conn: Connection, endpoint_id: str, owner: str | None) -> Endpoint:
    """An endpoint of this owner, or of anybody (None). Raises NotFound."""
    cursor = await conn.execute(SHOWN + " AND id = %(id)s", {"owner": owner, "id": endpoint_id})
    row = await cursor.fetchone()
    if row is None:
        raise _unknown(endpoint_id)
    return Endpoint(**row)


def _unknown(endpoint_id: str) -> NotFound:
    return NotFound("unknown_webhook", f"There is no webhook {endpoint_id[:80]}.")


async def listed(conn: Connection, owner: str | None, account: str | None, page: Page) -> tuple[list[Endpoint], bool]:
    """A page of an owner's endpoints, or of all of them (None), for an account or for any (None), newest first, and
    whether more follow."""
    statement = SHOWN + " AND (%(account)s::text IS NULL OR account_id = %(account)s)"
    rows, more = await rows_of(conn, statement, {"owner": owner, "account": account}, newest_by="created_at", page=page)
    return [Endpoint(**row) for row in rows], more


async def change(
    conn: Connection,
    endpoint_id: str,
    *,
    url: str | msgspec.UnsetType,
    types: Sequence[str] | msgspec.UnsetType | None,
    disabled: bool | msgspec.UnsetType,
) -> None:
    """Change what is not UNSET. One that is enabled again, or moved, begins anew: what failed before is forgotten."""
    if url is not msgspec.UNSET:
        await conn.execute(
            """
            UPDATE webhook_endpoints SET url = %s, failures = 0, failing_since = NULL, rests_until = NULL WHERE id = %s
            """,
            [url, endpoint_id],
        )
    if types is not msgspec.UNSET:
        await conn.execute("UPDATE webhook_endpoints SET types = %s WHERE id = %s", [types, endpoint_id])
    if disabled is True:
        await disable(conn, endpoint_id, "asked for")
    elif disabled is False:
        await conn.execute(
            """
            UPDATE webhook_endpoints
            SET disabled_at = NULL, disabled_because = NULL, failures = 0, failing_since = NULL, rests_until = NULL
            WHERE id = %s
            """,
            [endpoint_id],
        )


async def disable(conn: Connection, endpoint_id: str, because: str) -> None:
    await conn.execute(
        """
        UPDATE webhook_endpoints SET disabled_at = now(), disabled_because = %s WHERE id = %s AND disabled_at IS NULL
        """,
        [because, endpoint_id],
    )


async def rotate(conn: Connection, endpoint_id: str, secret: bytes, hours: int) -> None:
    """From now on the new secret signs and, for some hours, the one before it, too."""
    await conn.execute(
        """
        UPDATE webhook_endpoints
        SET secret = %(secret)s, old_secret = secret, old_secret_ends_at = now() + make_interval(hours => %(hours)s)
        WHERE id = %(id)s
        """,
        {"secret": secret, "hours": hours, "id": endpoint_id},
    )


async def delete(conn: Connection, endpoint_id: str) -> None:
    await conn.execute("DELETE FROM webhook_endpoints WHERE id = %s", [endpoint_id])


DELIVERIES: LiteralString = """
SELECT message_id AS id, type, account_id AS account, state, attempts, message.created_at,
       CASE state WHEN 'pending' THEN delivery.due_at END AS due_at, log
FROM webhook_deliveries AS delivery JOIN webhook_messages AS message ON message.id = message_id
WHERE endpoint_id = %(endpoint)s AND (%(state)s::text IS NULL OR state = %(state)s)
"""


async def deliveries(conn: Connection, endpoint_id: str, state: str | None, page: Page) -> tuple[list[Delivery], bool]:
    """A page of what was to be told an endpoint, newest message first, and whether more follow."""
    parameters = {"endpoint": endpoint_id, "state": state}
    rows, more = await rows_of(conn, DELIVERIES, parameters, newest_by="created_at", page=page)
    return msgspec.convert(rows, list[Delivery]), more


REPLAY = """
INSERT INTO webhook_deliveries AS delivery (endpoint_id, message_id)
SELECT endpoint.id, message.id
FROM webhook_endpoints AS endpoint
JOIN webhook_messages AS message ON endpoint.account_id IS NULL OR endpoint.account_id = message.account_id
WHERE endpoint.id = %(endpoint)s AND given_out_at IS NOT NULL AND message.type <> %(test)s
  AND CASE WHEN %(message)s::text IS NULL
        THEN message.created_at >= %(since)s AND (types IS NULL OR type = ANY(types))
        ELSE message.id = %(message)s
      END
FOR KEY SHARE OF endpoint
ON CONFLICT (endpoint_id, message_id) DO UPDATE
SET state = 'pending', attempts = 0, due_at = now()
WHERE delivery.state <> 'pending' OR delivery.due_at > now() + interval '5 minutes'
"""


async def replay(conn: Connection, endpoint: Endpoint, *, since: datetime | None, message: str | None) -> int:
    """Have messages sent once more, delivered or not; how many. Those that come within five minutes anyway, or are
    being sent, are left to it. An endpoint that rests is tried again now.

    Raises Conflict for a disabled endpoint, NotFound for a message that the endpoint is not told of.
    """
    if endpoint.disabled_at is not None:
        raise Conflict("webhook_disabled", f"The webhook {endpoint.id} is disabled. Enable it, then replay.")
    parameters = {"endpoint": endpoint.id, "since": since, "message": message, "test": TEST}
    await conn.execute("UPDATE webhook_endpoints SET rests_until = NULL WHERE id = %s", [endpoint.id])
    many = (await conn.execute(REPLAY, parameters)).rowcount
    if message is not None and many == 0 and not await _is_known(conn, endpoint.id, message):
        raise NotFound("unknown_message", f"There is no message {message[:80]} for this webhook.")
    return many


async def check_replays(conn: Connection, owner: str, key_id: str, most: int) -> None:
    """Raises TooMany when a customer's key has had so many replays within a minute; holds off others of theirs."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"webhook replays of {owner}"])
    cursor = await conn.execute(
        """
        SELECT count(*) AS many, ceil(60 - extract(epoch FROM now() - min(at)))::int AS wait
        FROM (
          SELECT at
          FROM audit_log
          WHERE account_id = %s AND actor = %s AND action = 'webhook.replay'
          ORDER BY id DESC
          LIMIT %s
        ) AS last
        WHERE at > now() - interval '60 seconds'
        """,
        [owner, key_id, most],
    )
    row = await cursor.fetchone()
    assert row is not None
    if row["many"] >= most:
        raise TooMany("too_many_replays", f"{most} replays a minute are as many as may be.", retry_after=row["wait"])


async def _is_known(conn: Connection, endpoint_id: str, message: str) -> bool:
    cursor = await conn.execute(
        "SELECT FROM webhook_deliveries WHERE endpoint_id = %s AND message_id = %s", [endpoint_id, message]
    )
    return await cursor.fetchone() is not None


GIVE_OUT = """
WITH due AS MATERIALIZED (
  SELECT id, type, account_id, created_at
  FROM webhook_messages
  WHERE given_out_at IS NULL AND due_at <= now()
  ORDER BY due_at
  LIMIT %s
  FOR NO KEY UPDATE SKIP LOCKED
),
made AS (
  INSERT INTO webhook_deliveries (endpoint_id, message_id)
  SELECT endpoint.id, due.id
  FROM due
  JOIN webhook_endpoints AS endpoint ON endpoint.account_id IS NULL OR endpoint.account_id = due.account_id
  WHERE (types IS NULL OR type = ANY(types)) AND disabled_at IS NULL AND endpoint.created_at <= due.created_at
  FOR KEY SHARE OF endpoint
  ON CONFLICT DO NOTHING
)
UPDATE webhook_messages SET given_out_at = now() FROM due WHERE webhook_messages.id = due.id
"""


async def give_out(conn: Connection, limit: int) -> int:
    """Make deliveries of up to so many messages that are due, for the endpoints that want them; how many messages."""
    return (await conn.execute(GIVE_OUT, [limit])).rowcount


TARGET: LiteralString = """
SELECT id, url, secret, CASE WHEN old_secret_ends_at > now() THEN old_secret END AS old_secret
FROM webhook_endpoints AS endpoint
"""


WAITING: LiteralString = """
JOIN (
  SELECT id, is_busy, waits_since,
         row_number() OVER (PARTITION BY owner_id, account_id ORDER BY is_busy DESC, waits_since) AS rank
  FROM (
    SELECT id, owner_id, account_id, id = ANY(%(busy)s) AS is_busy, greatest(due_at, rests_until) AS waits_since
    FROM webhook_endpoints
    CROSS JOIN LATERAL (
      SELECT min(due_at) AS due_at FROM webhook_deliveries WHERE endpoint_id = id AND state = 'pending'
    ) AS first
    WHERE id = ANY(%(busy)s)
      OR (disabled_at IS NULL AND due_at <= now() AND (rests_until IS NULL OR rests_until <= now()))
  ) AS candidate
) AS ranked USING (id)
WHERE NOT is_busy
ORDER BY rank, waits_since
LIMIT %(limit)s
"""


async def target(conn: Connection, endpoint_id: str) -> Target:
    """It stays until the end of the transaction. Raises NotFound."""
    row = await (await conn.execute(TARGET + "WHERE id = %s FOR KEY SHARE", [endpoint_id])).fetchone()
    if row is None:
        raise _unknown(endpoint_id)
    return _target(row)


async def waiting(conn: Connection, *, busy: Collection[str], limit: int) -> list[Target]:
    """Endpoints for which something is due and none of which rests, besides those that are `busy`. An owner's first
    come before anybody's second, with the busy ones counted, and then those that wait longest."""
    cursor = await conn.execute(TARGET + WAITING, {"busy": list(busy), "limit": limit})
    return [_target(row) for row in await cursor.fetchall()]


def _target(row: Row) -> Target:
    return Target(row["id"], row["url"], tuple(row[name] for name in ("secret", "old_secret") if row[name] is not None))


CLAIM = """
WITH next AS (
  SELECT endpoint_id, message_id
  FROM webhook_deliveries
  WHERE endpoint_id = %(endpoint)s AND state = 'pending' AND due_at <= now()
    AND EXISTS (SELECT FROM webhook_endpoints WHERE id = %(endpoint)s AND disabled_at IS NULL)
  ORDER BY due_at
  LIMIT %(limit)s
  FOR NO KEY UPDATE SKIP LOCKED
),
claimed AS (
  UPDATE webhook_deliveries AS delivery
  SET due_at = now() + %(lease)s
  FROM next
  WHERE delivery.endpoint_id = next.endpoint_id AND delivery.message_id = next.message_id
  RETURNING delivery.message_id, attempts
)
SELECT id, type, created_at, data, attempts
FROM claimed JOIN webhook_messages ON id = message_id
ORDER BY created_at, id
"""


async def claim(conn: Connection, endpoint_id: str, *, limit: int, lease: timedelta) -> list[Message]:
    """Messages that are due for an endpoint; nobody else takes them before the lease ends. Who claimed them and is gone
    by then has perhaps sent them: they are sent again, under the same id."""
    cursor = await conn.execute(CLAIM, {"endpoint": endpoint_id, "limit": limit, "lease": lease})
    return [Message(**row) for row in await cursor.fetchall()]


async def lock(conn: Connection, target: Target) -> bool:
    """Lock an endpoint until the end of the transaction, before its deliveries, as who deletes it does. Whether it is
    still there, at this URL."""
    cursor = await conn.execute(
        "SELECT url = %s AS same FROM webhook_endpoints WHERE id = %s FOR NO KEY UPDATE",
        [target.url, target.endpoint_id],
    )
    row = await cursor.fetchone()
    return row is not None and row["same"]


async def settle(conn: Connection, endpoint_id: str, message_id: str, attempt: Attempt, wait: timedelta | None) -> None:
    """Note an attempt; one that failed is made again after `wait`, or never (None)."""
    await conn.execute(
        """
        UPDATE webhook_deliveries
        SET state = %(state)s, attempts = attempts + 1, due_at = now() + coalesce(%(wait)s, '0'::interval),
            log = CASE WHEN jsonb_array_length(log) < %(most)s THEN log ELSE log - 0 END || %(attempt)s
        WHERE endpoint_id = %(endpoint)s AND message_id = %(message)s
        """,
        {
            "state": "delivered" if attempt.delivered else "failed" if wait is None else "pending",
            "wait": wait,
            "most": LOG_MAX,
            "attempt": Jsonb(attempt, dumps=msgspec.json.encode),
            "endpoint": endpoint_id,
            "message": message_id,
        },
    )


async def recovered(conn: Connection, endpoint_id: str) -> None:
    """Something got through."""
    await conn.execute(
        """
        UPDATE webhook_endpoints SET failures = 0, failing_since = NULL, rests_until = NULL
        WHERE id = %s AND failing_since IS NOT NULL
        """,
        [endpoint_id],
    )


async def failing(conn: Connection, endpoint_id: str) -> tuple[int, timedelta]:
    """Nothing got through again: how many times in a row, and since how long."""
    cursor = await conn.execute(
        """
        UPDATE webhook_endpoints SET failures = failures + 1, failing_since = coalesce(failing_since, now())
        WHERE id = %s
        RETURNING failures, now() - failing_since AS since
        """,
        [endpoint_id],
    )
    row = await cursor.fetchone()
    return (row["failures"], row["since"]) if row else (1, timedelta())


async def rest(conn: Connection, endpoint_id: str, wait: timedelta) -> None:
    """For at least so long."""
    await conn.execute(
        "UPDATE webhook_endpoints SET rests_until = greatest(rests_until, now() + %s) WHERE id = %s",
        [wait, endpoint_id],
    )


async def check_tests(conn: Connection, endpoint: Endpoint, most: int) -> None:
    """Raises TooMany when the owner has had so many tests within a minute; holds off others of theirs."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"webhook tests of {endpoint.owner}"])
    cursor = await conn.execute(
        """
        SELECT count(*) AS many, ceil(60 - extract(epoch FROM now() - min(created_at)))::int AS wait
        FROM webhook_messages
        WHERE type = %s AND account_id IS NOT DISTINCT FROM %s AND created_at > now() - interval '60 seconds'
        """,
        [TEST, endpoint.owner],
    )
    row = await cursor.fetchone()
    assert row is not None
    if row["many"] >= most:
        raise TooMany("too_many_tests", f"{most} tests a minute are as many as may be.", retry_after=row["wait"])


async def add_test(conn: Connection, endpoint: Endpoint, lease: timedelta) -> Message:
    """A message for this endpoint alone, claimed."""
    cursor = await conn.execute(
        """
        WITH message AS (
          INSERT INTO webhook_messages (type, account_id, data, given_out_at)
          VALUES (%(type)s, %(account)s, %(data)s, now())
          RETURNING id, type, created_at, data
        ),
        delivery AS (
          INSERT INTO webhook_deliveries (endpoint_id, message_id, due_at)
          SELECT %(endpoint)s, id, now() + %(lease)s FROM message
        )
        SELECT * FROM message
        """,
        {
            "type": TEST,
            "account": endpoint.owner,
            "data": Jsonb({"webhook": endpoint.id}),
            "endpoint": endpoint.id,
            "lease": lease,
        },
    )
    row = await cursor.fetchone()
    assert row is not None
    return Message(**row)


async def forget(conn: Connection, days: int, limit: int) -> int:
    """Delete up to so many messages older than this, with what became of them; how many."""
    cursor = await conn.execute(
        """
        DELETE FROM webhook_messages
        WHERE id IN (
          SELECT id FROM webhook_messages
          WHERE created_at < now() - make_interval(days => %s) AND given_out_at IS NOT NULL
          ORDER BY created_at
          LIMIT %s
        )
        """,
        [days, limit],
    )
    return cursor.rowcount
