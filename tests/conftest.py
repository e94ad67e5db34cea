"""What every test may ask for.

One PostgreSQL serves the whole run (BILLING_TEST_DATABASE_URL, or an embedded one in a folder of its own) with one
migrated template. `url` is this worker's clone of it: tests share it and make the accounts they need, because nothing
can be undone in an append-only ledger. `fresh_database` makes a clone for one test alone. The service itself is there
twice: `client` talks to the app in this process, `server` is a real `billing serve`.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, nullcontext
from itertools import count
from pathlib import Path

import httpx
import hypothesis
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from billing.accounts import keys
from billing.app import create_app
from billing.db.migrate import migrate
from billing.db.pool import Connection, Pool, open_pool
from billing.embedded import embedded
from billing.settings import Settings
from tests.serving import ADMIN_KEY, Server, serving

GIVEN = os.environ.get("BILLING_TEST_DATABASE_URL")
FOLDER = "RELAY_TEST_FOLDER"  # how the workers learn of the run's folder
DATABASE_SETTINGS = {"shared_buffers": "64MB", "max_connections": "60"}


# A busy machine is slow, and no test fails for that.
hypothesis.settings.register_profile("ours", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("ours")


def pytest_configure(config: pytest.Config) -> None:
    """A folder for the run; not one of pytest's, which the account that PostgreSQL runs as may not enter."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.mkdtemp(prefix="billing-test-")
        Path(folder).chmod(0o755)
        os.environ[FOLDER] = folder


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(FOLDER))
        if GIVEN:
            execute(GIVEN, sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(template_name(folder))))
        shutil.rmtree(folder, ignore_errors=True)


def template_name(folder: Path) -> str:
    return folder.name.replace("-", "_")


def execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statement)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def folder() -> Path:
    return Path(os.environ[FOLDER])


@pytest.fixture(scope="session")
def postgres(folder: Path) -> Iterator[str]:
    """A server of which tests may make databases."""
    with nullcontext(GIVEN) if GIVEN else embedded(folder / "database", settings=DATABASE_SETTINGS) as url:
        yield url


@pytest.fixture(scope="session")
def template(postgres: str, folder: Path) -> str:
    """The migrated database all others are cloned from; the first worker to come makes it."""
    name = template_name(folder)
    with (folder / "template.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not lock.read():
            execute(postgres, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            migrate(make_conninfo(postgres, dbname=name))
            lock.write("made")
    return name


@pytest.fixture(scope="session")
def clone(postgres: str, template: str) -> Iterator[Callable[[], str]]:
    """Makes a database of its own, which lasts as long as the run."""
    names = (f"{template}_{os.environ.get('PYTEST_XDIST_WORKER', 'gw')}_{number}" for number in count())
    with ExitStack() as made:

        def make() -> str:
            name = sql.Identifier(next_name := next(names))
            execute(postgres, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(template)))
            if GIVEN:  # the embedded one goes as a whole
                made.callback(execute, postgres, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            return make_conninfo(postgres, dbname=next_name)

        yield make


@pytest.fixture(scope="session")
def url(clone: Callable[[], str]) -> str:
    """This worker's database."""
    return clone()


@pytest.fixture
def fresh_database(clone: Callable[[], str]) -> str:
    """The URL of a migrated database that nobody else uses."""
    return clone()


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=url, data_dir=tmp_path, admin_key=ADMIN_KEY)


@pytest.fixture
async def pool(settings: Settings, url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(settings, url)
    yield pool
    await pool.close()


@pytest.fixture
async def relay_pool(fresh_database: str) -> AsyncIterator[Pool]:
    """Of a relay of its own: of which everything can be asked, and anything tampered with."""
    async with await open_pool(Settings(), fresh_database) as pool:
        yield pool


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as conn:
        yield conn


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Talks to the whole app, in this process, as the admin."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with (
        app.lifespan(),
        app.state.pool.connection() as conn,
        httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers) as client,
    ):
        await keys.bootstrap(conn, ADMIN_KEY)
        yield client


@pytest.fixture
def server(fresh_database: str, tmp_path: Path) -> Iterator[Server]:
    """A real `billing serve` on a free port with a database of its own."""
    with serving({"BILLING_DATABASE_URL": fresh_database}, tmp_path) as server:
        yield server
