"""Looking up names, in threads of its own: a resolver that hangs takes none that others work in.

Nothing can end a lookup but the resolver. Who stops waiting leaves it running, and who asks again waits for the same
one: so an endpoint has one thread at most.
"""

import asyncio
import socket
from concurrent.futures import Future
from threading import Thread

LOOKUPS_MAX = 32
"""At a time; further ones wait. A thread each, and more than the endpoints of one customer (BILLING_WEBHOOKS_MAX)."""


class Lookups:
    """Those that one process has under way, by who asked for them."""

    def __init__(self, most: int = LOOKUPS_MAX) -> None:
        self._free = asyncio.Semaphore(most)
        self._running: dict[str, asyncio.Task[list[str]]] = {}

    async def addresses(self, endpoint_id: str, name: str) -> list[str]:
        """What a name stands for. Raises OSError, and UnicodeError for what cannot be a name.

        One for each endpoint: another name of the same endpoint waits for the end of it.
        """
        while (lookup := self._running.get(endpoint_id)) is not None and lookup.get_name() != name:
            await asyncio.wait([lookup])
        if lookup is None:
            lookup = self._running[endpoint_id] = asyncio.create_task(self._look_up(endpoint_id, name), name=name)
        return await asyncio.shield(lookup)

    def close(self) -> None:
        """Wait for none. Their threads end with the process."""
        for lookup in self._running.values():
            lookup.cancel()

    async def _look_up(self, endpoint_id: str, name: str) -> list[str]:
        try:
            async with self._free:
                found: Future[list[str]] = Future()
                found.set_running_or_notify_cancel()
                Thread(target=_ask, args=(name, found), name="webhook lookup", daemon=True).start()
                return await asyncio.wrap_future(found)
        finally:
            del self._running[endpoint_id]


def _ask(name: str, found: "Future[list[str]]") -> None:
    try:
        places = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        found.set_exception(error)
    else:
        found.set_result([str(place[0]) for *_, place in places])
