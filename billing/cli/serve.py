"""`billing serve`: the database, its schema, the first key, then the service until it is told to stop."""

import asyncio
import gc
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import NoReturn

import click
import uvicorn
from litestar import Litestar
from msgspec.structs import replace
from rich.console import Console
from uvicorn.supervisors import Multiprocess

from billing.accounts import keys
from billing.app import create_app
from billing.cli import Failure
from billing.cli._database import database_url, embedded_folder
from billing.db.migrate import migrate
from billing.db.pool import open_pool
from billing.observe.metrics import MULTIPROCESS_DIR
from billing.settings import Settings, load

BACKLOG = 2048


@click.command("serve")
def command() -> None:
    """Serve the API until Ctrl-C or SIGTERM, on an embedded PostgreSQL unless BILLING_DATABASE_URL is set."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    console = Console(soft_wrap=True, highlight=False)
    settings = load(os.environ)
    with listening(settings) as listener:
        if settings.database_url is None:
            console.print(f"Starting PostgreSQL in {embedded_folder(settings).resolve()} …", style="dim")
        with database_url(settings) as url:
            migrate(url)
            app = create_app(replace(settings, database_url=url))
            key = asyncio.run(_bootstrap(settings, url))
            _greet(console, settings, listener, key)
            if settings.workers == 1:
                answer_promptly()
                uvicorn.Server(_config(settings, app)).run([listener])
            else:
                _serve_with_workers(settings, url, listener)


def _leave(_number: int, _frame: object) -> NoReturn:
    """Unwind, so that the embedded database is told. Uvicorn has handlers of its own and calls this one last."""
    raise SystemExit(0)


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """The socket, taken before anything else is started: a port in use is the most common failure."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(BACKLOG)
        except OSError as error:
            place = f"{settings.host}:{settings.port}"
            reason = error.strerror or str(error)
            raise Failure(
                f"Cannot listen at {place}: {reason}. BILLING_HOST and BILLING_PORT choose another."
            ) from None
        listener.set_inheritable(True)
        yield listener


async def _bootstrap(settings: Settings, url: str) -> str | None:
    pool = await open_pool(settings, url)
    async with pool, pool.connection() as conn:
        return await keys.bootstrap(conn, settings.admin_key)


def _greet(console: Console, settings: Settings, listener: socket.socket, key: str | None) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{listener.getsockname()[1]}"
    console.print(f"\nBilling serves at [bold]{address}[/]")
    console.print(f"  API docs   {address}/schema")
    if key is not None:
        console.print(f"  admin key  [bold]{key}[/]")
        console.print("             Keep it: it is shown this once, and only its hash is stored.", style="yellow")
    console.print("Ctrl-C stops it.\n", style="dim")


def _config(settings: Settings, app: Litestar | str) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=settings.workers,
        backlog=BACKLOG,
        limit_concurrency=settings.connections_max,
        timeout_graceful_shutdown=settings.shutdown_seconds_max,
        lifespan="on",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
    )


def _serve_with_workers(settings: Settings, url: str, listener: socket.socket) -> None:
    """Processes that share the listening socket; each reads its settings, and where the database is, from here."""
    os.environ["BILLING_DATABASE_URL"] = url
    with tempfile.TemporaryDirectory(prefix="billing-metrics-") as folder:
        os.environ[MULTIPROCESS_DIR] = folder
        Multiprocess(_config(settings, "billing.cli.serve:worker"), sockets=[listener]).run()


def worker() -> Litestar:
    """The app as a worker makes it. A worker must not outlive `billing serve`, even when that one is killed: it would
    keep the port, and the embedded database would be gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()
    app = create_app()
    answer_promptly()
    return app


def answer_promptly() -> None:
    """Set this process up to let no request wait for what is done beside it.

    What is loaded by now stays: looking through it for garbage takes 100 ms. And a thread beside the event loop (see
    billing/aside.py) lets go of the interpreter after 0.1 ms when the loop wants it, instead of Python's 5.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(0.0001)


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
