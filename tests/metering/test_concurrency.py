"""The same batches from many connections at once: each event is booked once, whoever wins, and nothing deadlocks."""

import asyncio
import random
from collections import Counter

import msgspec
import pytest

from billing import proof
from billing.db.pool import open_pool
from billing.metering.answers import Result
from billing.metering.intake import Intake
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book, money
from tests import factories
from tests.books import balance
from tests.metering.events import GPT_4_CHARGE, batch, event

pytestmark = pytest.mark.anyio

CONNECTIONS = 8
ACCOUNTS = 5
EVENTS = 200


async def test_overlapping_batches_from_eight_connections_book_each_event_once(fresh_database: str) -> None:
    settings = Settings(database_url=fresh_database, pool_size_max=CONNECTIONS)
    pool = await open_pool(settings, fresh_database)
    try:
        async with pool.connection() as conn:
            accounts = [await factories.account(conn) for _ in range(ACCOUNTS)]
        events = [event(accounts[number % ACCOUNTS], f"e{number}") for number in range(EVENTS)]
        # Workers of their own, as in several processes: nothing is shared but the database.
        workers = [Intake(pool, TermsKeeper(book.load(), "0.5"), settings) for _ in range(CONNECTIONS)]
        tasks = [post_shuffled(worker, events, seed) for seed, worker in enumerate(workers)]
        results = [result for found in await asyncio.gather(*tasks) for result in found]

        assert Counter(result.status for result in results) == {
            "accepted": EVENTS,
            "duplicate": EVENTS * (CONNECTIONS - 1),
        }
        assert {result.charge for result in results} == {GPT_4_CHARGE}
        async with pool.connection() as conn:
            for account in accounts:
                posted = (await balance(conn, account)).posted
                assert posted == -EVENTS // ACCOUNTS * money.parse(GPT_4_CHARGE)
            assert await proof.differences(conn) == []
            row = await (
                await conn.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            ).fetchone()
            assert row == {"deadlocks": 0}
    finally:
        await pool.close()


async def post_shuffled(worker: Intake, events: list[dict[str, object]], seed: int) -> list[Result]:
    """All events in batches of changing size, in an order of this worker's own."""
    chance = random.Random(seed)
    mine = chance.sample(events, len(events))
    results: list[Result] = []
    while mine:
        size = chance.randint(1, 40)
        results += await worker.post(batch(*mine[:size]))
        mine = mine[size:]
    return results


async def test_terms_that_change_meanwhile_disturb_nobody(fresh_database: str) -> None:
    """Requests of one process share what it remembers, and other terms make other rates."""
    settings = Settings(database_url=fresh_database)
    pool = await open_pool(settings, fresh_database)
    try:
        async with pool.connection() as conn:
            account = await factories.account(conn)
        terms = TermsKeeper(book.load(), "0.5")
        worker = Intake(pool, terms, settings)

        async def post(number: int) -> list[Result]:
            model = ("gpt-4", "gpt-4o", "no-such-model")[number % 3]
            return await worker.post(batch(event(account, f"e{number}", model=model)))

        async def change() -> None:
            for _ in range(20):
                terms.current = msgspec.structs.replace(terms.current, version=terms.current.version + 1)
                await asyncio.sleep(0.002)

        results, _ = await asyncio.gather(asyncio.gather(*(post(number) for number in range(120))), change())
        assert Counter(result.status for [result] in results) == {"accepted": 80, "unpriced": 40}
    finally:
        await pool.close()
