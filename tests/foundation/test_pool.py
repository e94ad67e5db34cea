"""Connections are as the settings say; transactions are tried again when the database asks for it."""

import asyncio
from datetime import timedelta

import psycopg
import pytest
from msgspec.structs import replace
from psycopg_pool import PoolTimeout

from billing.db.pool import ATTEMPTS_MAX, open_pool, with_retries


async def test_connections_are_as_the_settings_say(settings, url):
    given = replace(settings, statement_timeout_ms=1234, lock_timeout_ms=567)
    async with await open_pool(given, f"{url} options='-c work_mem=5MB'") as pool, pool.connection() as conn:
        names = ("TimeZone", "statement_timeout", "lock_timeout", "application_name", "work_mem")
        found = [(await (await conn.execute(f"SHOW {name}")).fetchone())[name] for name in names]
        row = await (await conn.execute("SELECT now() AS now")).fetchone()
    assert found == ["UTC", "1234ms", "567ms", "billing", "5MB"]
    assert row["now"].utcoffset() == timedelta(0)
    assert conn.autocommit


async def test_waiting_for_a_connection_is_bounded(settings, url):
    given = replace(settings, pool_size_max=2, pool_wait_seconds_max=0.2)
    async with await open_pool(given, url) as pool, pool.connection(), pool.connection():
        with pytest.raises(PoolTimeout):
            await pool.getconn()


async def test_a_deadlock_is_tried_again(pool):
    """Two transactions lock two accounts in opposite order: one is chosen as the victim, and tried again."""
    both_have_one = asyncio.Barrier(2)
    tries = []

    async def lock(first: int, second: int) -> None:
        async def work() -> None:
            tries.append(first)
            async with pool.connection() as conn, conn.transaction():
                await conn.execute("SET LOCAL deadlock_timeout = '50ms'")
                await conn.execute("SELECT pg_advisory_xact_lock(%s)", [first])
                if len(tries) <= 2:
                    await both_have_one.wait()
                await conn.execute("SELECT pg_advisory_xact_lock(%s)", [second])

        await with_retries(work)

    await asyncio.gather(lock(71, 72), lock(72, 71))
    assert len(tries) == 3


async def test_retries_are_bounded():
    tries = []

    async def work() -> None:
        tries.append(1)
        raise psycopg.errors.SerializationFailure

    with pytest.raises(psycopg.errors.SerializationFailure):
        await with_retries(work)
    assert len(tries) == ATTEMPTS_MAX


async def test_other_errors_are_not_tried_again():
    tries = []

    async def work() -> None:
        tries.append(1)
        raise psycopg.errors.UniqueViolation

    with pytest.raises(psycopg.errors.UniqueViolation):
        await with_retries(work)
    assert len(tries) == 1
