"""The proof that no cent is missing: every sum in the book, done again from what it is the sum of (rules.md Ledger 3).

Each check answers a sentence for each difference it finds, and nothing when all is right. They all read one snapshot,
so that usage which is posted meanwhile is no difference. A check that breaks over a row nobody thought of is a
difference, too: what could not be proved is not right. Memory does not grow with the book: what Python looks at comes
through cursors of the server.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString, NamedTuple

import msgspec
from psycopg import sql

from billing.db.pool import Connection
from billing.invoices import verify as invoices
from billing.metering.assess import UNKNOWN_MODEL, StoredPrice, delivered
from billing.metering.events import UsageEvent, has_usage
from billing.metering.store import digest_of
from pricing import book, names, units
from pricing.book import Book
from pricing.entries import ANY_MODEL
from pricing.errors import UsageError
from pricing.usage import NOTHING, Usage, canonical, decode, read

SHOWN_MAX = 20
"""Differences listed for each part of a check; of more, the number is said."""

ROWS_AT_ONCE = 500
"""Rows that come from the server at a time; the service answers requests between two of these."""

PROOF_LOCK = 7_305_812_048  # any constant number: of several processes one proves

Row = dict[str, Any]
Part = Callable[[Connection], Awaitable[list[str]]]
Progress = Callable[[str, list[str]], None]

BALANCES = """
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
"""

SEQUENCE = """
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
"""

POSTED = """
SELECT format('Transaction %s of account %s posted %s, but its events were charged %s.',
              transaction, account_id, coalesce(posted, 0), coalesce(charged, 0)) AS difference
FROM (
  SELECT account_id, transaction, sum(amount) AS posted FROM postings WHERE kind = 'usage' GROUP BY 1, 2
) AS posted
FULL JOIN (
  SELECT account_id, transaction, sum(amount) AS charged FROM charges GROUP BY 1, 2
) AS charged USING (account_id, transaction)
WHERE posted IS DISTINCT FROM charged
"""

FACTORS = """
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
"""

LEGS = """
SELECT format('Transaction %s of account %s books %s from %s to %s.', transaction, account_id, kind, source,
              destination) AS difference
FROM postings
WHERE (kind = 'usage' AND (source, destination) <> ('wallet', 'revenue'))
   OR (kind = 'top_up' AND (source, destination) NOT IN (('cash', 'wallet'), ('wallet', 'cash')))
   OR (kind = 'adjustment' AND (source, destination) NOT IN (('adjustments', 'wallet'), ('wallet', 'adjustments')))
   OR (kind = 'rounding' AND (source, destination) NOT IN (('rounding', 'wallet'), ('wallet', 'rounding')))
"""

LINES = """
SELECT format('Transaction %s of account %s has %s postings, numbered from %s to %s.',
              transaction, account_id, count(*), min(line), max(line)) AS difference
FROM postings
GROUP BY account_id, transaction
HAVING min(line) <> 1 OR max(line) <> count(*)
"""

POSTED_BY_QUARTER_HOUR = """
SELECT format('Account %s was posted %s for usage billed at %s; the roll-ups say %s.',
              account_id, coalesce(posted, 0), billed, coalesce(used, 0)) AS difference
FROM (
  SELECT account_id, effective_at AS billed, sum(amount) AS posted FROM postings WHERE kind = 'usage' GROUP BY 1, 2
) AS posted
FULL JOIN (
  SELECT account_id, billed, sum(amount) AS used FROM usage_rollups GROUP BY 1, 2
) AS used USING (account_id, billed)
WHERE posted IS DISTINCT FROM used
"""

REVIEWS = """
SELECT format('Event %s of source %s, account %s, %s.', charge.id, charge.source, charge.account_id, fault)
  AS difference
FROM charges AS charge
CROSS JOIN LATERAL (
  SELECT count(*) > 0 AS unpriced FROM prices WHERE id = ANY(charge.price_ids) AND official IS NULL
) AS prices
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN charge.review IS NULL AND unpriced THEN 'has no price, but does not wait for review'
    WHEN charge.review IS NOT NULL AND NOT unpriced THEN format('waits for review (%s), but has a price', charge.review)
    WHEN charge.review NOT IN ('no_usage', 'unpriced_model', 'unpriced_dimension')
      THEN format('waits for a review that does not exist: %s', charge.review)
    WHEN charge.corrects IS NOT NULL AND NOT EXISTS (
      SELECT FROM charges AS first
      WHERE first.account_id = charge.account_id AND first.source = charge.source AND first.id = charge.corrects
        AND first.review IS NOT NULL
    )
      THEN format('corrects %s, which does not wait for review', charge.corrects)
  END AS fault
) AS found
WHERE fault IS NOT NULL
"""

# What each event would add to the roll-ups, done again: every batch of every roll-up with its hash, in order.
# `billed` of an event is the posting of its own transaction that can have taken it: the first from its slot on.
ROLLED_UP = """
WITH booked AS (
  SELECT charges.account_id, charges.time, transaction, seq, position, charges.digest AS own, price_ids, quantities,
         corrects, slot, billed, coalesce(key_id, '') AS key_id, coalesce(body -> 'upstream' ->> 'name', '') AS upstream
  FROM charges
  CROSS JOIN LATERAL (SELECT date_bin('15 minutes', charges.time, 'epoch') AS slot) AS slots
  LEFT JOIN events ON events.account_id = charges.account_id AND events.source = charges.source
    AND events.id = charges.id
  CROSS JOIN LATERAL (
    SELECT min(seq) AS seq, min(effective_at) FILTER (WHERE effective_at >= slot) AS billed
    FROM postings
    WHERE postings.account_id = charges.account_id AND postings.transaction = charges.transaction
  ) AS posted
),
batches AS (
  SELECT account_id, billed, slot, price_id, key_id, upstream, seq,
         count(*) AS events, sum((place = 1 AND corrects IS NULL)::integer) AS requests, sum(quantity) AS quantity,
         sum(round(quantity * coalesce(official, 0) * multiplier * 1.000000000000000000000000 / unit_size, 12))
           AS amount,
         min(time) AS first_time, max(time) AS last_time, sha256(string_agg(own, '' ORDER BY position)) AS hash
  FROM booked
  CROSS JOIN LATERAL unnest(price_ids, quantities) WITH ORDINALITY AS line(price_id, quantity, place)
  LEFT JOIN prices ON prices.id = price_id
  GROUP BY account_id, billed, slot, price_id, key_id, upstream, transaction, seq
),
charged AS (
  SELECT account_id, billed, slot, price_id, key_id, upstream,
         sum(events) AS events, sum(requests) AS requests, sum(quantity) AS quantity, sum(amount) AS amount,
         min(first_time) AS first_time, max(last_time) AS last_time, array_agg(hash ORDER BY seq) AS hashes
  FROM batches
  GROUP BY account_id, billed, slot, price_id, key_id, upstream
)
SELECT account_id, billed, slot, price_id, key_id, upstream, hashes, r.evidence,
       ARRAY[r.events::text, r.requests::text, r.quantity::text, r.amount::text, r.first_time::text, r.last_time::text]
         AS said,
       ARRAY[c.events::text, c.requests::text, c.quantity::text, c.amount::text, c.first_time::text, c.last_time::text]
         AS charged
FROM usage_rollups AS r FULL JOIN charged AS c USING (account_id, billed, slot, price_id, key_id, upstream)
WHERE (r.events, r.requests, r.quantity, r.amount, r.first_time, r.last_time)
        IS DISTINCT FROM (c.events, c.requests, c.quantity, c.amount, c.first_time, c.last_time)
   OR cardinality(hashes) > 1
   OR r.evidence IS DISTINCT FROM hashes[1]
"""

KEPT = """
SELECT format('Event %s of source %s, account %s, %s.', id, source, account_id, fault) AS difference
FROM charges FULL JOIN events USING (account_id, source, id)
LEFT JOIN LATERAL (
  SELECT min(posted_at) AS posted_at
  FROM postings
  WHERE postings.account_id = charges.account_id AND postings.transaction = charges.transaction
) AS posted ON true
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN charges.digest IS NULL THEN 'is kept, but was never charged'
    WHEN body IS NULL THEN 'was charged, but is not kept'
    ELSE nullif(concat_ws(', ',
      CASE WHEN charges.time <> events.time
        THEN format('was charged for %s, but is kept for %s', charges.time, events.time) END,
      CASE WHEN received_at IS DISTINCT FROM posted_at
        THEN format('was received at %s, but posted at %s', received_at, posted_at) END
    ), '')
  END AS fault
) AS found
WHERE fault IS NOT NULL
"""

KEPT_TWICE = """
SELECT format('Event %s of source %s, account %s, is kept %s times.', id, source, account_id, count(*)) AS difference
FROM events
GROUP BY account_id, source, id
HAVING count(*) > 1
"""

BODIES = """
SELECT charges.account_id, charges.source, charges.id, charges.time, digest, price_ids, quantities,
       body::text AS body
FROM charges JOIN events ON events.account_id = charges.account_id AND events.source = charges.source
  AND events.id = charges.id
"""

PRICES = """
SELECT id, digest, model, dimension, variant, unit, unit_size, official::text AS official,
       multiplier::text AS multiplier, entry, source, book
FROM prices
"""

SUMS = ("events", "requests", "quantity", "amount", "first time", "last time")


async def _rollup_differences(conn: Connection) -> list[str]:
    """Roll-ups that are not the sums of their charges, or whose evidence is not the chain of their events' digests."""
    return await _looked_at(conn, ROLLED_UP, _rollup_faults)


def _rollup_faults(row: Row) -> str | None:
    faults = list(_compared(row))
    if not faults:
        return None
    place = (
        f"The roll-up of account {row['account_id']}, quarter hour {row['slot']} billed at {row['billed']}, "
        f"price {row['price_id']}, key {row['key_id'] or '-'}, upstream {row['upstream'] or '-'},"
    )
    return f"{place} {'; '.join(faults)}."


def _compared(row: Row) -> Iterator[str]:
    if row["hashes"] is None:
        yield f"says {row['said'][3]} for {row['said'][0]} events, but there are no such charges"
        return
    if row["evidence"] is None:
        yield f"is missing: its charges are {row['charged'][3]} for {row['charged'][0]} events"
        return
    for name, said, charged in zip(SUMS, row["said"], row["charged"], strict=True):
        if said != charged:
            yield f"says {name} {said}, but its charges {charged}"
    if row["evidence"] != _chain(row["hashes"]):
        yield "has evidence that is not the hash of its events' digests"


def _chain(hashes: list[bytes]) -> bytes:
    """docs/evidence.md, step 1."""
    chain, *others = hashes
    for batch in others:
        chain = hashlib.sha256(chain + batch).digest()
    return chain


async def _price_differences(conn: Connection) -> list[str]:
    """Prices that are not those their digests were made of."""
    return await _looked_at(conn, PRICES, _price_fault)


def _price_fault(row: Row) -> str | None:
    if digest_of(_stored_price(row)) == row["digest"]:
        return None
    return f"Price {row['id']} ({row['model']} {row['dimension']}) is not what its digest was made of."


def _stored_price(row: Row) -> StoredPrice:
    return StoredPrice(**{name: row[name] for name in StoredPrice.__struct_fields__})


async def _body_differences(conn: Connection) -> list[str]:
    """Kept events that are not what was charged: another identity, time or model, or other quantities."""
    prices = {row["id"]: _stored_price(row) for row in await (await conn.execute(PRICES)).fetchall()}
    shipped = book.load()
    return await _looked_at(conn, BODIES, lambda row: _body_fault(row, prices, shipped))


def _body_fault(row: Row, prices: dict[int, StoredPrice], shipped: Book) -> str | None:
    place = f"Event {row['id']} of source {row['source']}, account {row['account_id']},"
    try:
        event = _EVENT.decode(row["body"])
        usage = read(event.usage) if has_usage(event.usage) else NOTHING
    except (msgspec.MsgspecError, UsageError) as error:
        return f"{place} has a body that is no event: {_said(error)}."
    charged = [prices[number] for number in row["price_ids"] if number in prices]
    own = [name for name in ("id", "source", "time") if getattr(event, name) != row[name]]
    if event.account != row["account_id"]:
        own.append("account")
    if not all(
        _is_called(event.served_model or usage.served_model or event.model, price.model, shipped) for price in charged
    ):
        own.append("model")
    if not _is_charged(usage, charged, row["quantities"]):
        own.append("usage")
    if not own and hashlib.sha256(_canonical(event)).digest() != row["digest"]:
        own.append("content")
    return f"{place} was not charged as its body says: it has another {', '.join(own)}." if own else None


_EVENT = msgspec.json.Decoder(UsageEvent)


def _canonical(event: UsageEvent) -> bytes:
    """The event in the one spelling that its digest was made of (docs/evidence.md); jsonb keeps another."""
    if not has_usage(event.usage):
        return msgspec.json.encode(event)
    return msgspec.json.encode(msgspec.structs.replace(event, usage=msgspec.Raw(canonical(decode(event.usage)))))


def _is_called(name: str, model: str, shipped: Book) -> bool:
    """Whether a price's model is the one that an event names, by any of its spellings."""
    if model in (name, ANY_MODEL, UNKNOWN_MODEL) or model in names.spellings(name):
        return True
    card = shipped.card(name)
    return card is not None and card.name == model


def _is_charged(usage: Usage, prices: list[StoredPrice], quantities: list[int]) -> bool:
    """Whether the quantities charged are those of the usage; where nothing was billed, whether there was a reason."""
    entries = {price.entry for price in prices}
    if entries == {"unpriced"}:
        return quantities == [1]
    if entries == {"nothing-delivered"}:
        return quantities == [1] and not delivered(usage)
    if entries == {"nothing-used"}:
        return quantities == [1] and usage.is_zero
    families = [units.split(dimension)[0] for dimension in usage.dimensions]
    return (
        list(usage.quantities) == quantities
        and len(families) == len(prices)
        and all(family in (price.dimension, units.DURATION) for family, price in zip(families, prices, strict=True))
    )


def _query(query: LiteralString) -> Part:
    """A part that is one query, whose rows (`difference`) say where the claim does not hold."""
    limited = sql.SQL("SELECT difference, count(*) OVER () AS total FROM ({}) AS found LIMIT {}").format(
        sql.SQL(query), SHOWN_MAX
    )

    async def find(conn: Connection) -> list[str]:
        rows = await (await conn.execute(limited)).fetchall()
        return _with_rest([row["difference"] for row in rows], rows[0]["total"] if rows else 0)

    return find


class Check(NamedTuple):
    """What is claimed, and the parts that look whether it is so."""

    claim: str
    parts: tuple[Part, ...]


CHECKS = (
    Check("Every balance is the sum of its postings", (_query(BALANCES),)),
    Check(
        "Transactions are numbered without gaps, and each carries the balance after it",
        (_query(SEQUENCE), _query(LINES), _query(LEGS)),
    ),
    Check("What events were charged is what was posted", (_query(POSTED), _query(POSTED_BY_QUARTER_HOUR))),
    Check(
        "Every charge follows from its quantities, official prices and multiplier",
        (_query(FACTORS), _price_differences, _query(REVIEWS)),
    ),
    Check("The roll-ups are the sums of the charges, and their evidence is that of the events", (_rollup_differences,)),
    Check(
        "Every event that was charged is kept, and says what was charged",
        (_query(KEPT), _query(KEPT_TWICE), _body_differences),
    ),
    Check(
        "Invoices are the sums of their lines, their lines those of the roll-ups, their numbers without gaps",
        invoices.PARTS,
    ),
)


async def differences(conn: Connection, progress: Progress) -> list[str]:
    """Every difference in the whole book, as sentences; none when it is right. `progress` hears of each check done."""
    async with _snapshot(conn):
        return await _prove(conn, progress)


async def differences_unless_proving(conn: Connection, progress: Progress) -> list[str] | None:
    """The same, unless another process is at it: then None."""
    async with _snapshot(conn):
        row = await (await conn.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", [PROOF_LOCK])).fetchone()
        return await _prove(conn, progress) if row is not None and row["mine"] else None


@asynccontextmanager
async def _snapshot(conn: Connection) -> AsyncIterator[None]:
    async with conn.transaction():
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await conn.execute("SET LOCAL statement_timeout = 0")
        await conn.execute("SET LOCAL cursor_tuple_fraction = 1")  # cursors are read to their end
        yield


async def _prove(conn: Connection, progress: Progress) -> list[str]:
    found: list[str] = []
    for claim, parts in CHECKS:
        differing = [difference for part in parts for difference in await _attempt(conn, claim, part)]
        progress(claim, differing)
        found += differing
    return found


async def _attempt(conn: Connection, claim: str, part: Part) -> list[str]:
    """What a part finds. One that fails proves nothing, and the others go on; a lost connection fails all."""
    try:
        async with conn.transaction():
            return await part(conn)
    except Exception as error:
        if conn.closed:
            raise
        return [f"Not proved, because the check itself failed: “{claim}”. {_said(error)}."]


def _said(error: Exception) -> str:
    """The error's type and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".rstrip(": .")


async def _looked_at(conn: Connection, query: LiteralString, fault_of: Callable[[Row], str | None]) -> list[str]:
    """What is wrong with each row of a query: the first sentences, and how many more there are."""
    shown: list[str] = []
    total = 0
    async with conn.cursor("proof") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(query)
        async for row in cursor:
            fault = fault_of(row)
            if fault is not None:
                total += 1
                shown += [fault] if total <= SHOWN_MAX else []
    return _with_rest(shown, total)


def _with_rest(shown: list[str], total: int) -> list[str]:
    more = total - len(shown)
    return [*shown, f"… and {more} more like it."] if more else shown
