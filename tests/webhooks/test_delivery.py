"""Messages come to those who want them: signed, at least once, tried again, and never without what they tell."""

import asyncio
import base64
import hashlib
import hmac
from datetime import timedelta

import msgspec
import pytest
from psycopg import sql

from billing import outbox
from billing.webhooks import courier, endpoints, store
from billing.webhooks.endpoints import Issued
from billing.webhooks.messages import WAITS, rest_after, wait_after
from billing.webhooks.sending import Sender
from tests.webhooks.conftest import Post
from tests.webhooks.receiver import Got, Receiver, status

pytestmark = pytest.mark.anyio


async def test_a_message_is_signed_as_the_standard_says(mail: Post, receiver: Receiver) -> None:
    account = await mail.account()
    issued = await mail.endpoint(receiver.url)
    await mail.say(account, 7)
    await mail.deliver()
    [got] = receiver.got
    assert got.line == "POST /hook?token=t HTTP/1.1"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["content-type"] == "application/json"
    got.verify(issued.secret)
    assert set(got.said) == {"type", "timestamp", "data"}
    assert (got.said["type"], got.said["data"]) == ("invoice.finalized", {"number": 7})

    signed = f"{got.id}.{got.headers['webhook-timestamp']}.".encode() + got.body
    key = base64.b64decode(issued.secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"

    [delivery] = await mail.deliveries(issued.webhook.id)
    assert (delivery.id, delivery.state, delivery.attempts) == (got.id, "delivered", 1)
    assert [(one.status, one.reason) for one in delivery.log] == [(204, None)]
    await mail.hasten()
    await mail.deliver()
    assert len(receiver.got) == 1


async def test_nothing_is_told_that_was_taken_back(mail: Post, receiver: Receiver) -> None:
    account = await mail.account()
    await mail.endpoint(receiver.url)
    async with mail.pool.connection() as conn, conn.transaction(force_rollback=True):
        await outbox.add(conn, "key.revoked", account, {"key": "key_1"})
    await mail.deliver()
    assert receiver.got == []


async def test_each_is_told_what_it_asked_for(mail: Post, receiver: Receiver) -> None:
    mine, other = await mail.account(), await mail.account()
    await mail.say(mine, 0)  # before anybody asked
    operators = await mail.endpoint(receiver.url)
    own = await mail.endpoint(receiver.url, mine)
    keys = await mail.endpoint(receiver.url, mine, ["key.revoked"])
    stopped = await mail.endpoint(receiver.url, mine)
    async with mail.pool.connection() as conn:
        await store.disable(conn, stopped.webhook.id, "asked for")
    await mail.say(mine, 1)
    await mail.say(other, 2)
    await mail.say(None, 3)
    await mail.deliver()
    told = {
        name: [delivery.account for delivery in await mail.deliveries(issued.webhook.id)]
        for name, issued in {"operators": operators, "own": own, "keys": keys, "stopped": stopped}.items()
    }
    assert told == {"operators": [mine, other, None], "own": [mine], "keys": [], "stopped": []}
    assert sorted(got.said["data"]["number"] for got in receiver.got) == [1, 1, 2, 3]


async def test_what_fails_is_tried_again_under_the_same_id_and_then_given_up(mail: Post, receiver: Receiver) -> None:
    issued = await mail.endpoint(receiver.url)
    receiver.answer = status(500)
    await mail.say(None)
    await mail.deliver()
    [delivery] = await mail.deliveries(issued.webhook.id)
    assert (delivery.state, delivery.attempts, delivery.log[0].reason) == ("pending", 1, "HTTP 500")
    assert (await mail.shown(issued.webhook.id)).failing_since is not None
    await mail.deliver()  # not due, and the endpoint rests
    assert len(receiver.got) == 1
    for _ in WAITS:
        await mail.hasten()
        await mail.deliver()
    [delivery] = await mail.deliveries(issued.webhook.id)
    assert (delivery.state, delivery.attempts, delivery.due_at) == ("failed", len(WAITS) + 1, None)
    assert len(delivery.log) == len(receiver.got) == len(WAITS) + 1
    assert len({got.id for got in receiver.got}) == len({got.body for got in receiver.got}) == 1

    receiver.answer = status(200)
    async with mail.pool.connection() as conn:
        assert await store.replay(conn, await mail.shown(issued.webhook.id), since=None, message=delivery.id) == 1
    await mail.deliver()
    [delivery] = await mail.deliveries(issued.webhook.id)
    assert (delivery.state, delivery.attempts) == ("delivered", 1)
    assert (await mail.shown(issued.webhook.id)).failing_since is None


def test_the_waits() -> None:
    hours = [wait_after(tries).total_seconds() / 3600 for tries in range(3, 7)]
    assert (wait_after(1), wait_after(2)) == (timedelta(seconds=5), timedelta(minutes=5))
    assert hours == [0.5, 2, 5, 10]
    assert wait_after(len(WAITS) + 1) is None
    assert [rest_after(failures).total_seconds() for failures in (1, 2, 3, 6, 7, 1000)] == [5, 10, 20, 160, 300, 300]


async def test_gone_disables(mail: Post, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    issued = await mail.endpoint(receiver.url)
    receiver.answer = status(410)
    await mail.say(None)
    await mail.deliver()
    shown = await mail.shown(issued.webhook.id)
    assert shown.disabled_because == "it answered 410 Gone"
    [delivery] = await mail.deliveries(issued.webhook.id)
    assert delivery.state == "failed"
    assert issued.webhook.id in caplog.text
    assert "token=t" not in caplog.text
    await mail.say(None)
    await mail.deliver()
    assert len(receiver.got) == 1


@pytest.mark.parametrize("code", [410, 429, 503])
async def test_what_an_old_url_answers_says_nothing_of_the_new_one(mail: Post, receiver: Receiver, code: int) -> None:
    issued = await mail.endpoint(receiver.url)

    async def move(got: Got) -> bytes:
        async with mail.pool.connection() as conn:
            changes = endpoints.Changes(url=receiver.url + "&new")
            await endpoints.change(conn, mail.settings, issued.webhook.id, None, changes)
        return await status(code, "Retry-After: 600")(got)

    receiver.answer = move
    await mail.say(None)
    await mail.deliver()
    shown = await mail.shown(issued.webhook.id)
    assert (shown.disabled_because, shown.failing_since) == (None, None)
    receiver.answer = status(200)
    async with mail.pool.connection() as conn:
        await conn.execute("UPDATE webhook_deliveries SET due_at = now()")
    await mail.deliver()
    [delivery] = await mail.deliveries(issued.webhook.id)
    assert [one.status for one in delivery.log] == [code, 200]
    assert "&new" in receiver.got[1].line


async def test_failing_for_days_disables_and_enabling_begins_anew(mail: Post, receiver: Receiver) -> None:
    issued = await mail.endpoint(receiver.url)
    receiver.answer = status(503)
    await mail.say(None)
    await mail.deliver()
    async with mail.pool.connection() as conn:
        await conn.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '5 days'")
    await mail.hasten()
    await mail.deliver()
    assert (await mail.shown(issued.webhook.id)).disabled_because == "nothing got through for 5 days"

    receiver.answer = status(200)
    async with mail.pool.connection() as conn:
        changes = endpoints.Changes(disabled=False)
        enabled = await endpoints.change(conn, mail.settings, issued.webhook.id, None, changes)
    assert (enabled.disabled_at, enabled.failing_since) == (None, None)
    await mail.hasten()
    await mail.deliver()
    [delivery] = await mail.deliveries(issued.webhook.id)
    assert (delivery.state, delivery.attempts) == ("delivered", 3)


async def test_redirects_are_not_followed(mail: Post, receiver: Receiver) -> None:
    issued = await mail.endpoint(receiver.url)
    receiver.answer = status(302, f"Location: {receiver.url}&again")
    await mail.say(None)
    await mail.deliver()
    assert len(receiver.got) == 1
    [delivery] = await mail.deliveries(issued.webhook.id)
    assert delivery.log[0].reason == "redirects (HTTP 302) are not followed"


async def test_who_answers_too_late_or_without_end_has_not_answered(mail: Post, receiver: Receiver) -> None:
    never = asyncio.Event()

    async def silent(_got: Got) -> bytes:
        await never.wait()
        return b""

    async def endless(_got: Got) -> bytes:
        return b"HTTP/1.1 200 x\r\n\r\n" + b"x" * (8 << 20)

    async with Sender.opened(0.2, private=True) as sender:
        quick = courier.Courier(mail.pool, mail.settings, sender)
        issued = await mail.endpoint(receiver.url)
        receiver.answer = silent
        await mail.say(None)
        await mail.give_out()
        async with mail.pool.connection() as conn:
            target = await store.target(conn, issued.webhook.id)
        assert not await quick.serve(target)
    never.set()
    receiver.answer = endless
    await mail.hasten()
    await mail.deliver()
    [delivery] = await mail.deliveries(issued.webhook.id)
    assert [(one.status, one.reason) for one in delivery.log] == [(None, "no answer within 0.2 s"), (200, None)]


async def test_nobody_there_and_no_http(mail: Post, receiver: Receiver) -> None:
    async def nonsense(_got: Got) -> bytes:
        return b"\x00\x01 what?\r\n\r\n"

    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 x\r\n\r\n")
        await writer.drain()
        writer.close()

    receiver.answer = nonsense
    async with await asyncio.start_server(plain, "127.0.0.1", 0) as no_tls:
        port = no_tls.sockets[0].getsockname()[1]
        urls = [receiver.url, "http://127.0.0.1:9/", f"https://127.0.0.1:{port}/", "http://nowhere.invalid/"]
        made = [await mail.endpoint(url) for url in urls]
        await mail.say(None)
        await mail.deliver()
    reasons = [(await mail.deliveries(one.webhook.id))[0].log[0].reason for one in made]
    assert reasons == ["no HTTP answer (RemoteProtocolError)", "no connection", "TLS failed", "no such host"]


async def test_who_dies_between_claim_and_note_has_it_sent_again(mail: Post, receiver: Receiver) -> None:
    issued = await mail.endpoint(receiver.url)
    await mail.say(None)
    await mail.give_out()
    async with mail.pool.connection() as conn:
        [message] = await store.claim(conn, issued.webhook.id, limit=8, lease=timedelta(seconds=30))
        target = await store.target(conn, issued.webhook.id)
    assert (await mail.courier.sender.send(target, message)).delivered  # and then it is gone
    await mail.deliver()
    assert len(receiver.got) == 1
    await mail.hasten()  # the lease is over
    await mail.deliver()
    assert len(receiver.got) == 2
    assert len({got.id for got in receiver.got}) == 1
    [delivery] = await mail.deliveries(issued.webhook.id)
    assert delivery.state == "delivered"


async def test_a_new_secret_and_the_old_one_sign_together_for_a_while(mail: Post, receiver: Receiver) -> None:
    old = await mail.endpoint(receiver.url)
    async with mail.pool.connection() as conn:
        new = await endpoints.rotate(conn, mail.settings, old.webhook.id, None)
    assert new.secret != old.secret
    assert new.webhook.old_secret_ends_at is not None
    await mail.say(None)
    await mail.deliver()
    receiver.got[0].verify(new.secret)
    receiver.got[0].verify(old.secret)
    async with mail.pool.connection() as conn:
        await conn.execute("UPDATE webhook_endpoints SET old_secret_ends_at = now()")
    await mail.say(None)
    await mail.deliver()
    receiver.got[1].verify(new.secret)
    with pytest.raises(Exception, match="signature"):
        receiver.got[1].verify(old.secret)


async def test_a_slow_receiver_keeps_nobody_else_waiting(mail: Post, receiver: Receiver) -> None:
    """The courier as the service runs it: the second endpoint has all its messages before the first answers."""
    release = asyncio.Event()

    async def slow(got: Got) -> bytes:
        if "slow" in got.line:
            await release.wait()
        return await status(200)(got)

    receiver.answer = slow
    await mail.endpoint(receiver.url + "&slow")
    quick = await mail.endpoint(receiver.url)
    for number in range(20):
        await mail.say(None, number)
    running = asyncio.create_task(courier.deliver(mail.pool, mail.settings, mail.courier.sender))
    try:
        await receiver.wait_for(28)  # 20 quick ones, and the 8 slow ones that go at once
        quick_ones = [got for got in receiver.got if "slow" not in got.line]
        assert sorted(got.said["data"]["number"] for got in quick_ones) == list(range(20))
        release.set()
        await receiver.wait_for(40)
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert len(await mail.deliveries(quick.webhook.id)) == 20


async def test_a_long_queue_is_sent_by_turns(mail: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one lane, who has one message waits for one turn of who has many, though these have waited for longer."""
    monkeypatch.setattr(courier, "TURN_SECONDS", 0)
    monkeypatch.setattr(courier, "LOOK_SECONDS", 0.05)
    await mail.endpoint(receiver.url + "&many")
    for number in range(20):
        await mail.say(None, number)
    await mail.endpoint(receiver.url + "&one")
    await mail.say(None, 20)
    one_lane = msgspec.structs.replace(mail.settings, webhook_lanes=1)
    running = asyncio.create_task(courier.deliver(mail.pool, one_lane, mail.courier.sender))
    try:
        await receiver.wait_for(22)
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert ["one" in got.line for got in receiver.got] == [False] * 8 + [True] + [False] * 13


async def test_an_owners_second_comes_after_the_first_of_others(mail: Post) -> None:
    """However long it has waited; within an owner those that wait longest come first."""
    greedy, modest = await mail.account(), await mail.account()
    made = [await mail.endpoint("http://127.0.0.1:1/", account) for account in (greedy, greedy, greedy, modest)]
    names = {issued.webhook.id: name for name, issued in zip(["1", "2", "3", "modest"], made, strict=True)}
    for account in (greedy, modest):
        await mail.say(account)
    await mail.give_out()
    async with mail.pool.connection() as conn:
        for minutes, issued in zip([3, 2, 1, 0], made, strict=True):
            await conn.execute(
                "UPDATE webhook_deliveries SET due_at = now() - make_interval(mins => %s) WHERE endpoint_id = %s",
                [minutes, issued.webhook.id],
            )

        async def waiting(*busy: Issued) -> list[str]:
            found = await store.waiting(conn, busy=[issued.webhook.id for issued in busy], limit=9)
            return [names[target.endpoint_id] for target in found]

        assert await waiting() == ["1", "modest", "2", "3"]
        assert await waiting(made[1]) == ["modest", "1", "3"]
        await store.rest(conn, made[0].webhook.id, timedelta())  # its turn is over
        assert await waiting() == ["2", "modest", "3", "1"]


async def test_two_couriers_share_the_work(mail: Post, receiver: Receiver) -> None:
    issued = await mail.endpoint(receiver.url)
    for number in range(60):
        await mail.say(None, number)
    await mail.give_out()
    async with mail.pool.connection() as conn:
        target = await store.target(conn, issued.webhook.id)

    async def work() -> None:
        while await mail.courier.serve(target):
            pass

    await asyncio.gather(work(), work(), work())
    assert sorted(got.said["data"]["number"] for got in receiver.got) == list(range(60))


async def test_replay_since(mail: Post, receiver: Receiver) -> None:
    account = await mail.account()
    for number in range(3):
        await mail.say(account, number)
    await mail.give_out()
    late = await mail.endpoint(receiver.url, account)
    async with mail.pool.connection() as conn:
        assert await store.replay(conn, late.webhook, since=late.webhook.created_at, message=None) == 0
        since = late.webhook.created_at - timedelta(hours=1)
        assert await store.replay(conn, late.webhook, since=since, message=None) == 3
        assert await store.replay(conn, late.webhook, since=since, message=None) == 0  # on their way
    await mail.deliver()
    async with mail.pool.connection() as conn:
        assert await store.replay(conn, late.webhook, since=since, message=None) == 3
    await mail.deliver()
    assert len(receiver.got) == 6
    assert len({got.id for got in receiver.got}) == 3


async def test_who_is_repaired_need_not_wait(mail: Post, receiver: Receiver) -> None:
    """What waits for hours is replayed; an endpoint that moves has not failed yet."""
    issued = await mail.endpoint(receiver.url)
    receiver.answer = status(500)
    await mail.say(None)
    for _ in range(4):
        await mail.deliver()
        await mail.hasten()
    receiver.answer = status(200)
    async with mail.pool.connection() as conn:
        since = issued.webhook.created_at
        assert await store.replay(conn, issued.webhook, since=since, message=None) == 0  # it comes at once
        await conn.execute("UPDATE webhook_deliveries SET due_at = now() + interval '2 hours'")
        assert await store.replay(conn, issued.webhook, since=since, message=None) == 1
        changes = endpoints.Changes(url=receiver.url + "&new")
        moved = await endpoints.change(conn, mail.settings, issued.webhook.id, None, changes)
    assert moved.failing_since is None
    await mail.deliver()
    [delivery] = await mail.deliveries(issued.webhook.id)
    assert (delivery.state, len(receiver.got)) == ("delivered", 5)


async def test_a_test_message_is_sent_once(mail: Post, receiver: Receiver) -> None:
    issued = await mail.endpoint(receiver.url)
    attempt = await courier.test(mail.pool, mail.settings, mail.courier.sender, issued.webhook.id, None)
    assert attempt.delivered
    receiver.got[0].verify(issued.secret)
    assert receiver.got[0].said["type"] == "webhook.test"
    receiver.answer = status(500)
    attempt = await courier.test(mail.pool, mail.settings, mail.courier.sender, issued.webhook.id, None)
    assert attempt.reason == "HTTP 500"
    await mail.hasten()
    await mail.deliver()
    assert [one.state for one in await mail.deliveries(issued.webhook.id)] == ["delivered", "failed"]
    assert len(receiver.got) == 2
    async with mail.pool.connection() as conn:
        since = issued.webhook.created_at - timedelta(hours=1)
        assert await store.replay(conn, issued.webhook, since=since, message=None) == 0


async def test_old_messages_are_forgotten(mail: Post, receiver: Receiver) -> None:
    issued = await mail.endpoint(receiver.url)
    await mail.say(None, 1)
    await mail.say(None, 2)
    await mail.deliver()
    await mail.say(None, 3)  # not given out yet, however old
    async with mail.pool.connection() as conn:
        await conn.execute(
            sql.SQL(
                "UPDATE webhook_messages SET created_at = now() - interval '31 days' WHERE data ->> 'number' <> '2'"
            )
        )
    await courier.forget(mail.pool, 30)
    assert len(await mail.deliveries(issued.webhook.id)) == 1
    await mail.deliver()
    assert [got.said["data"]["number"] for got in receiver.got] == [1, 2]  # the third is from before the endpoint


async def test_secrets_are_in_no_repr(mail: Post, receiver: Receiver) -> None:
    issued = await mail.endpoint(receiver.url)
    async with mail.pool.connection() as conn:
        target = await store.target(conn, issued.webhook.id)
    assert issued.secret not in repr(issued)
    assert "token" not in repr(target)
    assert repr(target.secrets[0]) not in repr(target)


async def test_data_that_are_too_large_are_refused(mail: Post) -> None:
    async with mail.pool.connection() as conn:
        with pytest.raises(ValueError, match="too many"):
            await outbox.add(conn, "key.revoked", None, {"text": "x" * outbox.BYTES_MAX})
