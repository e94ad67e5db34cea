"""Gathered work: who gets which answer, what fails with whom, and how much waits."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import pytest

from billing.errors import Unavailable
from billing.gather import Bounds, Gatherer

pytestmark = pytest.mark.anyio

Doubles = Gatherer[int, int]


class Doubler:
    """Doubles numbers, a batch at a time and no sooner than it is let; remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = asyncio.Semaphore(0)
        self.let = asyncio.Semaphore(0)

    async def __call__(self, numbers: list[int]) -> list[int | Exception]:
        self.batches.append(numbers)
        self.begun.release()
        await self.let.acquire()
        if 13 in numbers:
            raise RuntimeError("thirteen")
        return [ValueError(str(number)) if number < 0 else 2 * number for number in numbers]


def gatherer(
    work: Doubler, *, lanes: int = 1, items_max: int = 4, waiting_max: int = 8, seconds_max: float = 60
) -> Doubles:
    return Gatherer(work, lanes=lanes, items_max=items_max, bounds=Bounds(waiting_max, seconds_max))


def asking(gathering: Doubles, *numbers: int) -> list["asyncio.Task[int]"]:
    return [asyncio.create_task(gathering.ask(number)) for number in numbers]


async def outcomes(tasks: list["asyncio.Task[int]"]) -> list[int | BaseException]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_comes_while_a_batch_runs_is_the_next_batch_in_order() -> None:
    work = Doubler()
    gathering = gatherer(work)
    first = asking(gathering, 1)
    await work.begun.acquire()
    others = asking(gathering, 2, 3, 4, 5, 6)
    await asyncio.sleep(0)
    for _ in range(3):
        work.let.release()
    assert await outcomes(first + others) == [2, 4, 6, 8, 10, 12]
    assert work.batches == [[1], [2, 3, 4, 5], [6]]


async def test_alone_it_waits_for_nobody() -> None:
    work = Doubler()
    work.let = asyncio.Semaphore(3)
    gathering = gatherer(work)
    assert [await gathering.ask(number) for number in (1, 2, 3)] == [2, 4, 6]
    assert work.batches == [[1], [2], [3]]


async def test_as_many_batches_run_at_once_as_there_are_lanes() -> None:
    work = Doubler()
    gathering = gatherer(work, lanes=2, items_max=1)
    tasks = asking(gathering, 1, 2, 3)
    await work.begun.acquire()
    await work.begun.acquire()
    assert work.batches == [[1], [2]]
    for _ in range(3):
        work.let.release()
    assert await outcomes(tasks) == [2, 4, 6]


async def test_an_exception_of_one_is_its_own_and_one_of_the_work_is_everybodys() -> None:
    work = Doubler()
    work.let = asyncio.Semaphore(9)
    gathering = gatherer(work)
    assert [repr(one) for one in await outcomes(asking(gathering, 1, -2, 3))] == ["2", "ValueError('-2')", "6"]
    assert {repr(one) for one in await outcomes(asking(gathering, 1, 13))} == {"RuntimeError('thirteen')"}
    assert await gathering.ask(4) == 8


async def test_who_gives_up_disturbs_nobody() -> None:
    work = Doubler()
    gathering = gatherer(work)
    under_way = asking(gathering, 1, 2)
    await work.begun.acquire()
    waiting = asking(gathering, 3, 4)
    await asyncio.sleep(0)
    under_way[0].cancel()
    waiting[0].cancel()
    await asyncio.sleep(0)
    work.let.release()
    work.let.release()
    assert [type(one).__name__ for one in await outcomes(under_way + waiting)] == [
        "CancelledError",
        "int",
        "CancelledError",
        "int",
    ]
    assert work.batches == [[1, 2], [4]]


async def test_more_than_may_wait_are_refused_and_told_when_to_come_again() -> None:
    work = Doubler()
    gathering = gatherer(work, items_max=1, waiting_max=2)
    under_way = asking(gathering, 1)
    await work.begun.acquire()
    waiting = asking(gathering, 2, 3)
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as refused:
        await gathering.ask(4)
    assert (refused.value.code, refused.value.retry_after) == ("overloaded", 1)
    for _ in range(3):
        work.let.release()
    assert await outcomes(under_way + waiting) == [2, 4, 6]


async def test_who_waits_for_too_long_is_told_and_who_came_later_is_not() -> None:
    work = Doubler()
    gathering = gatherer(work, items_max=1, seconds_max=0.05)
    under_way = asking(gathering, 1)
    await work.begun.acquire()
    [early] = asking(gathering, 2)
    await asyncio.sleep(0.03)
    [late] = asking(gathering, 3)
    await asyncio.wait([early])
    assert not late.done()
    work.let.release()
    work.let.release()
    refused, *answers = await outcomes([early, *under_way, late])
    assert isinstance(refused, Unavailable)
    assert (refused.code, answers, work.batches) == ("overloaded", [2, 6], [[1], [3]])


async def test_it_can_be_waited_for_until_nothing_is_under_way() -> None:
    work = Doubler()
    gathering = gatherer(work, items_max=1)
    tasks = asking(gathering, 1, 2)
    await work.begun.acquire()
    drained = asyncio.create_task(gathering.drain())
    await asyncio.sleep(0)
    assert not drained.done()
    work.let.release()
    work.let.release()
    await drained
    assert [task.result() for task in tasks] == [2, 4]
    await gathering.drain()


async def test_work_that_is_cancelled_cancels_who_waits_for_it() -> None:
    async def cancelled(numbers: list[int]) -> list[int | Exception]:
        raise asyncio.CancelledError

    tasks = asking(Gatherer(cancelled, lanes=1, items_max=2, bounds=Bounds(2, 60)), 1, 2)
    assert [type(one) for one in await outcomes(tasks)] == [asyncio.CancelledError] * 2


async def test_a_batch_knows_nothing_of_whose_request_began_it() -> None:
    whose: ContextVar[str] = ContextVar("whose", default="nobody's")

    async def tell(numbers: list[int]) -> list[str | Exception]:
        return [whose.get()] * len(numbers)

    tell_of: Callable[[list[int]], Awaitable[list[str | Exception]]] = tell
    whose.set("mine")
    assert await Gatherer(tell_of, lanes=1, items_max=2, bounds=Bounds(2, 60)).ask(1) == "nobody's"
