"""Requests that come at the same time are booked together, and each is answered as if it had come alone."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from msgspec.structs import replace

from billing.db.pool import Connection, Pool, open_pool
from billing.errors import Unavailable
from billing.metering.answers import Result
from billing.metering.intake import GATHERED_EVENTS_MAX, Intake
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book, money
from tests import factories
from tests.books import balance
from tests.metering.events import GPT_4_CHARGE, batch, event

pytestmark = pytest.mark.anyio
Posting = asyncio.Task[list[Result]]


def taking(pool: Pool, settings: Settings) -> Intake:
    return Intake(pool, TermsKeeper(book.load(), "0.5"), settings)


@pytest.fixture
def intake(pool: Pool, settings: Settings) -> Intake:
    return taking(pool, settings)


@pytest.fixture
async def account(conn: Connection) -> str:
    return await factories.account(conn)


@asynccontextmanager
async def held_up(intake: Intake, conn: Connection, account: str) -> AsyncIterator[Posting]:
    """A first request is under way, and stays so until the block ends: somebody else has locked its account."""
    async with conn.transaction():
        await conn.execute("SELECT FROM balances WHERE account_id = %s FOR UPDATE", [account])
        first = asyncio.create_task(intake.post(batch(event(account, "first"))))
        await until_blocked(conn, first)
        yield first


async def until_blocked(conn: Connection, posting: Posting) -> None:
    """Until a session waits for a lock of ours, as this posting must."""
    query = (
        "SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )
    while (await (await conn.execute(query)).fetchone() or {})["waiting"] == 0:
        assert not posting.done()
        await asyncio.sleep(0.005)


async def transactions(conn: Connection, account: str) -> list[int]:
    """How many events each transaction booked, in their order."""
    cursor = await conn.execute(
        "SELECT count(*) AS events FROM charges WHERE account_id = %s GROUP BY transaction ORDER BY transaction",
        [account],
    )
    return [row["events"] for row in await cursor.fetchall()]


async def test_what_comes_while_a_transaction_runs_is_the_next_transaction(
    intake: Intake, conn: Connection, account: str
) -> None:
    async with held_up(intake, conn, account) as first:
        others = [asyncio.create_task(intake.post(batch(event(account, f"e{number}")))) for number in range(30)]
        await asyncio.sleep(0)
    results = await asyncio.gather(first, *others)
    assert [(one.index, one.status, one.charge) for [one] in results] == [(0, "accepted", GPT_4_CHARGE)] * 31
    assert [one.id for [one] in results] == ["first", *(f"e{number}" for number in range(30))]
    assert await transactions(conn, account) == [1, 30]
    assert (await balance(conn, account)).posted == -31 * money.parse(GPT_4_CHARGE)


async def test_each_request_has_its_own_errors_and_its_own_order(
    intake: Intake, conn: Connection, account: str
) -> None:
    async with held_up(intake, conn, account) as first:
        requests = [
            batch(event(account, "a"), event("acct_nobody", "b"), event(account, "c")),
            batch(event(account, "d", time="2001-01-01T00:00:00Z")),
            batch(event(account, "e", usage={"prompt_tokens": -1}), event(account, "f")),
            batch(event(account, "a"), event(account, "g", model="gpt-4-turbi")),
            batch(event(account, "c", model="gpt-4o")),
        ]
        posted = [asyncio.create_task(intake.post(request)) for request in requests]
        await asyncio.sleep(0)
    results = await asyncio.gather(*posted)
    assert await first
    assert [[(one.index, one.id, one.status) for one in found] for found in results] == [
        [(0, "a", "accepted"), (1, "b", "rejected"), (2, "c", "accepted")],
        [(0, "d", "rejected")],
        [(0, "e", "rejected"), (1, "f", "accepted")],
        [(0, "a", "duplicate"), (1, "g", "unpriced")],
        [(0, "c", "conflict")],
    ]
    places = [(fault.index, fault.path) for found in results for one in found for fault in one.errors]
    assert places == [(1, "$.account"), (0, "$.time"), (0, "$.usage.prompt_tokens")]


async def test_one_that_the_database_refuses_does_not_take_the_others_with_it(fresh_database: str) -> None:
    settings = Settings(database_url=fresh_database)
    async with await open_pool(settings, fresh_database) as pool, pool.connection() as conn:
        intake, account = taking(pool, settings), await factories.account(conn)
        await conn.execute("ALTER TABLE charges ADD CHECK (id <> 'poison')")
        async with held_up(intake, conn, account) as first:
            others = [asyncio.create_task(intake.post(batch(event(account, id)))) for id in ("a", "poison", "b")]
            await asyncio.sleep(0)
        assert await first
        good, bad, fine = await asyncio.gather(*others, return_exceptions=True)
        assert isinstance(bad, psycopg.errors.CheckViolation)
        assert [one[0].status for one in (good, fine) if isinstance(one, list)] == ["accepted", "accepted"]
        assert await transactions(conn, account) == [1, 1, 1]


async def test_all_or_nothing_and_large_batches_are_transactions_of_their_own(
    intake: Intake, conn: Connection, account: str
) -> None:
    large = [event(account, f"large-{number}") for number in range(GATHERED_EVENTS_MAX + 1)]
    async with held_up(intake, conn, account) as first:
        posted = [
            asyncio.create_task(intake.post(batch(event(account, "whole")), all_or_nothing=True)),
            asyncio.create_task(intake.post(batch(*large))),
            asyncio.create_task(intake.post(batch(event(account, "small")))),
        ]
        await until_blocked(conn, first)
    await asyncio.gather(first, *posted)
    assert sorted(await transactions(conn, account)) == [1, 1, 1, GATHERED_EVENTS_MAX + 1]


async def test_more_than_may_wait_are_refused_and_nothing_of_them_is_booked(
    pool: Pool, settings: Settings, conn: Connection, account: str
) -> None:
    intake = taking(pool, replace(settings, waiting_max=2))
    async with held_up(intake, conn, account) as first:
        waiting = [asyncio.create_task(intake.post(batch(event(account, id)))) for id in ("a", "b")]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as refused:
            await intake.post(batch(event(account, "c")))
    assert (refused.value.code, refused.value.retry_after) == ("overloaded", 1)
    await asyncio.gather(first, *waiting)
    assert await transactions(conn, account) == [1, 2]


async def test_large_batches_wait_for_half_of_the_connections_and_not_for_ever(
    pool: Pool, settings: Settings, conn: Connection, account: str
) -> None:
    intake = taking(pool, replace(settings, pool_size_max=4, pool_wait_seconds_max=0.2))
    large = [
        batch(*(event(account, f"{name}-{number}") for number in range(GATHERED_EVENTS_MAX + 1))) for name in "abcd"
    ]
    async with conn.transaction():
        await conn.execute("SELECT FROM balances WHERE account_id = %s FOR UPDATE", [account])
        posted = [asyncio.create_task(intake.post(one)) for one in large]
        await until_blocked(conn, posted[0])
        refused, _ = await asyncio.wait(posted[2:])
        assert [one.exception().code for one in refused] == ["overloaded"] * 2  # type: ignore[union-attr]
    await asyncio.gather(*posted[:2])
    assert await transactions(conn, account) == [GATHERED_EVENTS_MAX + 1] * 2


async def test_small_requests_do_not_wait_for_the_thread_of_large_ones(intake: Intake, account: str) -> None:
    done = threading.Event()
    busy = asyncio.create_task(intake.large.aside.do(1_000, done.wait))
    try:
        several = [intake.post(batch(event(account, f"e{number}"))) for number in range(3 * GATHERED_EVENTS_MAX)]
        results = await asyncio.wait_for(asyncio.gather(*several), 20)
        assert {one.status for [one] in results} == {"accepted"}
        assert not busy.done()
    finally:
        done.set()
        await busy
