"""Making the home folder and, once, the database in it."""

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from billing.embedded import keeper
from billing.embedded.account import Account
from billing.embedded.binaries import Installation
from billing.embedded.errors import EmbeddedError, with_log

DATABASE = "billing"
SOCKET_PATH_BYTES_MAX = 103  # macOS; Linux has 107


@dataclass(frozen=True)
class Home:
    """The folder that holds PostgreSQL's `pgdata/`, the socket's `run/`, three locks and the log."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "pgdata"

    @property
    def log(self) -> Path:
        return self.path / "postgresql.log"

    @property
    def users_lock(self) -> Path:
        return self.path / "users.lock"

    @property
    def keeper_lock(self) -> Path:
        return self.path / "keeper.lock"

    @property
    def server_lock(self) -> Path:
        return self.path / "server.lock"

    def open_log(self) -> int:
        return os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def major(self) -> int | None:
        """The major version that wrote the data."""
        return int((self.data / "PG_VERSION").read_text().split(".")[0]) if self.data.exists() else None


def environment() -> dict[str, str]:
    """Nothing of ours: no PG* variables, no secrets, no locale this machine may lack."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def make_home(home: Home, account: Account) -> None:
    """Make what is missing, enterable for the account. Folders above that exist already stay as they are."""
    for folder in [*reversed(home.path.parents), home.path]:
        if not folder.exists():
            with suppress(FileExistsError):  # another starter was faster
                folder.mkdir()
            if account.lent:
                folder.chmod(0o755)
    if (home.path / "PG_VERSION").exists():
        raise EmbeddedError(
            f"{home.path} is itself a PostgreSQL data folder, which this service did not make. Choose another folder, "
            "or start that PostgreSQL and point BILLING_DATABASE_URL at it."
        )
    if account.lent:  # our own folder; what it holds is closed one by one
        home.path.chmod(stat.S_IMODE(home.path.stat().st_mode) | 0o111)
    barrier = account.barrier(home.path)
    if barrier is not None:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, so it runs as {account.name}, who may not enter {barrier}. "
            f"Choose a data folder outside of it, such as /var/lib/relay-billing, or let {account.name} pass "
            f"(chmod o+x {barrier})."
        )


def socket_folder(home: Home, account: Account) -> Path:
    """A folder only the account may enter; a short one elsewhere when the path would be too long for a socket."""
    folder = home.path / "run"
    if len(os.fsencode(folder / keeper.SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX:
        folder = Path(tempfile.gettempdir(), f"billing-{hashlib.sha256(os.fsencode(home.path)).hexdigest()[:16]}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        account.own(folder)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or found.st_mode & 0o077:
        raise EmbeddedError(
            f"{folder}, made for PostgreSQL's socket, must be a folder that only {account.name} can open. "
            "Remove it and try again."
        )
    return folder


def create_data(home: Home, installation: Installation, account: Account) -> None:
    """Make the cluster and its database beside, then rename: a kill at any moment leaves nothing half made."""
    new = home.path / "pgdata.new"
    lock = keeper.lock_within(home.server_lock, fcntl.LOCK_EX, keeper.LEFTOVER_SECONDS_MAX)
    if lock is None:
        raise EmbeddedError(f"An earlier initdb is still at work in {new}. Wait for it or end it, then try again.")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        account.own(new)
        initdb = [installation.program("initdb"), "-D", str(new), "-U", "postgres", "-A", "trust", "--data-checksums"]
        _run([*initdb, "--encoding=UTF8", "--locale=C", "--no-instructions"], home, account, lock)
        single = [installation.program("postgres"), "--single", "-D", str(new), "postgres"]
        _run(single, home, account, lock, feed=f"CREATE DATABASE {DATABASE}\n")
        new.rename(home.data)
        _sync(home.path)
    finally:
        os.close(lock)


def _run(command: list[str], home: Home, account: Account, lock: int, feed: str = "") -> None:
    """The program inherits the lock on the data: if we are killed, the next starter waits until it has ended, too."""
    log = home.open_log()
    try:
        done = subprocess.run(  # type: ignore[call-overload]  # **identity
            command,
            input=feed.encode(),
            stdout=log,
            stderr=log,
            env=environment(),
            cwd="/",
            pass_fds=(lock,),
            check=False,
            **keeper.identity(account.uid, account.gid, lent=account.lent),
        )
    finally:
        os.close(log)
    if done.returncode != 0:
        raise with_log(f"The database in {home.path} could not be created: {Path(command[0]).name} failed.", home.log)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
