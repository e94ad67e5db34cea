"""How many authorizations a second one worker gives, and how long each takes, beside the same endpoint without a
database in the same run (anchors.md, target 3): at least half as many, and a p99 of at most five times its p99.

The endpoint without a database is the same handler, guard and answer, but who asks and what is granted comes from
memory. Both services, PostgreSQL and the load of 64 connections share the machine's cores; the rounds alternate.
"""

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from litestar import Litestar
from litestar.datastructures import State

from billing.accounts.keys import Principal
from billing.demo.service import service
from billing.holds import api
from billing.holds.rules import Asked, Granted, Hold
from billing.http import StrictRequest
from billing.observe import configure_logging
from billing.observe.middleware import Observed
from billing.problems import answer
from billing.settings import Settings

CONNECTIONS = 64
SECONDS = 4.0
ROUNDS = 5
ACCOUNTS = 1_000
HOT = "acct_hot"
CASES = ("spread", "hot")


class Memory:
    """Grants everything."""

    async def authorize(self, asked: Asked) -> Granted:
        now = datetime.now(UTC)
        hold = Hold(
            id=asked.new_id,
            account_id=str(asked.owner),
            key_id=None,
            model=asked.model,
            amount=asked.max_cost or 0,
            state="open",
            created_at=now,
            expires_at=now + timedelta(seconds=asked.seconds),
        )
        return Granted(hold=hold, available=10**15, new=True)


class OpenDoor:
    """Lets everybody in."""

    async def ask(self, _token: str) -> Principal:
        return Principal("key_bench", "gateway")


def without_database() -> Litestar:
    """The app of the endpoint alone."""
    configure_logging("INFO")
    app = Litestar(
        [api.authorize],
        request_class=StrictRequest,
        exception_handlers={Exception: answer},
        state=State({"settings": Settings(), "door": OpenDoor(), "authorizer": Memory()}),
        logging_config=None,
    )
    app.asgi_handler = Observed(app.asgi_handler)  # type: ignore[assignment]
    return app


class Caller:
    """One connection, one request after the other."""

    def __init__(self, url: str, key: str, number: int, case: str) -> None:
        self.address = urlsplit(url)
        self.key = key
        self.number = number
        self.case = case
        self.seconds: list[float] = []
        self.refused = 0

    def request(self) -> bytes:
        account = HOT if self.case == "hot" else f"acct_{(self.number * 7919 + len(self.seconds) * 613) % ACCOUNTS}"
        body = json.dumps({"account": account, "model": "gpt-4", "max_cost": "0.000001", "expires_in": 60}).encode()
        head = (
            f"POST /v1/authorizations HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def call(self, until: float) -> None:
        reader, writer = await asyncio.open_connection(self.address.hostname, self.address.port)
        while time.perf_counter() < until:
            began = time.perf_counter()
            writer.write(self.request())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            self.seconds.append(time.perf_counter() - began)
            self.refused += not head.startswith(b"HTTP/1.1 201")
        writer.close()


async def load(url: str, key: str, case: str) -> tuple[float, float, float]:
    """Authorizations a second, and the median and 99th percentile of their milliseconds."""
    callers = [Caller(url, key, number, case) for number in range(CONNECTIONS)]
    until = time.perf_counter() + SECONDS
    await asyncio.gather(*(caller.call(until) for caller in callers))
    assert sum(caller.refused for caller in callers) == 0
    seconds = sorted(second for caller in callers for second in caller.seconds)
    return len(seconds) / SECONDS, 1e3 * statistics.median(seconds), 1e3 * seconds[len(seconds) * 99 // 100]


def prepare(url: str, key: str) -> None:
    """Accounts that may go far below zero."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        for account in (HOT, *(f"acct_{number}" for number in range(ACCOUNTS))):
            client.post("/v1/accounts", json={"name": account, "id": account}).raise_for_status()
            client.patch(f"/v1/accounts/{account}", json={"credit_limit": "1000"}).raise_for_status()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.authorize:without_database", "--factory", "--no-access-log"]
    with tempfile.TemporaryDirectory(prefix="billing-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (folder / "bare.log").open("w") as log, service(Settings(), folder) as real:
            bare = subprocess.Popen([*command, "--port", str(port)], stderr=log, cwd=Path(__file__).parents[1])
            try:
                prepare(real.url, real.admin_key)
                compare(f"http://127.0.0.1:{port}", real.url, real.admin_key)
            finally:
                bare.terminate()
                bare.wait()


def compare(bare: str, real: str, key: str) -> None:
    for case in CASES:
        rounds = [(asyncio.run(load(bare, key, case)), asyncio.run(load(real, key, case))) for _ in range(ROUNDS)]
        for name, measured in zip(("without a database", "authorize"), zip(*rounds, strict=True), strict=True):
            rate, middle, tail = (statistics.median(column) for column in zip(*measured, strict=True))
            print(f"{case:7} {name:20} {rate:8.0f}/s   median {middle:6.2f} ms   p99 {tail:6.2f} ms")
        ratio = statistics.median(ours[0] / limit[0] for limit, ours in rounds)
        tails = statistics.median(ours[2] / limit[2] for limit, ours in rounds)
        print(f"{case:7} rate {ratio:.2f} of it (to reach: 0.5), p99 {tails:.1f} times (at most: 5)", flush=True)


if __name__ == "__main__":
    main()
