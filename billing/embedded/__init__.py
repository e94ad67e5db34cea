"""An embedded PostgreSQL: the default database of this service, found or started in a folder of its own.

All processes that open the same folder share one server. It ends when the last of them has gone, even if that one was
killed; `keeper.py` sees to that. docs/decisions/0002-embedded-postgresql.md says why it is made this way.

    with embedded(Path("/var/lib/billing/database")) as url:
        psycopg.connect(url)

The folder holds `data/` (PostgreSQL's own), `run/` (the socket), three locks and `postgresql.log`.
"""

import fcntl
import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from billing.embedded import keeper
from billing.embedded.account import Account, account_for
from billing.embedded.binaries import Installation, choose, installations, within_reach
from billing.embedded.errors import EmbeddedError, with_log

__all__ = ["DATABASE", "GUARANTEES", "SIZING", "Embedded", "EmbeddedError", "embedded"]

DATABASE = "billing"
START_SECONDS_MAX = 180  # recovery after a crash replays up to max_wal_size
STOP_SECONDS_MAX = 80  # the keeper's own steps take up to 75
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_BYTES_MAX = 103  # macOS; Linux has 107

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
        self.home = data_dir.resolve()
        self.log = self.home / "postgresql.log"
        self._settings = _settings(settings or {})
        self._users: int | None = None
        try:
            self.url = self._start()
        except OSError as error:
            self.close()
            raise EmbeddedError(f"The embedded PostgreSQL in {self.home} cannot be started: {error}.") from error
        except BaseException:
            self.close()
            raise

    @property
    def data(self) -> Path:
        return self.home / "data"

    def close(self) -> None:
        """Give up this hold. The last one out waits until the server has shut down."""
        if self._users is None:
            return
        os.close(self._users)
        self._users = None
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while time.monotonic() < deadline and not self._in_use_by_others() and not self._keeper_gone():
            time.sleep(0.02)

    def _in_use_by_others(self) -> bool:
        """Somebody holds it shared. When the keeper holds it exclusively, the server is on its way down."""
        users = self.home / "users.lock"
        return not _free(users, fcntl.LOCK_EX) and _free(users, fcntl.LOCK_SH)

    def _keeper_gone(self) -> bool:
        return _free(self.home / "keeper.lock", fcntl.LOCK_EX)

    def _start(self) -> str:
        """Take a hold, then wait for a server, starting it if nobody else does."""
        account = account_for(self.data)
        _make_home(self.home, account)
        deadline = time.monotonic() + START_SECONDS_MAX
        self._users = keeper.lock_within(self.home / "users.lock", fcntl.LOCK_SH, START_SECONDS_MAX)
        started = False
        while time.monotonic() < deadline:
            if (folder := self._ready()) is not None:
                return f"postgresql://postgres@/{DATABASE}?host={quote(folder, safe='')}&port=5432"
            lock = keeper.try_lock(self.home / "keeper.lock", fcntl.LOCK_EX)
            if lock is not None and started:
                os.close(lock)
                raise with_log(f"PostgreSQL in {self.home} did not start.", self.log)
            if lock is not None:
                started = True
                self._start_keeper(account, lock)
            time.sleep(0.02)
        raise with_log(f"PostgreSQL in {self.home} was not ready within {START_SECONDS_MAX} seconds.", self.log)

    def _ready(self) -> str | None:
        """The socket's folder, when a server listens there and lets users in.

        The order matters: a dead server's lock file may say ready as well, but nobody listens at its socket; and a new
        server has replaced that file before it listens.
        """
        folder = (keeper.recorded(self.data)[4:5] or [""])[0]
        if not folder:
            return None
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(f"{folder}/{SOCKET_NAME}")
            except OSError:
                return None
        return folder if keeper.recorded(self.data)[7:] == ["ready   "] else None

    def _start_keeper(self, account: Account, lock: int) -> None:
        """Prepare everything that may go wrong with a sentence here, then hand the keeper's lock over to it."""
        try:
            installation = self._installation(account)
            if not self.data.exists():
                self._create_data(installation, account)
            order = self._order(installation, account)
            with self.log.open("ab") as log:
                subprocess.run(
                    [sys.executable, "-I", "-S", keeper.__file__, order.dump()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,
                    pass_fds=(lock,),
                    check=False,
                )
        finally:
            os.close(lock)

    def _installation(self, account: Account) -> Installation:
        written_by = self.data / "PG_VERSION"
        major = int(written_by.read_text()) if self.data.exists() else None
        chosen = choose(installations(self.home), major, self.data)
        return within_reach(chosen, account, self.home)

    def _order(self, installation: Installation, account: Account) -> keeper.Order:
        folder = _socket_folder(self.home, account)
        options = {**SIZING, **self._settings, **GUARANTEES, "unix_socket_directories": str(folder)}
        command = [installation.program("postgres"), "-D", str(self.data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        uid, gid = (account.uid, account.gid) if account.lent else (None, None)
        return keeper.Order(str(self.home), command, _environment(), uid, gid)

    def _create_data(self, installation: Installation, account: Account) -> None:
        """Make the cluster and its database beside, then rename: a kill at any moment leaves nothing half made."""
        new = self.home / "data.new"
        lock = keeper.lock_within(self.home / "server.lock", fcntl.LOCK_EX, keeper.LEFTOVER_SECONDS_MAX)
        if lock is None:
            raise EmbeddedError(f"Another initdb still works in {new}. Wait for it or end it, then try again.")
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(mode=0o700)
            account.own(new)
            initdb = [
                installation.program("initdb"),
                "-D",
                str(new),
                "-U",
                "postgres",
                "-A",
                "trust",
                "--data-checksums",
            ]
            self._run([*initdb, "--encoding=UTF8", "--locale=C", "--no-instructions"], account, lock)
            single = [installation.program("postgres"), "--single", "-D", str(new), "postgres"]
            self._run(single, account, lock, feed=f"CREATE DATABASE {DATABASE}\n")
            new.rename(self.data)
            _sync(self.home)
        finally:
            os.close(lock)

    def _run(self, command: list[str], account: Account, lock: int, feed: str = "") -> None:
        identity = keeper.identity(account.uid, account.gid) if account.lent else {}
        with self.log.open("ab") as log:
            done = subprocess.run(  # type: ignore[call-overload]
                command,
                input=feed.encode(),
                stdout=log,
                stderr=log,
                env=_environment(),
                cwd="/",
                pass_fds=(lock,),
                check=False,
                **identity,
            )
        if done.returncode != 0:
            raise with_log(
                f"The database in {self.home} could not be created: {Path(command[0]).name} failed.", self.log
            )


def _settings(settings: Mapping[str, str]) -> dict[str, str]:
    fixed = sorted(settings.keys() & {*GUARANTEES, "unix_socket_directories"})
    if fixed:
        raise EmbeddedError(f"The embedded PostgreSQL does not let these be set: {', '.join(fixed)}.")
    return dict(settings)


def _environment() -> dict[str, str]:
    """Nothing of ours: no PG* variables, no secrets, no locale this machine may lack."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _free(path: Path, kind: int) -> bool:
    fd = keeper.try_lock(path, kind)
    if fd is not None:
        os.close(fd)
    return fd is not None


def _make_home(home: Path, account: Account) -> None:
    """Make missing folders enterable for the account. Existing ones are not opened: that is the operator's to do."""
    for folder in [*reversed(home.parents), home]:
        if not folder.exists():
            with suppress(FileExistsError):  # another starter was faster
                folder.mkdir()
            if account.lent:
                folder.chmod(0o755)
    barrier = account.barrier(home)
    if barrier is not None:
        raise EmbeddedError(
            f"PostgreSQL does not run as root, so it runs as {account.name}, who may not enter {barrier}. "
            f"Choose a data folder outside of it, such as /var/lib/relay-billing, or allow entry (chmod o+x {barrier})."
        )


def _socket_folder(home: Path, account: Account) -> Path:
    """A folder only the account may enter; a short one elsewhere when the path would be too long for a socket."""
    folder = home / "run"
    if len(os.fsencode(folder / SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX:
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"billing-{digest}"
    try:
        folder.mkdir(mode=0o700)
        account.own(folder)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid:
            raise EmbeddedError(
                f"{folder} must be a folder of {account.name}'s for the socket. Remove it and try again."
            ) from None
    folder.chmod(0o700)
    for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
        (folder / name).unlink(missing_ok=True)
    return folder


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
