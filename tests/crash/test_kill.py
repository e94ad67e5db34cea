"""kill -9 in the midst of intake: what was acknowledged is there, once, and the book is right (product.md, 13)."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from pricing import money
from tests.metering.events import GPT_4_CHARGE, event
from tests.serving import ADMIN_KEY, Server, billing, serving

ROUNDS = 3
POSTERS = 4
BATCH = 25
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
ACCOUNTS = ["acct_crash_0", "acct_crash_1"]


class Poster(threading.Thread):
    """A gateway: posts batch after batch, and the same batch again until it is acknowledged."""

    def __init__(self, url: str, number: int) -> None:
        super().__init__()
        self.url = url
        self.number = number
        self.stopping = threading.Event()
        self.acknowledged: list[list[dict[str, Any]]] = []

    def run(self) -> None:
        with httpx.Client(base_url=self.url, headers=ADMIN, timeout=10) as client:
            while not self.stopping.is_set():
                events = self.next_batch()
                while not self.post(client, events):
                    time.sleep(0.05)
                self.acknowledged.append(events)

    def next_batch(self) -> list[dict[str, Any]]:
        name = f"{self.number}-{len(self.acknowledged)}"
        return [event(ACCOUNTS[place % len(ACCOUNTS)], f"{name}-{place}") for place in range(BATCH)]

    @staticmethod
    def post(client: httpx.Client, events: list[dict[str, Any]]) -> bool:
        try:
            answer = client.post("/v1/events", json=events)
        except httpx.HTTPError:
            return False
        if answer.status_code == 503:
            return False
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["rejected"] == 0)


def kill_service(server: Server, _data: Path) -> None:
    server.process.kill()
    server.process.wait()


def kill_database(_server: Server, data: Path) -> None:
    pid = int(next(data.rglob("postmaster.pid")).read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)


def kill_both(server: Server, data: Path) -> None:
    kill_database(server, data)
    kill_service(server, data)


@pytest.mark.parametrize("kill", [kill_service, kill_database, kill_both], ids=["service", "database", "both"])
def test_nothing_acknowledged_is_lost_or_there_twice(
    kill: Callable[[Server, Path], None], folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data = folder / f"crash-{request.node.callspec.id}"
    settings = {"BILLING_DATA_DIR": str(data), "BILLING_PORT": str(free_port())}
    posters: list[Poster] = []
    for _ in range(ROUNDS):
        with serving(settings, tmp_path) as server:
            posters = posters or started(server.url)
            wait_for_progress(posters)
            kill(server, data)
            if server.process.poll() is None:
                wait_for_progress(posters)
    with serving(settings, tmp_path) as server:
        wait_for_progress(posters)
        for poster in posters:
            poster.stopping.set()
        for poster in posters:
            poster.join(30)
        check(server.url, posters)
    assert billing("verify", settings=settings).wait(60) == 0


def started(url: str) -> list[Poster]:
    for account in ACCOUNTS:
        httpx.post(f"{url}/v1/accounts", headers=ADMIN, json={"name": account, "id": account}).raise_for_status()
    posters = [Poster(url, number) for number in range(POSTERS)]
    for poster in posters:
        poster.start()
    return posters


def wait_for_progress(posters: list[Poster]) -> None:
    """Until every poster has had three more batches acknowledged, so that a kill falls into the midst of the work."""
    goals = [len(poster.acknowledged) + 3 for poster in posters]
    deadline = time.monotonic() + 30
    while any(len(poster.acknowledged) < goal for poster, goal in zip(posters, goals, strict=True)):
        assert time.monotonic() < deadline, "the service did not recover within 30 s"
        time.sleep(0.01)


def check(url: str, posters: list[Poster]) -> None:
    """All that was acknowledged is there, each event once: posting it again finds only duplicates."""
    batches = [events for poster in posters for events in poster.acknowledged]
    with httpx.Client(base_url=url, headers=ADMIN, timeout=30) as client:
        for events in batches:
            assert client.post("/v1/events", json=events).json()["duplicates"] == BATCH
        for account in ACCOUNTS:
            span = {"account": account, "start": "2026-10-01", "end": "2026-11-01"}
            used = client.get("/v1/usage", params=span).json()
            mine = sum(event["account"] == account for events in batches for event in events)
            assert used["requests"] == mine
            assert money.parse(used["amount"]) == mine * money.parse(GPT_4_CHARGE)
            balance = client.get("/v1/balance", params={"account": account}).json()
            assert money.parse(balance["posted"]) == -mine * money.parse(GPT_4_CHARGE)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
