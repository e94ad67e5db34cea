"""The months of `events`: partitions made ahead of time, so that intake never waits for one.

A row that finds no partition lands in `events_default`, which is an alarm and not a loss: `ensure` moves it.
"""

import asyncio
import logging
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from billing.db.pool import Connection, Pool
from billing.observe.metrics import UNPARTITIONED

MONTHS_AHEAD = 3
LOCK_TIMEOUT = "2s"  # intake waits behind whoever waits for a lock, so do not wait for long
PARTITIONS_LOCK = 7_305_812_047  # any constant number: two processes must not make the same month
DAY_SECONDS = 86_400
RETRY_SECONDS = 60

log = logging.getLogger(__name__)


def months(now: datetime) -> list[datetime]:
    """The starts (UTC) of this month and the next ones."""
    first = now.year * 12 + now.month - 1
    return [datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in range(first, first + MONTHS_AHEAD + 1)]


async def ensure(conn: Connection, now: datetime) -> list[str]:
    """Make what is missing; the names of those made. Safe to repeat and to race."""
    starts = months(now)
    pairs = list(zip(starts, [*starts[1:], _next(starts[-1])], strict=True))
    return [name for start, end in pairs if (name := await _ensure_month(conn, start, end))]


def _next(start: datetime) -> datetime:
    return months(start)[1]


async def _ensure_month(conn: Connection, start: datetime, end: datetime) -> str | None:
    name = f"events_{start:%Y_%m}"
    if await _exists(conn, name):
        return None
    async with conn.transaction():
        await conn.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT))
        await conn.execute("SELECT pg_advisory_xact_lock(%s)", [PARTITIONS_LOCK])
        if await _exists(conn, name):
            return None
        await _make(conn, name, start, end)
    return name


ATTACHED = """
SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'events'::regclass AND relname = %s
"""


async def _exists(conn: Connection, name: str) -> bool:
    """Asked of the catalog itself: to_regclass may remember what was true before the lock was waited for."""
    return await (await conn.execute(ATTACHED, [name])).fetchone() is not None


async def _make(conn: Connection, name: str, start: datetime, end: datetime) -> None:
    """CREATE … PARTITION OF would lock all of `events`; attaching a table locks the default partition only.

    Rows that landed there meanwhile move over, because they would keep the partition from being attached.
    """
    names = {"name": sql.Identifier(name), "start": sql.Literal(start), "end": sql.Literal(end)}
    for statement in (
        "CREATE TABLE {name} (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
        "LOCK TABLE events_default IN ACCESS EXCLUSIVE MODE",
        "WITH stray AS (DELETE FROM events_default WHERE received_at >= {start} AND received_at < {end} RETURNING *) "
        "INSERT INTO {name} SELECT * FROM stray",
        "ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})",
    ):
        await conn.execute(sql.SQL(statement).format(**names))


async def unpartitioned(conn: Connection) -> int:
    """How many rows wait in `events_default`; should be none."""
    found = await (await conn.execute("SELECT count(*) AS rows FROM events_default")).fetchone()
    assert found is not None
    return int(found["rows"])


async def tend(pool: Pool) -> bool:
    """Make what is missing and count the strays; whether that worked."""
    try:
        async with pool.connection() as conn:
            for name in await ensure(conn, datetime.now(UTC)):
                log.info("made partition %s", name)
            UNPARTITIONED.set(await unpartitioned(conn))
    except psycopg.Error as error:
        log.warning("partitions: %s", error)
        return False
    return True


async def tend_daily(pool: Pool) -> None:
    while True:  # noqa: ASYNC110  it waits for a date, not for anybody
        await asyncio.sleep(DAY_SECONDS if await tend(pool) else RETRY_SECONDS)
