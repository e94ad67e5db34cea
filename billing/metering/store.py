"""The metering room's SQL: prices by number, events posted, and what is already there."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

import msgspec

from billing.db.arrays import BytesArray, Columns, InstantArray, Int4Array, Int8Array, TextArray
from billing.db.dollars import picos
from billing.db.pool import Connection
from billing.metering.assess import Assessed, StoredPrice
from billing.metering.corrections import Charged, Identity, Line
from billing.observe.metrics import POSTINGS
from pricing import money
from pricing.charge import recompute

POST_USAGE = (files("billing.metering") / "post_usage.sql").read_text()


class Booked(msgspec.Struct, frozen=True):
    """What a batch came to: the places (0 for the first) of the events that are new, the others were there before;
    the keys that have spent more than they may; and the accounts of its transaction that have credits to pay it with,
    once there is none of whose credits any is due to begin or to expire."""

    places: set[int]
    overspent: frozenset[str]
    transaction: int
    with_credits: list[str]
    credits_due: list[str]


class Known(msgspec.Struct, frozen=True):
    """An event that was booked before: whether its content is the `same`, and what it cost (picodollars)."""

    same: bool
    amount: int


async def account_ids(conn: Connection, wanted: Iterable[str]) -> set[str]:
    """Those of the wanted accounts that exist."""
    cursor = await conn.execute("SELECT id FROM accounts WHERE id = ANY(%s)", [TextArray.of(wanted)])
    return {row["id"] for row in await cursor.fetchall()}


async def keys_by_hash(conn: Connection, hashes: Iterable[bytes]) -> dict[bytes, tuple[str, str]]:
    """Customer keys among the hashes: hash -> (account, key). Revoked ones too: what they used must be billed."""
    cursor = await conn.execute(
        "SELECT hash, account_id, id FROM api_keys WHERE account_id IS NOT NULL AND hash = ANY(%s)",
        [BytesArray.of(hashes)],
    )
    return {row["hash"]: (row["account_id"], row["id"]) for row in await cursor.fetchall()}


async def price_numbers(conn: Connection, prices: Sequence[StoredPrice]) -> list[int]:
    """The number of each price, stored now if it was not; prices are never changed, so numbers can be remembered."""
    digests = [digest_of(price) for price in prices]
    for digest, price in zip(digests, prices, strict=True):
        await conn.execute(
            """
            INSERT INTO prices (
              digest, model, dimension, variant, unit, unit_size, official, multiplier, entry, source, book
            )
            VALUES (
              %(digest)s, %(model)s, %(dimension)s, %(variant)s, %(unit)s, %(unit_size)s,
              %(official)s::numeric, %(multiplier)s::numeric, %(entry)s, %(source)s, %(book)s
            )
            ON CONFLICT (digest) DO NOTHING
            """,
            {"digest": digest, **msgspec.structs.asdict(price)},
        )
    cursor = await conn.execute("SELECT digest, id FROM prices WHERE digest = ANY(%s)", [BytesArray.of(digests)])
    numbers = {row["digest"]: row["id"] for row in await cursor.fetchall()}
    return [numbers[digest] for digest in digests]


def digest_of(price: StoredPrice) -> bytes:
    return hashlib.sha256(msgspec.json.encode(price)).digest()


async def post_usage(conn: Connection, columns: Columns) -> Booked:
    """Book assessed events in one statement."""
    row = await (await conn.execute(POST_USAGE, columns)).fetchone()
    assert row is not None
    POSTINGS.inc(row["postings"])
    return Booked(
        {position - 1 for position in row["positions"]},
        frozenset(row["overspent"] or ()),
        row["transaction"],
        row["with_credits"] or [],
        row["credits_due"] or [],
    )


def columns(items: Sequence[Assessed], numbers: Sequence[tuple[int, ...]]) -> Columns:
    """Assessed events, each with the numbers of its prices, as the statement takes them."""
    charged = [_charged(item, own) for item, own in zip(items, numbers, strict=True)]
    lines = [
        (position, *line)
        for position, (item, own) in enumerate(zip(items, charged, strict=True), start=1)
        for line in _rolled_up(item, own)
    ]
    capturing = [(position, item.authorization) for position, item in enumerate(items, start=1) if item.authorization]
    return {
        "account_ids": TextArray.of(item.account_id for item in items),
        "sources": TextArray.of(item.source for item in items),
        "ids": TextArray.of(item.id for item in items),
        "digests": BytesArray.of(item.digest for item in items),
        "times": InstantArray.of(item.time for item in items),
        "price_ids": TextArray.of(_array([line[0] for line in own]) for own in charged),
        "quantities": TextArray.of(_array([line[1] for line in own]) for own in charged),
        "amounts": Int8Array.of([item.amount for item in items]),
        "reviews": TextArray.of(item.review for item in items),
        "key_ids": TextArray.of(item.key_id for item in items),
        "corrects": TextArray.of(item.corrects for item in items),
        "upstreams": TextArray.of(item.upstream for item in items),
        "costs": TextArray.of(None if item.cost is None else money.format(item.cost) for item in items),
        "bodies": TextArray.of(item.body for item in items),
        "outcomes": Int4Array.of([item.outcome for item in items]),
        "latencies": Int4Array.of([item.latency_ms for item in items]),
        "first_tokens": Int4Array.of([item.first_token_ms for item in items]),
        "hold_positions": Int4Array.of([position for position, _ in capturing]),
        "holds": TextArray.of(hold for _, hold in capturing),
        "line_positions": Int4Array.of([line[0] for line in lines]),
        "line_price_ids": Int4Array.of([line[1] for line in lines]),
        "line_quantities": Int8Array.of([line[2] for line in lines]),
        "line_amounts": Int8Array.of([line[3] for line in lines]),
        "line_costs": Int8Array.of([line[4] for line in lines]),
        "line_requests": Int4Array.of([line[5] for line in lines]),
        "line_costed": Int4Array.of([line[6] for line in lines]),
    }


def _charged(item: Assessed, numbers: tuple[int, ...]) -> list[Line]:
    """The lines of an event's charge: what it takes back, then what it charges."""
    undone = [(number, -quantity, -amount) for number, quantity, amount in item.undone]
    return [*undone, *zip(numbers, item.quantities, item.amounts, strict=True)]


def _rolled_up(item: Assessed, charged: list[Line]) -> Iterator[tuple[int, int, int, int, int, int]]:
    """What an event adds to its roll-ups, once for each price: number, quantity, amount, cost, requests, costed."""
    if item.undone:
        sums: dict[int, tuple[int, int]] = {}
        for number, quantity, amount in charged:
            known = sums.get(number, (0, 0))
            sums[number] = (known[0] + quantity, known[1] + amount)
        charged = [(number, quantity, amount) for number, (quantity, amount) in sums.items()]
    first = True
    for number, quantity, amount in charged:
        if first:
            yield number, quantity, amount, item.cost or 0, item.corrects is None, item.costed
        else:
            yield number, quantity, amount, 0, 0, 0
        first = False


def _array(values: Sequence[int]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


async def known(conn: Connection, items: Sequence[Assessed]) -> list[Known | None]:
    """What is booked under the identity of each of these events. It is the same when its digest and its upstream are,
    of which only the name is known once the event is not kept any more; an event comes at most 31 days before its time.
    """
    if not items:
        return []
    cursor = await conn.execute(
        """
        SELECT place, charges.amount, CASE
            WHEN charges.digest <> given.digest OR charges.upstream <> coalesce(given.upstream, '') THEN false
            WHEN charges.upstream = '' THEN true
            ELSE coalesce(
              (
                SELECT events.body -> 'upstream' IS NOT DISTINCT FROM given.body::jsonb -> 'upstream'
                FROM events
                WHERE events.account_id = charges.account_id AND events.time = charges.time
                  AND events.source = charges.source AND events.id = charges.id
                  AND received_at >= charges.time - interval '32 days'
              ),
              true
            )
          END AS same
        FROM unnest(%(account_ids)s, %(sources)s, %(ids)s, %(digests)s, %(upstreams)s, %(bodies)s)
          WITH ORDINALITY AS given(account_id, source, id, digest, upstream, body, place)
        JOIN charges USING (account_id, source, id)
        """,
        {
            "account_ids": TextArray.of(item.account_id for item in items),
            "sources": TextArray.of(item.source for item in items),
            "ids": TextArray.of(item.id for item in items),
            "digests": BytesArray.of(item.digest for item in items),
            "upstreams": TextArray.of(item.upstream for item in items),
            "bodies": TextArray.of(item.body for item in items),
        },
    )
    found: list[Known | None] = [None] * len(items)
    for row in await cursor.fetchall():
        found[row["place"] - 1] = Known(row["same"], picos(row["amount"]))
    return found


# Of a correction only what it charged anew is taken back: its other lines have taken back what came before.
CHARGED = """
WITH RECURSIVE named AS (
  SELECT account_id, source, id
  FROM unnest(%(account_ids)s, %(sources)s, %(ids)s) AS t(account_id, source, id)
),
chain AS (
  SELECT account_id, source, id AS named, id, cost, corrects
  FROM named JOIN charges USING (account_id, source, id)
  UNION ALL
  SELECT chain.account_id, chain.source, named, earlier.id, earlier.cost, earlier.corrects
  FROM chain JOIN charges AS earlier
    ON earlier.account_id = chain.account_id AND earlier.source = chain.source AND earlier.id = chain.corrects
)
SELECT account_id, source, id, charges.time,
       coalesce(charges.key_id, events.key_id) AS key_id,
       coalesce(nullif(charges.upstream, ''), body -> 'upstream' ->> 'name') AS upstream,
       charges.upstream IS NOT NULL OR body IS NOT NULL AS kept,
       (
         SELECT later.id FROM charges AS later
         WHERE later.account_id = charges.account_id AND later.source = charges.source AND later.corrects = charges.id
       ) AS corrected_by,
       (
         SELECT sum(chain.cost) FROM chain
         WHERE chain.account_id = charges.account_id AND chain.source = charges.source AND chain.named = charges.id
       ) AS cost,
       (
         SELECT coalesce(jsonb_agg(jsonb_build_array(
           price_id, quantity, trim_scale(official)::text, unit_size, trim_scale(multiplier)::text
         ) ORDER BY place), '[]')
         FROM unnest(price_ids, quantities) WITH ORDINALITY AS line(price_id, quantity, place)
         JOIN prices ON prices.id = price_id
         WHERE quantity > 0 AND official IS NOT NULL AND dimension <> 'request'
       ) AS lines
FROM named JOIN charges USING (account_id, source, id) LEFT JOIN events USING (account_id, time, source, id)
"""


async def charged(conn: Connection, named: Iterable[Identity]) -> dict[Identity, Charged]:
    """What was booked for each of these events; one that is not there is left out."""
    identities = list(named)
    if not identities:
        return {}
    cursor = await conn.execute(
        CHARGED,
        {
            "account_ids": TextArray.of(account_id for account_id, _, _ in identities),
            "sources": TextArray.of(source for _, source, _ in identities),
            "ids": TextArray.of(id for _, _, id in identities),
        },
    )
    return {
        (row["account_id"], row["source"], row["id"]): Charged(
            time=row["time"],
            lines=tuple(
                (price_id, quantity, recompute(quantity, official, size, multiplier))
                for price_id, quantity, official, size, multiplier in row["lines"]
            ),
            cost=None if row["cost"] is None else picos(row["cost"]),
            corrected_by=row["corrected_by"],
            kept=row["kept"],
            key_id=row["key_id"],
            upstream=row["upstream"],
        )
        for row in await cursor.fetchall()
    }
