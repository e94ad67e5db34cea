"""The keeper: PostgreSQL's parent process, which ends it when nobody uses it any more.

It is started by whoever finds no keeper, lives in a session of its own, and takes no orders but from three locks in the
home folder. The kernel drops a lock with the last process that holds it, however that process died:

    users.lock    shared: every process that uses the server. Exclusive: the keeper, who then knows that nobody does.
    keeper.lock   exclusive: the keeper. Free means that a server must be started.
    server.lock   exclusive: inherited by every PostgreSQL process on the data. Free means that none is left.

Run by path in an isolated interpreter, so it imports the standard library only and nothing of this project.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

POLL_SECONDS = 0.1
SOCKET_NAME = ".s.PGSQL.5432"
READY = "ready   "  # as PostgreSQL pads it
LEFTOVER_SECONDS_MAX = 60
LOG_BYTES_MAX = 8 * 1024 * 1024
# Fast shutdown rolls open transactions back; the other two leave the rest to recovery. None loses a committed row.
STOP_STEPS = ((signal.SIGINT, 60), (signal.SIGQUIT, 10), (signal.SIGKILL, 5))


@dataclass(frozen=True)
class Order:
    """What the keeper is to run; travels to it as JSON."""

    home: str
    command: list[str]
    environment: dict[str, str]
    identity: dict[str, object]
    sockets: str

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @property
    def data(self) -> Path:
        return Path(self.home, "pgdata")


def try_lock(path: Path, kind: int) -> int | None:
    """An open, locked file descriptor, or None when another process is in the way."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return fd


def lock_within(path: Path, kind: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while (fd := try_lock(path, kind)) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return fd


def identity(uid: int, gid: int, *, lent: bool) -> dict[str, object]:
    """Arguments for subprocess: run as this account, or, if it is not lent, as ourselves."""
    return {"user": uid, "group": gid, "extra_groups": []} if lent else {}


def recorded(data: Path) -> list[str]:
    """Lines of the server's lock file: pid, data, start time, port, socket folder, address, shared memory, status."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def server_pid(data: Path) -> int | None:
    """The pid of the live server on this data. A zombie is dead, and a number used again by a stranger is not ours."""
    lines = recorded(data)
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    state, command = process(pid)
    if state in ("", "Z", "X") or "postgres" not in command.split(" ", 1)[0]:
        return None
    with suppress(OSError):
        return pid if Path(f"/proc/{pid}/cwd").samefile(data) else None
    return pid if str(data) in command else None


def process(pid: int) -> tuple[str, str]:
    """State letter and command line; empty when there is no such process."""
    folder = Path(f"/proc/{pid}")
    with suppress(OSError):
        state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        return state, (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    if Path("/proc/self").exists():
        return "", ""
    answer = subprocess.run(["ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, command = answer.stdout.strip().partition(" ")
    return state[:1], command.strip()


def keep(order: Order) -> None:
    """Run the server until nobody uses it. After a crash start it again: its users only need to connect anew."""
    while True:
        server = launch(order)
        users = watch(server, Path(order.home))
        if users is not None:
            stop(server)
            return
        # A server that was ready and left its lock file behind was killed. One that went in order was told to go.
        if recorded(order.data)[7:] != [READY]:
            return
        say(f"PostgreSQL ended without a shutdown (exit status {server.returncode}); starting it again")


def launch(order: Order) -> "subprocess.Popen[bytes]":
    lock = own_the_data(order)
    try:
        disown(order.data)
        for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):  # a dead server's would be taken for a live one's just so
            Path(order.sockets, name).unlink(missing_ok=True)
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            order.command,
            env=order.environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            pass_fds=(lock,),
            preexec_fn=end_with_parent(),  # noqa: PLW1509  one thread only; Python has no other way to prctl
            **order.identity,
        )
    finally:
        os.close(lock)  # from here on the server's own processes hold it


def own_the_data(order: Order) -> int:
    """Wait until no process of an earlier server is left; tell a server that lost its keeper to go."""
    path = Path(order.home, "server.lock")
    lock = try_lock(path, fcntl.LOCK_EX)
    if lock is None:
        if (pid := server_pid(order.data)) is not None:
            say(f"PostgreSQL {pid} has lost its keeper; stopping it to start it again in order")
            os.kill(pid, signal.SIGINT)
        lock = lock_within(path, fcntl.LOCK_EX, LEFTOVER_SECONDS_MAX)
    elif (pid := server_pid(order.data)) is not None:
        give_up(
            f"PostgreSQL process {pid} runs on {order.data} but was not started by this service. Stop it and try again."
        )
    if lock is None:
        give_up(
            f"An earlier PostgreSQL on {order.data} has not ended yet; `fuser {path}` lists its processes. End them."
        )
    return lock


def disown(data: Path) -> None:
    """Put our own pid into a dead server's lock file.

    PostgreSQL takes any live pid in it for a running server, be it a zombie's or a stranger's; only its own parent's it
    knows to be stale. The other lines stay: from them it makes sure that nothing is attached to the old shared memory.
    """
    path = data / "postmaster.pid"
    lines = recorded(data)
    if lines and lines[0].strip():
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        os.write(fd, "\n".join([str(os.getpid()), *lines[1:], ""]).encode())
        os.close(fd)
    else:
        path.unlink(missing_ok=True)  # empty after a power cut: nothing runs, and PostgreSQL would refuse to start


def end_with_parent() -> Callable[[], object] | None:
    """On Linux the kernel tells the server to shut down in order when even the keeper is killed."""
    if sys.platform != "linux":
        return None
    import ctypes  # not needed by those who import this module for its locks

    prctl, set_parent_death_signal = ctypes.CDLL(None).prctl, 1
    return lambda: prctl(set_parent_death_signal, int(signal.SIGINT))


def watch(server: "subprocess.Popen[bytes]", home: Path) -> int | None:
    """The exclusive lock on the users as soon as there are none; None when the server has ended."""
    while server.poll() is None:
        users = try_lock(home / "users.lock", fcntl.LOCK_EX)
        if users is not None:
            return users
        bound_log(home / "postgresql.log")
        time.sleep(POLL_SECONDS)
    return None


def stop(server: "subprocess.Popen[bytes]") -> None:
    for step, seconds in STOP_STEPS:
        server.send_signal(step)
        with suppress(subprocess.TimeoutExpired):
            server.wait(seconds)
            return


def bound_log(log: Path) -> None:
    """Keep one earlier part. The writers append, so cutting the file under them is safe."""
    with suppress(OSError):
        if log.stat().st_size > LOG_BYTES_MAX:
            shutil.copy(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)


def say(sentence: str) -> None:
    print(f"keeper: {sentence}", file=sys.stderr, flush=True)  # noqa: T201  standard error is the log


def give_up(sentence: str) -> NoReturn:
    say(sentence)
    sys.exit(1)


def main() -> None:
    """Detach, so that the starter has no child to wait for, and ignore what a terminal or a service manager sends us
    while our users are still finishing their work: we go when they are gone."""
    if os.fork():
        os._exit(0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which the server would inherit
    keep(Order(**json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
