"""One pool of connections for each process, and transactions that are tried again.

Connections are in autocommit: one statement is one transaction, and whoever needs more says `conn.transaction()`.
Rows come as dicts, instants in UTC.
"""

import asyncio
import math
import os
import secrets
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from psycopg import AsyncConnection, OperationalError
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import DeadlockDetected, SerializationFailure
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from billing.settings import Settings

T = TypeVar("T")

APPLICATION_NAME = "billing"
ATTEMPTS_MAX = 5
BACKOFF_MS_MAX = 10  # doubles with every attempt; what is waited is a random part of it
# The pool waits 1, 2 s … between attempts to reach a lost database; it gives up early, and the next request tries
# again.
RECONNECT_SECONDS_MAX = 5.0
# A database that vanished without a word is noticed within 25 s.
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
SILENCE_SECONDS_MAX = 2.0
"""Beyond a statement's timeout. A database that should have given up by then and says nothing is taken for lost."""


class Connection(AsyncConnection[DictRow]):
    """A connection that is cut when the database has said nothing for `patience` seconds: one that is stopped keeps its
    connections, and would keep who asks. None: for ever."""

    patience: float | None = None

    async def wait(
        self,
        gen: PQGen[T],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's own
    ) -> T:
        if self.patience is None:
            return await super().wait(gen, interval, timeout)
        clock = asyncio.get_running_loop().call_later(self.patience, self._cut)
        try:
            return await super().wait(gen, interval, timeout)
        finally:
            clock.cancel()

    def _cut(self) -> None:
        with socket.socket(fileno=os.dup(self.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)


Pool = AsyncConnectionPool[Connection]


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

    async def configure(conn: Connection) -> None:
        conn.patience = settings.statement_timeout_ms / 1000 + SILENCE_SECONDS_MAX

    pool = AsyncConnectionPool(
        url,
        connection_class=Connection,
        kwargs=_connection_options(settings, url),
        min_size=1,
        max_size=settings.pool_size_max,
        timeout=settings.pool_wait_seconds_max,
        reconnect_timeout=RECONNECT_SECONDS_MAX,
        configure=configure,
        check=check,
        close_returns=True,
        open=False,
        name=APPLICATION_NAME,
    )
    await pool.open()
    return pool


@asynccontextmanager
async def untimed(conn: Connection) -> AsyncIterator[None]:
    """A transaction whose statements may take as long as they need."""
    patience, conn.patience = conn.patience, None
    try:
        async with conn.transaction():
            await conn.execute("SET LOCAL statement_timeout = 0")
            yield
    finally:
        conn.patience = patience


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
