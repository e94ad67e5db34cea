"""The recipe of docs/evidence.md, followed from the events alone."""

import hashlib
from collections import defaultdict
from datetime import UTC, datetime

import pytest

from billing.db.pool import Connection
from billing.invoices.lines import Line
from billing.invoices.periods import SLOT, Period
from tests import factories
from tests.invoices.conftest import Relay

pytestmark = pytest.mark.anyio

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


async def events_of(conn: Connection, account: str) -> list[dict[str, object]]:
    """The account's events in the order they were booked."""
    cursor = await conn.execute(
        """
        SELECT charges.*, coalesce(events.key_id, '') AS key, coalesce(body #>> '{upstream,name}', '') AS upstream, body
        FROM charges JOIN events USING (account_id, source, id)
        WHERE account_id = %s
        ORDER BY (SELECT min(seq) FROM postings WHERE account_id = %s AND postings.transaction = charges.transaction),
                 position
        """,
        [account, account],
    )
    return await cursor.fetchall()


def evidence(events: list[dict[str, object]], period: Period, line: Line) -> bytes:
    """docs/evidence.md, steps 1 to 3."""
    prices, of_line = line.price_ids, line.correction_of or period
    batches: dict[tuple[object, ...], dict[int, list[bytes]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        slot = EPOCH + (event["time"] - EPOCH) // SLOT * SLOT
        if not of_line.start <= slot < of_line.end:
            continue
        for price in set(event["price_ids"]) & set(prices):
            key = (price, max(slot, period.start), slot, event["key"].encode(), event["upstream"].encode())
            batches[key][event["transaction"]].append(event["digest"])
    of_price: dict[int, list[bytes]] = {price: [] for price in prices}
    for key in sorted(batches):
        chain = b""
        for digests in batches[key].values():
            batch = sha256(*digests)
            chain = sha256(chain, batch) if chain else batch
        of_price[key[0]].append(chain)
    return sha256(*(sha256(*of_price[price]) for price in sorted(prices)))


async def test_the_evidence_of_each_line_is_recomputed_from_its_events(relay: Relay, conn: Connection) -> None:
    account = await relay.account("Asia/Kolkata")
    keys = [await factories.key(conn, "customer", account) for _ in range(2)]

    await relay.use(account, "2026-08-20T12:00Z")
    await relay.invoiced("2026-08", account)
    at_noon = ("2026-09-10T12:00Z", "2026-09-10T12:01Z", "2026-09-10T12:02Z")
    await relay.use(account, *at_noon, "2026-09-10T13:00Z", key=keys[0], upstream="openai-1")
    await relay.use(account, *at_noon, "2026-08-10T12:02Z", key=keys[1], upstream="azüre")
    for _ in range(3):
        await relay.use(account, *at_noon, "2026-08-11T12:02Z", "2026-08-11T12:03Z")
    await relay.use(account, "2026-09-10T12:00Z", model="gpt-3.5-turbo")
    invoice = await relay.invoiced("2026-09", account)

    events = (await events_of(conn, account))[1:]  # without August's own
    assert [(line.correction_of is not None, line.factors.model, line.events) for line in invoice.lines] == [
        *[(False, "gpt-3.5-turbo", 1)] * 2,
        *[(False, "gpt-4", 16)] * 2,
        *[(True, "gpt-4", 7)] * 2,
    ]
    for line in invoice.lines:
        assert line.evidence == evidence(events, invoice.period, line)
        some = [event for event in events if line.first_at < event["time"]]
        assert line.evidence != evidence(some[:-1], invoice.period, line)
