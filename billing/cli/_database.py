"""The database for a command: the one BILLING_DATABASE_URL names, or the embedded one in the data folder."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from billing.audit import log as audit
from billing.db.migrate import pending
from billing.db.pool import Pool, open_pool
from billing.embedded import default_home, embedded
from billing.errors import Unavailable
from billing.settings import Settings, SettingsError, load

T = TypeVar("T")


def embedded_folder(settings: Settings) -> Path:
    """In the data folder; when root has not chosen one, somewhere that PostgreSQL's account may enter."""
    folder = settings.data_dir / "database"
    return folder if settings.data_dir != Settings().data_dir else default_home(folder)


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """The database's URL, good as long as the block runs: that may be what keeps the embedded one alive."""
    if settings.database_url is not None:
        try:
            conninfo_to_dict(settings.database_url)
        except ProgrammingError:
            raise SettingsError("BILLING_DATABASE_URL is no PostgreSQL URL, postgresql://user@host/name.") from None
        yield settings.database_url
        return
    with embedded(embedded_folder(settings)) as url:
        yield url


def run_with_pool(work: Callable[[Pool, Settings], Awaitable[T]]) -> T:
    """Do a command's asynchronous work with a pool on the database, whose schema must be this release's."""
    settings = load(os.environ)
    audit.actor.set(audit.COMMAND_LINE)
    with database_url(settings) as url:
        return asyncio.run(_with_pool(work, settings, url))


async def _with_pool(work: Callable[[Pool, Settings], Awaitable[T]], settings: Settings, url: str) -> T:
    pool = await open_pool(settings, url)
    try:
        async with pool.connection() as conn:
            if await pending(conn):
                raise Unavailable("not_migrated", "The database's schema is not this release's: run `billing migrate`.")
        return await work(pool, settings)
    finally:
        await pool.close()
