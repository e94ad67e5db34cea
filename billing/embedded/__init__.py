"""An embedded PostgreSQL: the default database of this service, found or started in a folder of its own.

    with embedded(Path("/var/lib/relay-billing")) as url:
        psycopg.connect(url)

All processes that open the same folder share one server. It ends when the last of them has gone, even if that one was
killed; `keeper.py` sees to that. docs/decisions/0002-embedded-postgresql.md says why it is made this way.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from billing.embedded import keeper
from billing.embedded.account import Account, account_for
from billing.embedded.binaries import choose, installations, within_reach
from billing.embedded.cluster import DATABASE, Home, create_data, environment, make_home, socket_folder
from billing.embedded.errors import EmbeddedError, with_log

__all__ = ["GUARANTEES", "SIZING", "Embedded", "EmbeddedError", "default_home", "embedded"]

SYSTEM_HOME = Path("/var/lib/relay-billing")
START_SECONDS_MAX = 180  # recovery after a crash replays up to max_wal_size
STOP_SECONDS_MAX = 80  # the keeper's own steps take up to 75
SSL_REQUEST = struct.pack("!II", 8, 80877103)  # PostgreSQL's protocol, "Message Formats"

SIZING = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "min_wal_size": "128MB",
    "max_wal_size": "1GB",  # bounds recovery to some seconds
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    # Two cores have no use for parallel queries, and containers give /dev/shm only 64 MB.
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# What this service promises rests on these, so settings may not touch them.
GUARANTEES = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",  # only names the socket
    "logging_collector": "off",  # the keeper bounds the log
}


def default_home(preferred: Path) -> Path:
    """`preferred`; but for root, where PostgreSQL's account may not enter it, a folder that is open."""
    home = preferred.resolve()
    above = next(folder for folder in home.parents if folder.exists())
    return preferred if account_for(home / "pgdata").barrier(above) is None else SYSTEM_HOME


@contextmanager
def embedded(data_dir: Path, *, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """The URL of a database that is there as long as the block runs."""
    server = Embedded(data_dir, settings=settings)
    try:
        yield server.url
    finally:
        server.close()


class Embedded:
    """One user's hold on the server in `data_dir`; the server lives as long as any process has one.

    `settings` override SIZING for a server that this call starts; one that runs already keeps what it has.
    Raises EmbeddedError.
    """

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.home = Home(data_dir.resolve())
        self._options = _options(settings or {})
        self._users: int | None = None
        try:
            self.url = self._start()
        except (OSError, ValueError) as error:
            self.close()
            raise EmbeddedError(f"The embedded PostgreSQL in {self.home.path} cannot be started: {error}.") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give up this hold. The last one out waits until the server has shut down."""
        if self._users is None:
            return
        os.close(self._users)
        self._users = None
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while time.monotonic() < deadline and not self._others() and not _free(self.home.keeper_lock, fcntl.LOCK_EX):
            time.sleep(0.02)

    def _others(self) -> bool:
        """Somebody holds the server. (While the keeper has this lock for itself, the server is on its way down.)"""
        return not _free(self.home.users_lock, fcntl.LOCK_EX) and _free(self.home.users_lock, fcntl.LOCK_SH)

    def _start(self) -> str:
        """Take a hold, then wait for a server; whoever finds that nobody keeps one starts it."""
        account = account_for(self.home.data)
        make_home(self.home, account)
        deadline = time.monotonic() + START_SECONDS_MAX
        self._users = keeper.lock_within(self.home.users_lock, fcntl.LOCK_SH, START_SECONDS_MAX)
        started = False
        while time.monotonic() < deadline:
            lock = keeper.try_lock(self.home.keeper_lock, fcntl.LOCK_EX)
            # Asked again after the server was found ready: one whose keeper has died meanwhile is on its way down.
            if lock is None and (folder := self._ready()) and not _free(self.home.keeper_lock, fcntl.LOCK_EX):
                return f"postgresql://postgres@/{DATABASE}?host={quote(folder, safe='')}&port=5432"
            if lock is not None:
                self._start_keeper(account, lock, again=started)
                started = True
            time.sleep(0.02)
        raise with_log(f"PostgreSQL in {self.home.path} was not ready in {START_SECONDS_MAX} seconds.", self.home.log)

    def _ready(self) -> str | None:
        """The socket's folder, when a server answers there and lets users in.

        The order matters: a dead server's lock file may say ready as well, but nobody answers at its socket; and a new
        server has replaced that file before it listens.
        """
        folder = (keeper.recorded(self.home.data)[4:5] or [""])[0]
        if folder and _answers(f"{folder}/{keeper.SOCKET_NAME}"):
            return folder if keeper.recorded(self.home.data)[7:] == [keeper.READY] else None
        return None

    def _start_keeper(self, account: Account, lock: int, *, again: bool) -> None:
        """Do here what may fail with a sentence, then hand the lock over to the keeper, who holds it while it lives."""
        try:
            if again:
                raise with_log(f"PostgreSQL in {self.home.path} did not start.", self.home.log)
            order = self._order(account)
            log = self.home.open_log()
            try:
                subprocess.run(
                    [sys.executable, "-I", "-S", keeper.__file__, order.dump()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,  # a terminal's Ctrl-C is not for the server
                    pass_fds=(lock,),
                    check=False,
                )
            finally:
                os.close(log)
        finally:
            os.close(lock)

    def _order(self, account: Account) -> keeper.Order:
        chosen = choose(installations(self.home.path), self.home.major(), self.home.data)
        chosen = within_reach(chosen, account, self.home.path)
        if not self.home.data.exists():
            create_data(self.home, chosen, account)
        sockets = str(socket_folder(self.home, account))
        command = [chosen.program("postgres"), "-D", str(self.home.data), "-k", sockets]
        for name, value in self._options.items():
            command += ["-c", f"{name}={value}"]
        identity = keeper.identity(account.uid, account.gid, lent=account.lent)
        return keeper.Order(str(self.home.path), command, environment(), identity, sockets)


def _options(settings: Mapping[str, str]) -> dict[str, str]:
    fixed = sorted(settings.keys() & {*GUARANTEES, "unix_socket_directories"})
    if fixed:
        raise EmbeddedError(
            f"The embedded PostgreSQL does not let these be set: {', '.join(fixed)}. "
            "Leave them out, or point BILLING_DATABASE_URL at a PostgreSQL of your own."
        )
    return {**SIZING, **settings, **GUARANTEES}


def _answers(path: str) -> bool:
    """A live postmaster answers the question for encryption. To connect is not enough: a dying one's socket accepts."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
            probe.sendall(SSL_REQUEST)
            return probe.recv(1) != b""
        except OSError:
            return False


def _free(path: Path, kind: int) -> bool:
    fd = keeper.try_lock(path, kind)
    if fd is not None:
        os.close(fd)
    return fd is not None
