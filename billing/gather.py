"""Concurrent requests gathered into one piece of work: while one batch is under way, the next one collects.

What costs a transaction each costs one for all who come meanwhile, and nobody waits for others to come: when nothing is
under way, a request is at once a batch of its own (anchors.md, group commit).

    lookups = Gatherer(look_up_all, lanes=1, items_max=500, bounds=Bounds(10_000, 5))
    principal = await lookups.ask(token)
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, NamedTuple, TypeVar

from billing.errors import Unavailable

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Work = Callable[[list[Asked]], Awaitable[Sequence[Answer | Exception]]]
"""Answers a batch, one answer for each item in their order; an answer that is an exception is raised to who asked."""

RETRY_AFTER_SECONDS = 1


class Bounds(NamedTuple):
    """How many may wait for their batch to begin, and for how long."""

    waiting_max: int
    seconds_max: float


class _Waiting(NamedTuple, Generic[Asked, Answer]):
    """Who waits for a batch to begin, and since when (the loop's clock)."""

    item: Asked
    answer: "asyncio.Future[Answer]"
    since: float


class Gatherer(Generic[Asked, Answer]):
    """Gathers for `work`: at most `items_max` a batch in order of arrival, at most `lanes` batches at once.

    An exception of the work is that of each who is in the batch. Who is cancelled while waiting is left out; in a batch
    under way that changes nothing, and nobody hears the answer.
    """

    def __init__(self, work: Work[Asked, Answer], *, lanes: int, items_max: int, bounds: Bounds) -> None:
        assert lanes > 0
        assert items_max > 0
        assert bounds.waiting_max > 0
        assert bounds.seconds_max > 0
        self._work = work
        self._lanes = lanes
        self._items_max = items_max
        self._bounds = bounds
        self._waiting: deque[_Waiting[Asked, Answer]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._watch: asyncio.TimerHandle | None = None

    async def ask(self, item: Asked) -> Answer:
        """The answer for this item. Raises Unavailable when too many wait already, or this one has for too long."""
        if len(self._waiting) >= self._bounds.waiting_max:
            raise _overloaded()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append(_Waiting(item, answer, loop.time()))
        if len(self._running) < self._lanes:
            # A context of its own: what a batch logs belongs to no single request.
            self._running.add(asyncio.create_task(self._run(), context=Context()))
        elif self._watch is None:
            self._watch = loop.call_later(self._bounds.seconds_max, self._turn_away)
        return await answer

    async def drain(self) -> None:
        """Until nothing waits and nothing is under way."""
        while self._running:
            await asyncio.wait(self._running)

    async def _run(self) -> None:
        """One lane: batch after batch until nobody waits. Who asks from then on begins another."""
        try:
            while batch := self._next():
                await self._answer(batch)
        finally:
            self._running.remove(asyncio.current_task())  # type: ignore[arg-type]

    def _turn_away(self) -> None:
        """Tell those who have waited for too long; one clock for all, set for who comes next."""
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0].since + self._bounds.seconds_max <= loop.time():
            _settle([self._waiting.popleft().answer], [_overloaded()])
        self._watch = None
        if self._waiting:
            self._watch = loop.call_at(self._waiting[0].since + self._bounds.seconds_max, self._turn_away)

    async def _answer(self, batch: list[_Waiting[Asked, Answer]]) -> None:
        answers = [one.answer for one in batch]
        try:
            found = await self._work([one.item for one in batch])
            assert len(found) == len(batch)
        except Exception as error:
            _settle(answers, [error] * len(batch))
        except BaseException:
            for answer in answers:
                answer.cancel()
            raise
        else:
            _settle(answers, found)

    def _next(self) -> list[_Waiting[Asked, Answer]]:
        """The next batch: who has waited longest, without those who have given up."""
        batch: list[_Waiting[Asked, Answer]] = []
        while self._waiting and len(batch) < self._items_max:
            one = self._waiting.popleft()
            if not one.answer.done():
                batch.append(one)
        return batch


def _overloaded() -> Unavailable:
    sentence = "Too many requests wait for the database; nothing was done for this one."
    return Unavailable("overloaded", sentence, retry_after=RETRY_AFTER_SECONDS)


def _settle(answers: Sequence["asyncio.Future[Answer]"], found: Sequence[Answer | Exception]) -> None:
    for answer, one in zip(answers, found, strict=True):
        if answer.done():
            continue
        if isinstance(one, Exception):
            answer.set_exception(one)
        else:
            answer.set_result(one)
