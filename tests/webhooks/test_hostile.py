"""Receivers that mean ill, or have had enough: what they may ask for, and what they may not do to others."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.webhooks import store
from billing.webhooks.messages import retry_after
from tests.webhooks.conftest import Post
from tests.webhooks.receiver import Got, Receiver, status

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


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
        assert await store.waiting(conn, but=[], limit=9) == []


async def rest(mail: Post) -> timedelta:
    async with mail.pool.connection() as conn:
        cursor = await conn.execute("SELECT rests_until - now() AS rest FROM webhook_endpoints")
        return (await cursor.fetchone() or {})["rest"]
