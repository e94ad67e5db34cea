"""For whoever watches the service: does it live, is it ready, what does it measure."""

import asyncio
from typing import Literal

import msgspec
import psycopg
from litestar import Response, route
from litestar.datastructures import State
from litestar.enums import HttpMethod

from billing.db.arrays import TextArray
from billing.db.migrate import pending
from billing.db.partitions import unpartitioned
from billing.db.pool import Connection
from billing.errors import Fault, Unavailable
from billing.observe import metrics

DATABASE_SECONDS_MAX = 2.0
DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
"""What must be on for an acknowledged event to be on disk (rules.md Ledger 2)."""
LAX = "SELECT name FROM unnest(%s) AS name WHERE current_setting(name) = 'off'"
PROBED = [HttpMethod.GET, HttpMethod.HEAD]  # some load balancers ask for the head only; the server cuts the body off
PUBLIC: list[dict[str, list[str]]] = [{}]  # how the schema says that no key is needed


class Alive(msgspec.Struct, frozen=True):
    status: Literal["alive"] = "alive"


class Ready(msgspec.Struct, frozen=True):
    """`warnings` are for the operator: the service works, but somebody should look."""

    status: Literal["ready"] = "ready"
    warnings: tuple[str, ...] = ()


@route("/healthz", http_method=PROBED, tags=["operations"], security=PUBLIC, sync_to_thread=False)
def healthz() -> Alive:
    """Whether the process lives. It says nothing of the database: a restart would not help that."""
    return Alive()


@route("/readyz", http_method=PROBED, tags=["operations"], security=PUBLIC)
async def readyz(state: State) -> Ready:
    """Whether usage can be taken: the database answers, its schema is this release's, its terms can be read.

    503 names what fails.
    """
    try:
        async with asyncio.timeout(DATABASE_SECONDS_MAX), state.pool.connection() as conn:
            if await pending(conn):
                raise _not_ready("migrations", "The database's schema is older than this release: run billing migrate.")
            await state.terms.fresh(conn)
            return Ready(warnings=await _warnings(conn))
    except Unavailable as fault:
        if fault.code == "not_ready":
            raise
        raise _not_ready("terms", fault.detail) from None
    except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError):
        raise _not_ready("database", "The database does not answer.") from None


def _not_ready(check: str, sentence: str) -> Unavailable:
    return Unavailable("not_ready", sentence, (Fault(check, sentence),), retry_after=2)


async def _warnings(conn: Connection) -> tuple[str, ...]:
    found = []
    if strays := await unpartitioned(conn):
        found.append(f"{strays} events lie in events_default: a month's partition was missing.")
    cursor = await conn.execute(LAX, [TextArray.of(DURABLE)])
    if lax := ", ".join([row["name"] for row in await cursor.fetchall()]):
        found.append(f"PostgreSQL runs without {lax}: what is acknowledged may be lost when it crashes.")
    return tuple(found)


@route("/metrics", http_method=PROBED, tags=["operations"], security=PUBLIC, sync_to_thread=False)
def prometheus() -> Response[bytes]:
    """Counts and times in Prometheus' text format; nothing in it names a customer."""
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)


handlers = [healthz, readyz, prometheus]
