"""Months of events are there before the events are; strays find home."""

import asyncio
from datetime import UTC, datetime

from billing.db import partitions
from billing.db.pool import open_pool

NOVEMBER = datetime(2031, 11, 30, 23, 59, tzinfo=UTC)
NAMES = ["events_2031_11", "events_2031_12", "events_2032_01", "events_2032_02"]
INSERT = """
INSERT INTO events (account_id, time, source, id, received_at, body) VALUES ('a', now(), 's', %s, %s, '{}')
RETURNING tableoid::regclass::text AS partition
"""


async def insert(conn, name: str, received: str) -> str:
    return (await (await conn.execute(INSERT, [name, received])).fetchone())["partition"]


async def test_this_month_and_the_next_ones(settings, fresh_database):
    async with await open_pool(settings, fresh_database) as pool, pool.connection() as conn:
        assert await partitions.ensure(conn, NOVEMBER) == NAMES
        assert await partitions.ensure(conn, NOVEMBER) == []
        assert await insert(conn, "1", "2031-11-30 23:59:59.999999+00") == "events_2031_11"
        assert await insert(conn, "2", "2031-12-01 00:00+00") == "events_2031_12"
        assert await insert(conn, "3", "2031-12-01 00:30+01") == "events_2031_11"
        assert await insert(conn, "4", "2032-03-01 00:00+00") == "events_default"
        assert await partitions.unpartitioned(conn) == 1


async def test_strays_move_when_their_month_is_made(settings, fresh_database):
    async with await open_pool(settings, fresh_database) as pool, pool.connection() as conn:
        assert await insert(conn, "1", "2031-12-24+00") == "events_default"
        await partitions.ensure(conn, NOVEMBER)
        assert await partitions.unpartitioned(conn) == 0
        found = await (await conn.execute("SELECT id FROM events_2031_12")).fetchall()
        assert [row["id"] for row in found] == ["1"]


async def test_a_partition_has_the_indexes_of_its_parent(settings, fresh_database):
    async with await open_pool(settings, fresh_database) as pool, pool.connection() as conn:
        await partitions.ensure(conn, NOVEMBER)
        found = await (
            await conn.execute("SELECT count(*) AS n FROM pg_indexes WHERE tablename = 'events_2031_11'")
        ).fetchone()
        assert found["n"] == 1


async def test_many_at_once(settings, fresh_database):
    async with await open_pool(settings, fresh_database) as pool:

        async def one() -> list[str]:
            async with pool.connection() as conn:
                return await partitions.ensure(conn, NOVEMBER)

        made = await asyncio.gather(*(one() for _ in range(8)))
    assert sorted(name for names in made for name in names) == NAMES


async def test_intake_is_not_held_up(settings, fresh_database):
    """A partition is attached while a transaction that wrote events is still open."""
    async with (
        await open_pool(settings, fresh_database) as pool,
        pool.connection() as conn,
        pool.connection() as intake,
    ):
        await partitions.ensure(conn, datetime(2031, 10, 1, tzinfo=UTC))
        async with intake.transaction():
            await insert(intake, "1", "2031-11-01+00")
            assert await partitions.ensure(conn, NOVEMBER) == ["events_2032_02"]
