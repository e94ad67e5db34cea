"""A database that is stopped, and one that is killed: requests are answered in bounded time, and the service recovers.

SIGSTOP is the worst a database can do: its connections stay open, it takes new ones, and it says nothing.
"""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.metering.events import event
from tests.serving import ADMIN_KEY, billing, serving

pytestmark = pytest.mark.anyio

ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
ACCOUNT = "acct_stopped"
SETTINGS = {"BILLING_STATEMENT_TIMEOUT_MS": "1000", "BILLING_POOL_WAIT_SECONDS_MAX": "1"}
# What waits its turn, for a connection, and for a silent database, with a second each and what a busy machine takes.
ANSWER_SECONDS_MAX = 20
SINGLES = 40
LARGE = 30


def backends(postmaster: int) -> list[int]:
    """The processes of a server: the first one, and all that it started."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


def postmaster_of(data: Path) -> int:
    return int(next(data.rglob("postmaster.pid")).read_text().splitlines()[0])


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


async def post(client: httpx.AsyncClient, events: list[dict[str, Any]]) -> httpx.Response:
    return await client.post("/v1/events", json=events)


def round_of(name: str) -> list[list[dict[str, Any]]]:
    """Requests with one event each, and two large ones."""
    singles = [[event(ACCOUNT, f"{name}-{number}")] for number in range(SINGLES)]
    large = [[event(ACCOUNT, f"{name}-{batch}-{number}") for number in range(LARGE)] for batch in "xy"]
    return singles + large


@pytest.mark.parametrize("ending", ["continued", "killed"])
async def test_a_silent_database_is_survived(folder: Path, tmp_path: Path, ending: str) -> None:
    data = folder / f"stopped-{ending}"
    with serving({"BILLING_DATA_DIR": str(data), **SETTINGS}, tmp_path) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=ADMIN, timeout=60) as client:
            made = await client.post("/v1/accounts", json={"id": ACCOUNT, "name": "Ada"})
            assert made.status_code == 201
            before = round_of("before")
            assert {answer.status_code for answer in await asyncio.gather(*(post(client, one) for one in before))} == {
                200
            }

            stopped = backends(postmaster_of(data))
            signal_all(stopped, signal.SIGSTOP)
            began = time.monotonic()
            during = round_of("during")
            try:
                answers = await asyncio.gather(*(post(client, one) for one in during))
            finally:
                signal_all(stopped, signal.SIGCONT if ending == "continued" else signal.SIGKILL)
            assert time.monotonic() - began < ANSWER_SECONDS_MAX
            assert {answer.status_code for answer in answers} == {503}
            assert {answer.json()["code"] for answer in answers} <= {"overloaded", "database_unavailable"}
            assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)

            await until_it_takes(client, during)
            found = await asyncio.gather(*(post(client, one) for one in before))
            assert all(answer.json()["duplicates"] == len(one) for answer, one in zip(found, before, strict=True))
            span = {"account": ACCOUNT, "start": "2026-10-01", "end": "2026-11-01"}
            used = (await client.get("/v1/usage", params=span)).json()
            assert used["requests"] == sum(map(len, before + during))
    assert billing("verify", settings={"BILLING_DATA_DIR": str(data)}).wait(60) == 0


async def until_it_takes(client: httpx.AsyncClient, requests: list[list[dict[str, Any]]]) -> None:
    """Post each until it is acknowledged; the service recovers by itself."""
    deadline = time.monotonic() + 30
    while requests:
        answers = await asyncio.gather(*(post(client, one) for one in requests))
        assert {answer.status_code for answer in answers} <= {200, 503}
        requests = [one for answer, one in zip(answers, requests, strict=True) if answer.status_code == 503]
        assert time.monotonic() < deadline, "the service did not recover within 30 s"
        await asyncio.sleep(0.1)
