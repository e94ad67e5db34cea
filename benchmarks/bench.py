"""A service to measure, with its limits beside it, and what comes of measuring."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks import limits, traffic
from benchmarks.load import free_port, run
from billing.demo.service import Service, service
from billing.settings import Settings


class Figure(NamedTuple):
    """One case: what the service does and what limits it, in the same unit. `target` is the least ratio of them; of
    what should be small (`most`), the greatest."""

    group: str
    case: str
    unit: str
    ours: float
    limit: float | None = None
    limit_is: str = ""
    target: float | None = None
    most: bool = False

    @property
    def ratio(self) -> float | None:
        return None if self.limit is None else self.ours / self.limit

    @property
    def verdict(self) -> str:
        if self.target is None or self.ratio is None:
            return ""
        met = self.ratio <= self.target if self.most else self.ratio >= self.target
        return "met" if met else "missed"


class Bench(NamedTuple):
    """The service, the address of the endpoints without a database, and a database for bare SQL."""

    real: Service
    empty: str
    bare: str


@contextmanager
def bench() -> Iterator[Bench]:
    """Everything that is measured, at once, so that the rounds can alternate."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.limits:without_database", "--factory", "--no-access-log"]
    with tempfile.TemporaryDirectory(prefix="billing-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (folder / "empty.log").open("w") as log, service(Settings(proof_hours=0), folder) as real:
            empty = subprocess.Popen(
                [*command, "--port", str(port)], stderr=log, stdout=log, cwd=Path(__file__).parents[1]
            )
            try:
                prepare(real.database_url)
                run(ready(f"http://127.0.0.1:{port}"))
                yield Bench(real, f"http://127.0.0.1:{port}", bare_database(real.database_url))
            finally:
                empty.terminate()
                empty.wait()


def bare_database(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE DATABASE bare")
    bare = make_conninfo(url, dbname="bare")
    limits.make_tables(bare)
    return bare


def prepare(url: str) -> None:
    """The accounts of the traffic, which may go far below zero."""
    with psycopg.connect(url, autocommit=True) as conn:
        made = "SELECT 'acct_' || lpad(number::text, 4, '0') AS id FROM generate_series(0, %s - 1) AS number"
        conn.execute(f"INSERT INTO accounts (id, name) SELECT id, id FROM ({made}) AS made", [traffic.ACCOUNTS])
        conn.execute("INSERT INTO balances (account_id, credit_limit) SELECT id, 1000000 FROM accounts")


async def ready(url: str) -> None:
    """Until somebody listens there."""
    address = urlsplit(url)
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise TimeoutError(url)
