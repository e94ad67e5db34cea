"""A whole service for the demo: an embedded PostgreSQL in a folder of its own, and the app in a process beside ours.

The process is told when this one ends, however it ends, and then ends too: no server is left behind.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

import uvicorn
from msgspec.structs import replace

from billing.accounts import keys
from billing.app import create_app
from billing.cli.serve import answer_promptly
from billing.db.migrate import migrate
from billing.db.pool import open_pool
from billing.embedded import SYSTEM_HOME, default_home, embedded
from billing.settings import Settings

STOP_SECONDS_MAX = 35


class Service(NamedTuple):
    """A service that runs as long as its block does."""

    url: str
    admin_key: str
    settings: Settings
    database_url: str


def data_folder(settings: Settings) -> Path:
    """Where the demo keeps its book, away from the real one."""
    folder = settings.data_dir / "demo"
    return folder if default_home(folder) == folder else SYSTEM_HOME.with_name(f"{SYSTEM_HOME.name}-demo")


@contextmanager
def service(settings: Settings, folder: Path) -> Iterator[Service]:
    """The service at a free loopback port, on the book in `folder`. Its log is in `folder`/service.log."""
    with embedded(folder / "database") as url, _listening() as listener:
        migrate(url)
        key = keys.new_secret()
        asyncio.run(_bootstrap(settings, url, key))
        settings = replace(settings, database_url=url, data_dir=folder)
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(settings, listener, folder / "service.log"), daemon=True
        )
        process.start()
        try:
            yield Service(f"http://127.0.0.1:{listener.getsockname()[1]}", key, settings, url)
        finally:
            process.terminate()
            process.join(STOP_SECONDS_MAX)


@contextmanager
def _listening() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


async def _bootstrap(settings: Settings, url: str, key: str) -> None:
    pool = await open_pool(settings, url)
    async with pool, pool.connection() as conn:
        await keys.bootstrap(conn, key)


def _serve(settings: Settings, listener: socket.socket, log: Path) -> None:
    """The process: the app until it is told to stop, or its parent is no more."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()
    os.setsid()  # a terminal's Ctrl-C is for the parent, which ends this one in order
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 2)
    app = create_app(settings)
    answer_promptly()
    config = uvicorn.Config(app, lifespan="on", ws="none", access_log=False, log_config=None)
    uvicorn.Server(config).run([listener])


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
