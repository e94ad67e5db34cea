"""The outbox: what others are told of, in the transaction of what it tells, so that neither is there without the other.

Messages become deliveries to the endpoints that want them (billing/webhooks), which have their own pace and retries.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec
from psycopg.types.json import Jsonb

from billing.db.arrays import TextArray
from billing.db.pool import Connection

MessageType = Literal[
    "balance.low",
    "balance.depleted",
    "invoice.finalized",
    "credit_note.issued",
    "verification.mismatch",
    "key.revoked",
]
TYPES: tuple[MessageType, ...] = get_args(MessageType)
"""The two of the balance are written by the database itself, whoever moves it (billing/db/schema/webhooks.py)."""

BYTES_MAX = 16 << 10
"""Of the data of a message. They name what happened; who wants all of it asks for it by its id."""

GATHERED_MINUTES = 5
"""Mismatches of an account are told together, a message for each span of this length, when who writes to it is done."""


async def add(conn: Connection, type: MessageType, account_id: str | None, data: Mapping[str, object]) -> None:
    """Say something, of an account or of nobody's (None: told to the operator only). Amounts are decimal strings.

    Raises ValueError for data that are too large.
    """
    encoded = msgspec.json.encode(data)
    if len(encoded) > BYTES_MAX:
        raise ValueError(f"{len(encoded)} bytes are too many to be told in a message of {type}")
    await conn.execute(
        "INSERT INTO webhook_messages (type, account_id, data) VALUES (%s, %s, %s)",
        [type, account_id, Jsonb(data, dumps=lambda _: encoded)],
    )


class Mismatches(msgspec.Struct):
    """How many events of an account were reported wrongly, by how many tokens (or what they count in)."""

    over_reported: int = 0
    under_reported: int = 0
    excess: int = 0
    shortfall: int = 0


ADD_MISMATCHES = """
INSERT INTO webhook_messages AS message (type, account_id, gathers, due_at, data)
SELECT 'verification.mismatch', account_id, 'verification.mismatch ' || account_id || ' ' || "from",
       "to" + interval '10 seconds',
       jsonb_build_object('account', account_id, 'from', "from", 'to', "to", 'over_reported', over,
                          'under_reported', under, 'excess', excess, 'shortfall', shortfall)
FROM unnest(%(accounts)s, %(over)s::bigint[], %(under)s::bigint[], %(excess)s::bigint[], %(shortfall)s::bigint[])
       AS given(account_id, over, under, excess, shortfall),
     date_bin(%(span)s, clock_timestamp(), 'epoch') AS "from", LATERAL (SELECT "from" + %(span)s AS "to") AS span
ORDER BY account_id
ON CONFLICT (gathers) DO UPDATE
SET data = message.data || (
  SELECT jsonb_object_agg(name, (message.data ->> name)::bigint + (excluded.data ->> name)::bigint)
  FROM unnest(ARRAY['over_reported', 'under_reported', 'excess', 'shortfall']) AS name
)
"""


async def add_mismatches(conn: Connection, found: Mapping[str, Mismatches]) -> None:
    """Say, by account, what a batch reported wrongly. It is told when its span of minutes is over, with the others of
    that span: one message, however many batches. The accounts' balances must be locked."""
    given = list(found.values())
    columns = {
        "accounts": TextArray.of(found),
        "over": [one.over_reported for one in given],
        "under": [one.under_reported for one in given],
        "excess": [one.excess for one in given],
        "shortfall": [one.shortfall for one in given],
        "span": f"{GATHERED_MINUTES} minutes",
    }
    await conn.execute(ADD_MISMATCHES, columns)
