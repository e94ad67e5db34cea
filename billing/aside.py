"""Work of many milliseconds, done beside the event loop: requests of others are answered meanwhile.

It is Python and shares the interpreter's lock, so it makes nothing faster; it only never makes anybody wait for long.
One thread does it, one piece of work after the other, since several would only take turns from the loop.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Final, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

TURN_SECONDS: Final = 0.0001
"""The longest that the loop waits for the thread to let go of the interpreter, instead of Python's 5 ms."""


class Aside:
    """The thread of one event loop."""

    def __init__(self) -> None:
        self._place = CapacityLimiter(1)
        sys.setswitchinterval(TURN_SECONDS)

    async def do(self, work: Callable[Asked, Answer], *args: Asked.args, **named: Asked.kwargs) -> Answer:
        """What the work gives, or its exception."""
        return await to_thread.run_sync(partial(work, *args, **named), limiter=self._place)
