"""A load generator that costs little: keep-alive connections over asyncio, each asking as soon as it is answered.

measured = run(load("http://127.0.0.1:8000", requests, connections=64, seconds=2))
"""

import asyncio
import re
import socket
import statistics
import time
from collections.abc import Coroutine, Iterator
from typing import NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import uvloop

T = TypeVar("T")

HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
ACCEPTED = re.compile(rb'"accepted":(\d+)')


class Measured(NamedTuple):
    """What a load came to: requests and events a second, and milliseconds a request."""

    requests: float
    events: float
    median_ms: float
    p99_ms: float


class Caller(asyncio.Protocol):
    """One connection, one request after the other until it is late enough."""

    def __init__(self, requests: Iterator[bytes], until: float) -> None:
        self.requests = requests
        self.until = until
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.seconds: list[float] = []
        self.events = 0
        self.answer = b""
        self.began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop has one of its own
        self.ask()

    def ask(self) -> None:
        self.began = time.perf_counter()
        request = next(self.requests, None) if self.began < self.until else None
        if request is None:
            self.transport.close()
        else:
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self.take(data)
        except Exception as error:
            self.transport.close()
            self.ended.set_exception(error)

    def take(self, data: bytes) -> None:
        self.answer += data
        head, end, body = self.answer.partition(HEAD_END)
        if not end:
            return
        length = LENGTH.search(head)
        assert length is not None, head
        if len(body) < int(length[1]):
            return
        if head[9:10] != b"2":
            raise AssertionError(self.answer[:500].decode())
        self.seconds.append(time.perf_counter() - self.began)
        accepted = ACCEPTED.search(body)
        self.events += int(accepted[1]) if accepted else 0
        self.answer = b""
        self.ask()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def load(url: str, requests: Iterator[bytes], *, connections: int, seconds: float) -> Measured:
    """Ask for so many seconds, or until there are no more requests. Whatever is not answered with 2xx ends it."""
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    callers = [
        (await loop.create_connection(lambda: Caller(requests, began + seconds), address.hostname, address.port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(caller.ended for caller in callers))
    took = time.perf_counter() - began
    each = sorted(second for caller in callers for second in caller.seconds)
    events = sum(caller.events for caller in callers)
    tail = 1e3 * each[len(each) * 99 // 100]
    return Measured(len(each) / took, events / took, 1e3 * statistics.median(each), tail)


def run(work: Coroutine[object, object, T]) -> T:
    return uvloop.run(work)


def get(path: str, key: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def post(path: str, key: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
