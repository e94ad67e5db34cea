"""Work of many milliseconds, done beside the event loop: requests of others are answered meanwhile.

It is Python and shares the interpreter's lock, so it makes nothing faster; it only never makes anybody wait for long.
"""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


class Aside:
    """A thread of one event loop: it does one piece of work after the other.

    Work on at most `at_once_max` things is not worth the way to it, and done at once.
    """

    def __init__(self, at_once_max: int) -> None:
        self._at_once_max = at_once_max
        self._place = CapacityLimiter(1)

    async def do(self, things: int, work: Callable[Asked, Answer], *args: Asked.args, **named: Asked.kwargs) -> Answer:
        """What the work on so many things gives, or its exception."""
        if things <= self._at_once_max:
            return work(*args, **named)
        return await to_thread.run_sync(partial(work, *args, **named), limiter=self._place)
