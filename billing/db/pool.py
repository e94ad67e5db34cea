"""One pool of connections for each process, and transactions that are tried again.

Connections are in autocommit: one statement is one transaction, and whoever needs more says `conn.transaction()`.
Rows come as dicts, instants in UTC.
"""

import asyncio
import math
import secrets
import select
from collections.abc import Awaitable, Callable
from typing import TypeVar

from psycopg import AsyncConnection, OperationalError
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import DeadlockDetected, SerializationFailure
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from billing.settings import Settings

Connection = AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]

APPLICATION_NAME = "billing"
ATTEMPTS_MAX = 5
BACKOFF_MS_MAX = 10  # doubles with every attempt; what is waited is a random part of it
# The pool waits 1, 2 s … between attempts to reach a lost database; it gives up early, and the next request tries
# again.
RECONNECT_SECONDS_MAX = 5.0
# A database that vanished without a word is noticed within 25 s.
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}

T = TypeVar("T")


async def open_pool(settings: Settings, url: str) -> Pool:
    """A pool that opens even while the database is away: requests fail with PoolTimeout until it is back."""

    async def check(conn: Connection) -> None:
        """Keep connections that a restarted database closed from being handed out. To look costs a microsecond; only
        when it looks wrong a question is asked. Where one connection is lost, the others are, too."""
        if _suspicious(conn):
            try:
                await pool.check_connection(conn)
            except OperationalError:
                await pool.check()
                raise

    pool = AsyncConnectionPool(
        url,
        connection_class=Connection,
        kwargs=_connection_options(settings, url),
        min_size=1,
        max_size=settings.pool_size_max,
        timeout=settings.pool_wait_seconds_max,
        reconnect_timeout=RECONNECT_SECONDS_MAX,
        check=check,
        close_returns=True,
        open=False,
        name=APPLICATION_NAME,
    )
    await pool.open()
    return pool


def _connection_options(settings: Settings, url: str) -> dict[str, object]:
    given = conninfo_to_dict(url).get("options") or ""
    ours = (  # our statements are short: to compile the posting one would take longer than to run it
        "-c TimeZone=UTC -c jit=off "
        f"-c statement_timeout={settings.statement_timeout_ms} -c lock_timeout={settings.lock_timeout_ms}"
    )
    return {
        **KEEPALIVE,
        "autocommit": True,
        "row_factory": dict_row,
        "application_name": APPLICATION_NAME,
        "connect_timeout": max(2, math.ceil(settings.pool_wait_seconds_max)),
        "options": f"{given} {ours}".strip(),
    }


def _suspicious(conn: Connection) -> bool:
    """Whether there is something to read on an idle connection: most likely that the server has closed it."""
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def with_retries(work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`, a whole transaction, and do all of it again when the database asks for that (40001, 40P01).

    `work` must change nothing outside of its transaction that may not be changed twice.
    """
    for attempt in range(ATTEMPTS_MAX - 1):
        try:
            return await work()
        except (SerializationFailure, DeadlockDetected):
            await asyncio.sleep(secrets.randbelow(BACKOFF_MS_MAX << attempt) / 1000)
    return await work()
