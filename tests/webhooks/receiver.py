"""A receiver of webhooks: a real HTTP server on the loopback that answers what it is told to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from standardwebhooks.webhooks import Webhook

Answer = Callable[["Got"], Awaitable[bytes]]


@dataclass(frozen=True)
class Got:
    """One request, as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def said(self) -> dict:
        return msgspec.json.decode(self.body)

    def verify(self, secret: str) -> None:
        """By the reference library, which knows nothing of ours. Raises when the signature does not fit."""
        Webhook(secret).verify(self.body, self.headers)


def status(code: int, *headers: str) -> Answer:
    async def answer(_got: Got) -> bytes:
        lines = [f"HTTP/1.1 {code} x", "Content-Length: 0", "Connection: close", *headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    return answer


@dataclass
class Receiver:
    """`got` is all that came, in its order; `answer` may be changed at any time."""

    answer: Answer
    port: int = 0
    got: list[Got] = field(default_factory=list)
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=t"

    async def wait_for(self, many: int, seconds: float = 20) -> list[Got]:
        """All that came, as soon as it is so many."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: len(self.got) >= many)
        return self.got

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            got = Got(head[0], headers, await reader.readexactly(int(headers["content-length"])))
            async with self._came:
                self.got.append(got)
                self._came.notify_all()
            writer.write(await self.answer(got))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver(status(204))
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
