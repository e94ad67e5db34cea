"""kill -9 in the midst of intake: what was acknowledged is there, once, and the book is right (product.md, 13)."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from pricing import money
from tests.crash.killing import ADMIN, Kill, Sender, kill_both, kill_database, kill_service, survivors
from tests.metering.events import GPT_4_CHARGE, event

POSTERS = 4
BATCH = 25
ACCOUNTS = ["acct_crash_0", "acct_crash_1"]


class Poster(Sender):
    """A gateway: posts batch after batch, and the same batch again until it is acknowledged."""

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


@pytest.mark.parametrize("kill", [kill_service, kill_database, kill_both], ids=["service", "database", "both"])
def test_nothing_acknowledged_is_lost_or_there_twice(
    kill: Kill, folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data = folder / f"crash-{request.node.callspec.id}"
    with survivors(kill, data, tmp_path, started) as (url, posters):
        check(url, posters)


def started(url: str) -> list[Poster]:
    for account in ACCOUNTS:
        httpx.post(f"{url}/v1/accounts", headers=ADMIN, json={"name": account, "id": account}).raise_for_status()
    posters = [Poster(url, number) for number in range(POSTERS)]
    for poster in posters:
        poster.start()
    return posters


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
