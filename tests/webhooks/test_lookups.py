"""A resolver that hangs: it keeps waiting who asks it, and nobody else."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from billing.webhooks.lookups import Lookups
from billing.webhooks.messages import Attempt, Message, Target
from billing.webhooks.sending import Sender
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.anyio

MESSAGE = Message(id="msg_1", type="webhook.test", created_at=datetime(2026, 11, 1, tzinfo=UTC), data={})


class Resolver:
    """The system's, which hangs on names below `.hangs` until it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = threading.Event()
        self._ask = socket.getaddrinfo

    def __call__(self, name: str, *arguments: object, **options: object) -> list[tuple[object, ...]]:
        self.asked.append(name)
        if name.endswith(".hangs"):
            assert self.go.wait(60)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
        return self._ask(name, *arguments, **options)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.go.set()


async def test_endpoints_whose_names_hang_keep_nobody_else_waiting(resolver: Resolver, receiver: Receiver) -> None:
    """Each has one lookup, however often it is tried, and none in the threads that all of the service shares."""

    async def send(number: int) -> Attempt:
        return await sender.send(Target(f"we_{number}", f"http://{number}.hangs:{receiver.port}/", (b"s",)), MESSAGE)

    async with Sender.opened(0.3, private=True) as sender:
        for _ in range(2):
            attempts = await asyncio.gather(*(send(number) for number in range(20) for _ in range(8)))
            assert {attempt.reason for attempt in attempts} == {"no answer within 0.3 s"}
        assert sorted(resolver.asked) == sorted(f"{number}.hangs" for number in range(20))
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(lambda: "at work") == "at work"
        sender.seconds_max = 10
        target = Target("we_other", receiver.url.replace("127.0.0.1", "localhost"), (b"s",))
        assert (await sender.send(target, MESSAGE)).delivered
        resolver.go.set()
        assert (await send(7)).delivered


async def test_lookups_wait_for_a_thread(resolver: Resolver) -> None:
    lookups = Lookups(2)
    waiting = [asyncio.create_task(lookups.addresses(f"we_{number}", f"{number}.hangs")) for number in range(3)]
    third = asyncio.create_task(lookups.addresses("we_1", "127.0.0.1"))
    done, _ = await asyncio.wait([*waiting, third], timeout=0.2)
    assert (done, len(resolver.asked)) == (set(), 2)
    resolver.go.set()
    assert await asyncio.gather(*waiting, third) == [["127.0.0.1"]] * 4
    assert resolver.asked[2:] in (["2.hangs", "127.0.0.1"], ["127.0.0.1", "2.hangs"])


async def test_a_name_that_is_not_there_is_asked_for_again(resolver: Resolver) -> None:
    lookups = Lookups()
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await lookups.addresses("we_1", "nowhere.invalid")
    assert len(resolver.asked) == 2
    with pytest.raises(UnicodeError, match="label"):
        await lookups.addresses("we_1", "x" * 64 + ".example")
