"""Receivers that mean ill, or have had enough: what they may ask for, and what they may not do to others."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta

import pytest

from billing.webhooks import store
from billing.webhooks.messages import Message, Target, retry_after
from billing.webhooks.sending import Sender
from tests.webhooks.conftest import Post
from tests.webhooks.receiver import Got, Receiver, status

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MESSAGE = Message(id="msg_1", type="webhook.test", created_at=NOON, data={})


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("9" * 5000, 3600),
        ("Mon, 23 Nov 2026 12:02:00 GMT", 120),
        ("Mon, 23 Nov 2026 12:02:00 -0000", 120),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -9999", None),
        ("Fri, 31 Dec 2026 23:59:59 +" + "9" * 40, None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("\u0661", None),
        ("", None),
    ],
)
def test_how_long_a_receiver_asks_to_be_left_alone(said: str, seconds: int | None) -> None:
    assert retry_after(said, NOON) == seconds


async def test_who_asks_to_be_left_alone_is(mail: Post, receiver: Receiver) -> None:
    """Also when something got through; then it has not failed."""

    async def some(got: Got) -> bytes:
        return await (status(429, "Retry-After: 600") if got.said["data"]["number"] == 19 else status(200))(got)

    receiver.answer = some
    issued = await mail.endpoint(receiver.url)
    for number in range(20):
        await mail.say(None, number)
    await mail.deliver()
    assert len(receiver.got) < 29
    [refused] = [one for one in await mail.deliveries(issued.webhook.id) if one.state == "pending"]
    assert (refused.log[0].reason, refused.log[0].retry_after) == ("HTTP 429", 600)
    assert (await mail.shown(issued.webhook.id)).failing_since is None
    assert timedelta(seconds=590) < await rest(mail) <= timedelta(seconds=600)

    await mail.hasten()
    receiver.answer = status(503, "Retry-After: 1")
    await mail.deliver()
    assert timedelta(seconds=1) < await rest(mail) <= timedelta(seconds=5)  # it rests for longer anyway
    receiver.answer = status(503, "Retry-After: 86400")
    await mail.hasten()
    await mail.deliver()
    assert timedelta(minutes=59) < await rest(mail) <= timedelta(hours=1)
    async with mail.pool.connection() as conn:
        await conn.execute("UPDATE webhook_deliveries SET due_at = now()")
        assert await store.waiting(conn, busy=[], limit=9) == []


async def rest(mail: Post) -> timedelta:
    async with mail.pool.connection() as conn:
        cursor = await conn.execute("SELECT rests_until - now() AS rest FROM webhook_endpoints")
        return (await cursor.fetchone() or {})["rest"]


async def test_no_cookie_is_kept(mail: Post, receiver: Receiver) -> None:
    """Several receivers may share an address: what one sets is sent to no other, and fills no memory."""
    receiver.answer = status(200, "Set-Cookie: theirs=1; Path=/; Max-Age=9999")
    await mail.endpoint(receiver.url)
    await mail.endpoint(receiver.url + "&other")
    for number in range(3):
        await mail.say(None, number)
        await mail.deliver()
    assert len(receiver.got) == 6
    assert [got.headers.get("cookie") for got in receiver.got] == [None] * 6


async def test_an_answer_that_drips_ends_with_the_attempt() -> None:
    """A byte at a time, in its head or in its body: there is one limit of time for all of it."""

    ended = asyncio.Semaphore(0)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(b"HTTP/1.1 200 x\r\n")
        writer.write(b"\r\n" if "/body" in head else b"X: ")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            writer.close()
            ended.release()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server, Sender.opened(0.3, private=True) as sender:
        port = server.sockets[0].getsockname()[1]
        for path in ("body", "head"):
            attempt = await sender.send(Target("we_1", f"http://127.0.0.1:{port}/{path}", (b"s",)), MESSAGE)
            assert attempt.reason == "no answer within 0.3 s"
            async with asyncio.timeout(10):
                await ended.acquire()


async def test_a_head_without_end_is_no_answer(mail: Post, receiver: Receiver) -> None:
    async def endless(_got: Got) -> bytes:
        return b"HTTP/1.1 200 x\r\n" + b"X: " + b"x" * (1 << 20) + b"\r\n\r\n"

    receiver.answer = endless
    attempt = await mail.courier.sender.send(Target("we_1", receiver.url, (b"s",)), MESSAGE)
    assert attempt.reason == "no HTTP answer (RemoteProtocolError)"


async def test_what_a_resolver_says_may_be_nonsense(mail: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    place = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("no:address", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: [place])
    attempt = await mail.courier.sender.send(Target("we_1", "http://example.com/", (b"s",)), MESSAGE)
    assert attempt.reason == "no HTTP answer (InvalidURL)"
