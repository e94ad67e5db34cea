"""A service that is killed with -9 again and again while gateways send."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.serving import ADMIN_KEY, Server, billing, serving

ROUNDS = 3
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}

Kill = Callable[[Server, Path], None]


class Sender(threading.Thread):
    """A gateway, which sends until it is told to stop."""

    def __init__(self, url: str, number: int) -> None:
        super().__init__()
        self.url = url
        self.number = number
        self.stopping = threading.Event()
        self.acknowledged: list[Any] = []


S = TypeVar("S", bound=Sender)


def kill_service(server: Server, _data: Path) -> None:
    server.process.kill()
    server.process.wait()


def kill_database(_server: Server, data: Path) -> None:
    pid = int(next(data.rglob("postmaster.pid")).read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)


def kill_both(server: Server, data: Path) -> None:
    kill_database(server, data)
    kill_service(server, data)


@contextmanager
def survivors(kill: Kill, data: Path, tmp_path: Path, start: Callable[[str], list[S]]) -> Iterator[tuple[str, list[S]]]:
    """The service's address and the senders when all is over; after the block the book must be right."""
    settings = {"BILLING_DATA_DIR": str(data), "BILLING_PORT": str(free_port())}
    senders: list[S] = []
    for _ in range(ROUNDS):
        with serving(settings, tmp_path) as server:
            senders = senders or start(server.url)
            wait_for_progress(senders)
            kill(server, data)
            if server.process.poll() is None:
                wait_for_progress(senders)
    with serving(settings, tmp_path) as server:
        wait_for_progress(senders)
        for sender in senders:
            sender.stopping.set()
        for sender in senders:
            sender.join(30)
        yield server.url, senders
    assert billing("verify", settings=settings).wait(60) == 0


def wait_for_progress(senders: Sequence[Sender]) -> None:
    """Until every sender has had more acknowledged, so that a kill falls into the midst of the work."""
    goals = [len(sender.acknowledged) + 4 for sender in senders]
    deadline = time.monotonic() + 30
    while any(len(sender.acknowledged) < goal for sender, goal in zip(senders, goals, strict=True)):
        assert time.monotonic() < deadline, "the service did not recover within 30 s"
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
