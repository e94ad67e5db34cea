"""Events that waited for a price, billed once there is one.

Nothing that is booked changes: each gets a second event that names it (`corrects`), with the first one's time, priced
at the terms of that time, and billed in the period still open (rules.md Usage 4 and 5, Money 3).
"""

import logging
from collections.abc import Callable

import msgspec
from psycopg.rows import DictRow

from billing.audit import log as audit
from billing.db.pool import Connection, Pool
from billing.metering import store
from billing.metering.assess import UNPRICED_DIMENSION, UNPRICED_MODEL, Assessed, assess
from billing.metering.booking import Booking
from billing.metering.corrections import Charged, Identity
from billing.metering.events import RERATED, UsageEvent, has_usage
from billing.metering.refused import Refused
from billing.prices.terms import Terms
from pricing import money
from pricing.adjust import adjusted
from pricing.usage import NOTHING, of_counts, read

PAGE = 500

log = logging.getLogger(__name__)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What rerating did: how many events are billed now and for how much (dollars), and how many still wait."""

    billed: int
    amount: str
    waiting: int


WAITING = """
SELECT account_id, source, charges.id, events.key_id, events.body::text AS body,
       verdict, unit, billed_input, billed_output
FROM charges JOIN events USING (account_id, time, source, id) LEFT JOIN verdicts USING (account_id, source, id)
WHERE review = ANY(%(reviews)s)
  AND (%(account_id)s::text IS NULL OR account_id = %(account_id)s)
  AND (account_id, source, charges.id) > (%(after_account)s, %(after_source)s, %(after_id)s)
  AND NOT EXISTS (
    SELECT FROM charges AS later
    WHERE later.account_id = charges.account_id AND later.source = charges.source AND later.corrects = charges.id
  )
ORDER BY account_id, source, charges.id
LIMIT %(page)s
"""


async def rerate(
    pool: Pool, booking: Booking, account_id: str | None = None, progress: Callable[[int], None] = lambda _seen: None
) -> Summary:
    """Bill every waiting event that has a price by now, of one account or of all. Again, it bills nothing twice."""
    billed, amount, waiting = 0, 0, 0
    after = ("", "", "")
    async with pool.connection() as conn:
        await audit.record(conn, "events.rerate", account=account_id)
        while rows := await _waiting(conn, account_id, after):
            terms = await booking.terms.fresh(conn)
            after = (rows[-1]["account_id"], rows[-1]["source"], rows[-1]["id"])
            firsts = await store.charged(conn, [_identity(row) for row in rows])
            tried = [_correction(terms, place, row, firsts[_identity(row)]) for place, row in enumerate(rows)]
            corrections = [item for item in tried if item is not None]
            results = await booking.book(conn, corrections)
            new = [item for item, result in zip(corrections, results, strict=True) if result.status == "accepted"]
            billed += len(new)
            amount += sum(item.amount for item in new)
            waiting += len(rows) - len(new)
            progress(len(rows))
    return Summary(billed=billed, amount=money.format(amount), waiting=waiting)


async def _waiting(conn: Connection, account_id: str | None, after: tuple[str, str, str]) -> list[DictRow]:
    parameters = {
        "reviews": [UNPRICED_MODEL, UNPRICED_DIMENSION],
        "account_id": account_id,
        "after_account": after[0],
        "after_source": after[1],
        "after_id": after[2],
        "page": PAGE,
    }
    return await (await conn.execute(WAITING, parameters)).fetchall()


def _identity(row: DictRow) -> Identity:
    return row["account_id"], row["source"], row["id"]


def _correction(terms: Terms, place: int, row: DictRow, first: Charged) -> Assessed | None:
    """What bills this event instead, or None while it has no price, or one that cannot be charged."""
    waiting = msgspec.json.decode(row["body"], type=UsageEvent)
    event = msgspec.structs.replace(_as_judged(waiting, row), id=waiting.id + RERATED, corrects=waiting.id)
    try:
        item = assess(place, event, row["account_id"], row["key_id"], terms=terms, latest=event.time, first=first)
    except Refused as fault:
        log.warning("event %s of %s cannot be billed: %s", waiting.id, row["account_id"], fault)
        return None
    return None if item.review else item


def _as_judged(event: UsageEvent, row: DictRow) -> UsageEvent:
    """The event with the usage that its verdict bills, where its text was counted."""
    usage = read(event.usage) if has_usage(event.usage) else NOTHING
    given, answer = row["billed_input"], row["billed_output"]
    if row["verdict"] is None or given is None or answer is None:
        return event
    if usage.is_zero and row["unit"] == "images":  # of which size is not known any more
        return event
    billed = of_counts(row["unit"], given, answer, {}) if usage.is_zero else adjusted(usage, input=given, output=answer)
    return msgspec.structs.replace(
        event,
        usage=msgspec.Raw(
            msgspec.json.encode({"quantities": dict(zip(billed.dimensions, billed.quantities, strict=True))})
        ),
        served_model=event.served_model or usage.served_model,
        service_tier=event.service_tier or usage.service_tier,
    )
