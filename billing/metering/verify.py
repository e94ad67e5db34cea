"""The proof of the usage (rules.md Ledger 3): charges follow from their factors, roll-ups from charges, and every kept
event says what was charged.
"""

import hashlib
from collections.abc import Iterator

import msgspec

from billing.db.dollars import picos
from billing.db.pool import Connection
from billing.metering.assess import UNKNOWN_MODEL, StoredPrice, canonical_event, delivered
from billing.metering.events import UsageEvent, has_usage
from billing.metering.store import digest_of
from billing.proving import Row, looked_at, query, said
from pricing import book, money, names, units
from pricing.adjust import adjusted
from pricing.book import Book
from pricing.entries import ANY_MODEL
from pricing.errors import UsageError
from pricing.usage import NOTHING, Usage, decode, read

FACTORS = """
SELECT format('Event %s of source %s, account %s, was charged %s; its factors make %s.',
              id, source, account_id, amount, expected) AS difference
FROM (
  SELECT charges.account_id, charges.source, charges.id, charges.amount, coalesce(sum(round(
    quantity * official * multiplier * 1.000000000000000000000000 / unit_size, 12
  )), 0) AS expected
  FROM examined_charges AS charges
  CROSS JOIN LATERAL unnest(price_ids, quantities) AS line(price_id, quantity)
  LEFT JOIN prices ON prices.id = price_id
  GROUP BY charges.account_id, charges.source, charges.id, charges.amount
) AS recomputed
WHERE amount <> expected
"""

REVIEWS = """
SELECT format('Event %s of source %s, account %s, %s.', charge.id, charge.source, charge.account_id, fault)
  AS difference
FROM examined_charges AS charge
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
    )
      THEN format('stands for %s, which does not exist', charge.corrects)
  END AS fault
) AS found
WHERE fault IS NOT NULL
"""

# A correction takes back what the event was charged that it stands for: each line, and nothing else.
UNDONE = """
SELECT format('Event %s of source %s, account %s, does not take back what %s was charged, which it stands for.',
              later.id, later.source, later.account_id, first.id) AS difference
FROM examined_charges AS later
JOIN charges AS first
  ON first.account_id = later.account_id AND first.source = later.source AND first.id = later.corrects
CROSS JOIN LATERAL (
  SELECT jsonb_object_agg(price_id, quantity) AS lines
  FROM (
    SELECT price_id, -sum(quantity) AS quantity
    FROM unnest(later.price_ids, later.quantities) AS line(price_id, quantity)
    WHERE quantity < 0
    GROUP BY price_id
  ) AS summed
) AS undone
CROSS JOIN LATERAL (
  SELECT jsonb_object_agg(price_id, quantity) AS lines
  FROM (
    SELECT price_id, sum(quantity) AS quantity
    FROM unnest(first.price_ids, first.quantities) AS line(price_id, quantity)
    JOIN prices ON prices.id = price_id
    WHERE quantity > 0 AND official IS NOT NULL AND dimension <> 'request'
    GROUP BY price_id
  ) AS summed
) AS charged
WHERE undone.lines IS DISTINCT FROM charged.lines
"""

# What each event would add to the roll-ups, done again: every batch of every roll-up with its hash, in order.
# `billed` of an event is the posting of its own transaction that can have taken it: the first from its slot on. Charges
# of before they had a key and an upstream (null) have those of their events.
ROLLED_UP = """
WITH booked AS (
  SELECT charges.account_id, charges.time, transaction, seq, position, charges.digest AS own, price_ids, quantities,
         corrects, cost, slot, billed,
         coalesce(CASE WHEN charges.upstream IS NULL THEN events.key_id ELSE charges.key_id END, '') AS key_id,
         coalesce(charges.upstream, body -> 'upstream' ->> 'name', '') AS upstream
  FROM charges
  CROSS JOIN LATERAL (SELECT date_bin('15 minutes', charges.time, 'epoch') AS slot) AS slots
  LEFT JOIN events ON events.account_id = charges.account_id AND events.source = charges.source
    AND events.id = charges.id AND charges.upstream IS NULL
  CROSS JOIN LATERAL (
    SELECT min(seq) AS seq, min(effective_at) FILTER (WHERE effective_at >= slot) AS billed
    FROM postings
    WHERE postings.account_id = charges.account_id AND postings.transaction = charges.transaction
  ) AS posted
),
batches AS (
  SELECT account_id, billed, slot, line.price_id, key_id, upstream, seq,
         count(*) AS events, sum((place = 1 AND corrects IS NULL)::integer) AS requests, sum(line.quantity) AS quantity,
         sum(line.amount) AS amount, sum(round(CASE WHEN place = 1 THEN coalesce(cost, 0) ELSE 0 END, 12)) AS cost,
         min(time) AS first_time, max(time) AS last_time, sha256(string_agg(own, '' ORDER BY position)) AS hash
  FROM booked
  CROSS JOIN LATERAL (
    SELECT price_id, min(place) AS place, sum(quantity) AS quantity, sum(round(
      quantity * coalesce(official, 0) * multiplier * 1.000000000000000000000000 / unit_size, 12
    )) AS amount
    FROM unnest(price_ids, quantities) WITH ORDINALITY AS line(price_id, quantity, place)
    LEFT JOIN prices ON prices.id = price_id
    GROUP BY price_id
  ) AS line
  GROUP BY account_id, billed, slot, line.price_id, key_id, upstream, transaction, seq
),
charged AS (
  SELECT account_id, billed, slot, price_id, key_id, upstream,
         sum(events) AS events, sum(requests) AS requests, sum(quantity) AS quantity, sum(amount) AS amount,
         sum(cost) AS cost, min(first_time) AS first_time, max(last_time) AS last_time,
         array_agg(hash ORDER BY seq) AS hashes
  FROM batches
  GROUP BY account_id, billed, slot, price_id, key_id, upstream
)
SELECT account_id, billed, slot, price_id, key_id, upstream, hashes, r.evidence,
       ARRAY[r.events::text, r.requests::text, r.quantity::text, r.amount::text, r.cost::text, r.first_time::text,
             r.last_time::text] AS said,
       ARRAY[c.events::text, c.requests::text, c.quantity::text, c.amount::text, c.cost::text, c.first_time::text,
             c.last_time::text] AS charged
FROM usage_rollups AS r FULL JOIN charged AS c USING (account_id, billed, slot, price_id, key_id, upstream)
WHERE (r.events, r.requests, r.quantity, r.amount, r.cost, r.first_time, r.last_time)
        IS DISTINCT FROM (c.events, c.requests, c.quantity, c.amount, c.cost, c.first_time, c.last_time)
   OR cardinality(hashes) > 1
   OR r.evidence IS DISTINCT FROM hashes[1]
"""

KEPT = """
SELECT format('Event %s of source %s, account %s, %s.', id, source, account_id, fault) AS difference
FROM examined_charges AS charges FULL JOIN examined_events AS events USING (account_id, source, id)
LEFT JOIN LATERAL (
  SELECT min(posted_at) AS posted_at
  FROM postings
  WHERE postings.account_id = charges.account_id AND postings.transaction = charges.transaction
) AS posted ON true
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN charges.digest IS NULL THEN 'is kept, but was never charged'
    WHEN body IS NULL AND EXISTS (
      SELECT FROM dropped_months WHERE posted_at >= start AND posted_at < until
    ) THEN NULL
    WHEN body IS NULL THEN 'was charged, but is not kept'
    ELSE nullif(concat_ws(', ',
      CASE WHEN charges.time <> events.time
        THEN format('was charged for %s, but is kept for %s', charges.time, events.time) END,
      CASE WHEN received_at IS DISTINCT FROM posted_at
        THEN format('was received at %s, but posted at %s', received_at, posted_at) END,
      CASE WHEN charges.upstream IS NOT NULL AND charges.key_id IS DISTINCT FROM events.key_id
        THEN format('was charged to key %s, but is kept with key %s', charges.key_id, events.key_id) END,
      CASE WHEN charges.upstream <> coalesce(body -> 'upstream' ->> 'name', '')
        THEN format('was charged to upstream %s, but says another', charges.upstream) END
    ), '')
  END AS fault
) AS found
WHERE fault IS NOT NULL
"""

KEPT_TWICE = """
SELECT format('Event %s of source %s, account %s, is kept %s times.', id, source, account_id, count(*)) AS difference
FROM examined_events
GROUP BY account_id, source, id
HAVING count(*) > 1
"""

DROPPED = """
SELECT format('Of the events that came from %s on, %s were dropped, but %s were charged.', start, events, count(id))
  AS difference
FROM dropped_months
LEFT JOIN (
  SELECT id, posted_at
  FROM charges JOIN (
    SELECT account_id, transaction, min(posted_at) AS posted_at FROM postings WHERE kind = 'usage' GROUP BY 1, 2
  ) AS posted USING (account_id, transaction)
) AS charged ON posted_at >= start AND posted_at < until
GROUP BY start, events
HAVING count(id) <> events
"""

VERDICTS = """
SELECT format('Event %s of source %s, account %s, has a verdict, but was never charged.', id, source, account_id)
  AS difference
FROM verdicts LEFT JOIN charges USING (account_id, source, id)
WHERE charges.digest IS NULL
"""

VERDICT_ROLLUPS = """
SELECT format('The verdicts %s on %s of account %s, quarter hour %s, sum up to %s; the roll-up says %s.',
              verdict, model, account_id, slot, expected, kept) AS difference
FROM (
  SELECT account_id, slot, model, upstream, source, verdict,
         (events, excess, shortfall, excess_amount, shortfall_amount)::text AS kept
  FROM verdict_rollups
) AS rolled_up
FULL JOIN (
  SELECT account_id, date_bin('15 minutes', time, 'epoch') AS slot, model, upstream, source, verdict,
         (count(*), sum(excess), sum(shortfall), sum(excess_amount), sum(shortfall_amount))::text AS expected
  FROM verdicts
  GROUP BY 1, 2, 3, 4, 5, 6
) AS summed USING (account_id, slot, model, upstream, source, verdict)
WHERE kept IS DISTINCT FROM expected
"""

BODIES = """
SELECT charges.account_id, charges.source, charges.id, charges.time, digest, price_ids, quantities, corrects, cost,
       verdict, billed_input, billed_output, body::text AS body
FROM examined_charges AS charges
JOIN examined_events AS events ON events.account_id = charges.account_id AND events.source = charges.source
  AND events.id = charges.id
LEFT JOIN verdicts ON verdicts.account_id = charges.account_id AND verdicts.source = charges.source
  AND verdicts.id = charges.id
"""

PRICES = """
SELECT id, digest, model, dimension, variant, unit, unit_size, official::text AS official,
       multiplier::text AS multiplier, entry, source, book
FROM prices
"""

SUMS = ("events", "requests", "quantity", "amount", "cost", "first time", "last time")


async def _rollup_differences(conn: Connection) -> list[str]:
    """Roll-ups that are not the sums of their charges, or whose evidence is not the chain of their events' digests."""
    return await looked_at(conn, ROLLED_UP, _rollup_faults)


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
    for name, kept, charged in zip(SUMS, row["said"], row["charged"], strict=True):
        if kept != charged:
            yield f"says {name} {kept}, but its charges {charged}"
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
    return await looked_at(conn, PRICES, _price_fault)


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
    return await looked_at(conn, BODIES, lambda row: _body_fault(row, prices, shipped))


def _body_fault(row: Row, prices: dict[int, StoredPrice], shipped: Book) -> str | None:
    place = f"Event {row['id']} of source {row['source']}, account {row['account_id']},"
    try:
        event = _EVENT.decode(row["body"])
        usage = read(event.usage) if has_usage(event.usage) else NOTHING
    except (msgspec.MsgspecError, UsageError) as error:
        return f"{place} has a body that is no event: {said(error)}."
    anew = [
        (number, quantity)
        for number, quantity in zip(row["price_ids"], row["quantities"], strict=False)
        if quantity > 0
    ]
    charged = [prices[number] for number, _ in anew if number in prices]
    own = [name for name in ("id", "source", "time") if getattr(event, name) != row[name]]
    if event.account != row["account_id"]:
        own.append("account")
    if not all(
        _is_called(event.served_model or usage.served_model or event.model, price.model, shipped) for price in charged
    ):
        own.append("model")
    quantities = [quantity for _, quantity in anew]
    if len(row["price_ids"]) != len(row["quantities"]) or not _is_charged(usage, charged, quantities, row):
        own.append("usage")
    if not own and hashlib.sha256(_canonical(event)).digest() != row["digest"]:
        own.append("content")
    if event.upstream is not None and event.upstream.cost is not None and row["corrects"] is None:
        own += ["cost"] if row["cost"] is None or money.parse(event.upstream.cost) != picos(row["cost"]) else []
    return f"{place} was not charged as its body says: it has another {', '.join(own)}." if own else None


_EVENT = msgspec.json.Decoder(UsageEvent)


def _canonical(event: UsageEvent) -> bytes:
    """The event in the one spelling that its digest was made of (docs/evidence.md); jsonb keeps another."""
    return canonical_event(event, event.account or "", decode(event.usage) if has_usage(event.usage) else None)


def _is_called(name: str, model: str, shipped: Book) -> bool:
    """Whether a price's model is the one that an event names, by any of its spellings."""
    if model in (name, ANY_MODEL, UNKNOWN_MODEL) or model in names.spellings(name):
        return True
    card = shipped.card(name)
    return card is not None and card.name == model


def _is_charged(usage: Usage, prices: list[StoredPrice], quantities: list[int], row: Row) -> bool:
    """Whether the quantities charged are those of the usage, as its verdict corrects it; where nothing was billed,
    whether there was a reason."""
    entries = {price.entry for price in prices}
    if entries <= {"unpriced", "voided"}:
        return quantities == [1]
    if row["verdict"] is not None:
        if usage.is_zero:  # the quantities are our count
            return sum(quantities) == (row["billed_input"] or 0) + (row["billed_output"] or 0)
        usage = adjusted(usage, input=row["billed_input"], output=row["billed_output"])
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


CHARGES = (query(FACTORS), _price_differences, query(REVIEWS), query(UNDONE))
ROLLUPS = (_rollup_differences,)
VERIFICATION = (query(VERDICTS), query(VERDICT_ROLLUPS))
EVENTS = (query(KEPT), query(KEPT_TWICE), _body_differences)
DROPPED_MONTHS = (query(DROPPED),)
