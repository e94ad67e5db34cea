"""Many at once, in several processes' worth of pools: nothing is ever promised twice, and nothing deadlocks."""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from billing import ids, proof
from billing.db.pool import Connection, Pool, open_pool
from billing.errors import Unpayable
from billing.gather import Bounds
from billing.holds import store
from billing.holds.authorizer import Authorizer, sweep
from billing.holds.estimates import exactly
from billing.holds.rules import Asked
from billing.ledger.movements import Movement, book
from billing.metering.intake import Intake
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book as books
from pricing import money
from tests import factories
from tests.books import balance
from tests.metering.events import GPT_4_CHARGE, batch, event

pytestmark = pytest.mark.anyio

PROCESSES = 4
CALLERS = 10
EACH = 10
CENT = money.parse("0.01")
BOOK = books.load()


class Worker:
    """What one process has: a pool, an authorizer, an intake."""

    def __init__(self, pool: Pool, settings: Settings) -> None:
        self.pool = pool
        self.terms = TermsKeeper(BOOK, "0.5")
        self.authorizer = Authorizer(pool, self.terms, Bounds(1000, 60))
        self.intake = Intake(pool, self.terms, settings)

    async def authorize(self, account: str, amount: int) -> str | None:
        """The hold's id; None when it was refused."""
        asked = Asked(
            owner=account, model="gpt-4", price=exactly(amount), max_cost=amount, seconds=600, new_id=ids.new("auth")
        )
        try:
            return (await self.authorizer.authorize(asked)).hold.id
        except Unpayable:
            return None


async def workers(stack: AsyncExitStack, url: str) -> list[Worker]:
    settings = Settings(database_url=url, pool_size_max=4)
    found = []
    for _ in range(PROCESSES):
        pool = await open_pool(settings, url)
        stack.push_async_callback(pool.close)
        found.append(Worker(pool, settings))
        stack.push_async_callback(found[-1].intake.close)
    return found


async def paid(conn: Connection, dollars: str) -> str:
    account = await factories.account(conn)
    amount = money.parse(dollars)
    async with conn.transaction():
        await book(conn, Movement(account_id=account, kind="top_up", amount=amount, reason="test", actor="test"))
    return account


async def check(conn: Connection) -> None:
    assert await proof.differences(conn) == []
    cursor = await conn.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert await cursor.fetchone() == {"deadlocks": 0}


async def test_one_hot_account_is_never_overdrawn(fresh_database: str) -> None:
    """400 ask for a cent each of an account that has one dollar: exactly 100 get it."""
    async with AsyncExitStack() as stack:
        processes = await workers(stack, fresh_database)
        async with processes[0].pool.connection() as conn:
            account = await paid(conn, "1")
            asking = [
                worker.authorize(account, CENT) for worker in processes for _ in range(CALLERS) for _ in range(EACH)
            ]
            found = await asyncio.gather(*asking)
            assert Counter(one is not None for one in found) == {True: 100, False: 300}
            assert (await balance(conn, account)).available == 0
            await check(conn)


async def test_holds_captures_releases_and_sweeps_in_any_order_keep_every_sum(fresh_database: str) -> None:
    """Callers of four processes on three accounts; each capture, release and expiry is tried by two at once."""
    async with AsyncExitStack() as stack:
        processes = await workers(stack, fresh_database)
        async with processes[0].pool.connection() as conn:
            accounts = [await paid(conn, "0.2") for _ in range(3)]
            tasks = [
                caller(worker, accounts, n * 100 + m) for n, worker in enumerate(processes) for m in range(CALLERS)
            ]
            events = sum(await asyncio.gather(*tasks))
            await asyncio.gather(*(sweep(worker.pool) for worker in processes))
            found = [await balance(conn, account) for account in accounts]
            assert sum(one.posted for one in found) == 3 * money.parse("0.2") - events * money.parse(GPT_4_CHARGE)
            assert [(one.held, one.available >= 0) for one in found] == [(0, True)] * 3
            await check(conn)


async def caller(worker: Worker, accounts: list[str], seed: int) -> int:
    """Asks, and then captures, releases or lets expire what it was granted. Answers how many events it posted."""
    chance = random.Random(seed)
    posted = 0
    for number in range(EACH):
        account = chance.choice(accounts)
        hold = await worker.authorize(account, CENT)
        if hold is None:
            continue
        match chance.randrange(3):
            case 0:
                one = event(account, f"{seed}-{number}", authorization=hold)
                results = await asyncio.gather(*(worker.intake.post(batch(one)) for _ in range(2)))
                assert Counter(result.status for [result] in results) == {"accepted": 1, "duplicate": 1}
                posted += 1
            case 1:
                await asyncio.gather(*(release(worker, account, hold) for _ in range(2)))
            case 2:
                await expire(worker, account, hold)
    return posted


async def release(worker: Worker, account: str, hold: str) -> None:
    async with worker.pool.connection() as conn:
        await store.end(conn, [(account, hold)])


async def expire(worker: Worker, account: str, hold: str) -> None:
    async with worker.pool.connection() as conn:
        await conn.execute("UPDATE holds SET expires_at = now() WHERE account_id = %s AND id = %s", [account, hold])
    await asyncio.gather(sweep(worker.pool), sweep(worker.pool))


async def test_events_that_name_the_same_holds_in_opposite_orders_do_not_deadlock(fresh_database: str) -> None:
    async with AsyncExitStack() as stack:
        processes = await workers(stack, fresh_database)
        async with processes[0].pool.connection() as conn:
            accounts = [await paid(conn, "10") for _ in range(2)]
            for attempt in range(10):
                holds = [(account, await processes[0].authorize(account, CENT)) for account in accounts * 5]
                batches = [
                    batch(
                        *(
                            event(account, f"{attempt}-{n}-{m}", authorization=hold)
                            for m, (account, hold) in enumerate(holds[:: 1 if n % 2 else -1])
                        )
                    )
                    for n in range(PROCESSES)
                ]
                await asyncio.gather(
                    *(worker.intake.post(one) for worker, one in zip(processes, batches, strict=True)),
                    sweep(processes[0].pool),
                )
            assert [(await balance(conn, account)).held for account in accounts] == [0, 0]
            await check(conn)
