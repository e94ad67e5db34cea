"""A home for a server of its own, and users of it in processes of their own."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from billing.embedded import embedded, keeper

HOLD = """
import sys
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4
from billing.embedded import EmbeddedError, embedded
try:
    with embedded(Path(sys.argv[1])) as url:
        print(url, flush=True)
        sys.stdin.read()
except EmbeddedError as error:
    print(f"EmbeddedError: {error}", flush=True)
"""


class User:
    """A process that holds the server until it is told to leave, or killed."""

    def __init__(self, home: Path, before: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", before + HOLD, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def answer(self) -> str:
        """The URL, or the error."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(90)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Place:
    """A home folder and what a test wants to know of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.users: list[User] = []

    def user(self, before: str = "") -> User:
        self.users.append(User(self.home, before))
        return self.users[-1]

    def postmaster(self) -> int | None:
        return keeper.server_pid(self.home / "pgdata")

    def keeper(self) -> int:
        """The postmaster's parent."""
        stat = Path(f"/proc/{self.postmaster()}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[1])

    def gone(self) -> bool:
        """No process of PostgreSQL's is left, and no keeper."""
        return not self.home.exists() or all(self._free(name) for name in ("server.lock", "keeper.lock"))

    def _free(self, name: str) -> bool:
        if not (self.home / name).exists():
            return True
        fd = keeper.try_lock(self.home / name, fcntl.LOCK_EX)
        if fd is not None:
            os.close(fd)
        return fd is not None

    def until(self, true: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"waited {seconds} seconds in vain"
            time.sleep(0.01)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Not below pytest's own tmp_path, which is closed to the account that PostgreSQL runs as."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def used(home: Path) -> Iterator[Place]:
    place = Place(home)
    yield place
    for each in place.users:
        each.kill()
    place.until(place.gone)


@pytest.fixture
def empty() -> Iterator[Place]:
    """A place where no server has been yet."""
    with open_folder() as folder, used(folder / "home") as place:
        yield place


@pytest.fixture(scope="session")
def made() -> Iterator[Path]:
    with open_folder() as folder:
        with embedded(folder / "home"):
            pass
        yield folder / "home"


@pytest.fixture
def place(made: Path) -> Iterator[Place]:
    """A place with a database in it. One test after the other uses it, because making one takes a second."""
    with used(made) as place:
        yield place


@pytest.fixture
def table() -> str:
    """Each test writes into a table of its own."""
    return f"written_{uuid4().hex}"


@pytest.fixture
def rows(table: str) -> Callable[[str], int]:
    """Number of rows in the table that `write` fills."""

    def count(url: str) -> int:
        with psycopg.connect(url) as connection:
            row = connection.execute(f"select count(*) from {table}").fetchone()
        assert row is not None
        return int(row[0])

    return count


@pytest.fixture
def write(table: str) -> Callable[[str, int], None]:
    """One committed row after the other."""

    def insert(url: str, count: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"create table if not exists {table} (number bigint generated always as identity)")
            for _ in range(count):
                connection.execute(f"insert into {table} default values")

    return insert


@pytest.fixture
def kill() -> Callable[[int | None], None]:
    def kill_9(pid: int | None) -> None:
        """Until it is dead: a signal sent is not yet a death."""
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while keeper.process(pid)[0] not in ("", "Z", "X"):
            assert time.monotonic() < deadline
            time.sleep(0.001)

    return kill_9
