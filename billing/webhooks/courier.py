"""The courier: gives messages out to endpoints and delivers them, for ever; any number of processes at once.

Each endpoint is served by itself, so that a slow one keeps nobody else waiting. A delivery is claimed for a while,
sent without any transaction open, and noted. Who dies in between has claimed it in vain: it is sent again under the
same id. So each message comes at least once.
"""

import asyncio
import logging
import secrets
import time
from datetime import timedelta

import psycopg
from psycopg_pool import PoolTimeout

from billing.db.pool import Connection, Pool
from billing.observe.metrics import WEBHOOKS
from billing.settings import Settings
from billing.webhooks import store
from billing.webhooks.messages import GONE, Attempt, Message, Target, rest_after, wait_after
from billing.webhooks.sending import Sender

LOOK_SECONDS = 1
GIVEN_OUT_AT_ONCE = 500
SENT_AT_ONCE = 8
"""To one endpoint."""
TURN_SECONDS = 10
"""After so long it is another endpoint's turn. This one is looked at anew then: it may have another secret, or URL."""
LEASE_SLACK = timedelta(seconds=30)
"""Beyond the longest attempt, for the database."""
FORGOTTEN_AT_ONCE = 5_000
SPREAD = 10
"""A wait is made longer by up to a tenth, so that what failed together does not come back together."""

log = logging.getLogger(__name__)


class Courier:
    """Delivers. One for each process."""

    def __init__(self, pool: Pool, settings: Settings, sender: Sender) -> None:
        self.pool = pool
        self.settings = settings
        self.sender = sender
        self._busy: set[str] = set()

    async def run(self) -> None:
        """Until cancelled. Raises psycopg.Error and PoolTimeout when the database is lost."""
        try:
            async with asyncio.TaskGroup() as serving:
                while True:
                    for target in await self._waiting():
                        self._busy.add(target.endpoint_id)
                        serving.create_task(self._serve_safely(target))
                    await asyncio.sleep(LOOK_SECONDS)
        except ExceptionGroup as stopped:
            raise stopped.exceptions[0] from None

    async def _waiting(self) -> list[Target]:
        async with self.pool.connection() as conn:
            while await store.give_out(conn, GIVEN_OUT_AT_ONCE) == GIVEN_OUT_AT_ONCE:
                pass
            free = self.settings.webhook_lanes - len(self._busy)
            return await store.waiting(conn, busy=self._busy, limit=free) if free else []

    async def _serve_safely(self, target: Target) -> None:
        """What goes wrong here stops no other; what was claimed comes again when its lease is over."""
        try:
            await self._serve_a_turn(target)
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("deliveries to %s were stopped and are tried again: %s", target.endpoint_id, error)
        except Exception:
            log.exception("deliveries to %s failed unexpectedly", target.endpoint_id)
        finally:
            self._busy.discard(target.endpoint_id)

    async def _serve_a_turn(self, target: Target) -> None:
        until = time.monotonic() + TURN_SECONDS
        while await self.serve(target):
            if time.monotonic() >= until:
                async with self.pool.connection() as conn:
                    await store.rest(conn, target.endpoint_id, timedelta())  # it waits from now on
                break

    async def serve(self, target: Target) -> bool:
        """Send what is due for an endpoint, some at a time. Whether to go on: something got through, and nobody asked
        to be left alone."""
        async with self.pool.connection() as conn:
            lease = lease_of(self.settings)
            messages = await store.claim(conn, target.endpoint_id, limit=SENT_AT_ONCE, lease=lease)
        if not messages:
            return False
        attempts = await asyncio.gather(*(self.sender.send(target, message) for message in messages))
        await self._note(target, list(zip(messages, attempts, strict=True)))
        return any(attempt.delivered for attempt in attempts) and not any(attempt.retry_after for attempt in attempts)

    async def _note(self, target: Target, made: list[tuple[Message, Attempt]]) -> None:
        """What an URL answered says nothing of an endpoint that has moved meanwhile; that one is tried again."""
        async with self.pool.connection() as conn, conn.transaction():
            is_there = await store.lock(conn, target)
            for message, attempt in made:
                is_gone = attempt.status == GONE and is_there
                wait = None if is_gone else _spread(wait_after(message.attempts + 1))
                await store.settle(conn, target.endpoint_id, message.id, attempt, wait)
                WEBHOOKS.labels("delivered" if attempt.delivered else "failed").inc()
            if is_there:
                await self._note_of_endpoint(conn, target, [attempt for _, attempt in made])

    async def _note_of_endpoint(self, conn: Connection, target: Target, attempts: list[Attempt]) -> None:
        if any(attempt.status == GONE for attempt in attempts):
            await self._disable(conn, target, "it answered 410 Gone")
        elif any(attempt.delivered for attempt in attempts):
            await store.recovered(conn, target.endpoint_id)
        else:
            await self._rest(conn, target)
        if asked := max(attempt.retry_after or 0 for attempt in attempts):
            await store.rest(conn, target.endpoint_id, timedelta(seconds=asked))

    async def _rest(self, conn: Connection, target: Target) -> None:
        failures, since = await store.failing(conn, target.endpoint_id)
        if since >= timedelta(days=self.settings.webhook_failing_days_max):
            await self._disable(conn, target, f"nothing got through for {since.days} days")
        else:
            await store.rest(conn, target.endpoint_id, rest_after(failures))

    async def _disable(self, conn: Connection, target: Target, because: str) -> None:
        await store.disable(conn, target.endpoint_id, because)
        log.warning("the webhook %s is disabled: %s", target.endpoint_id, because)


def lease_of(settings: Settings) -> timedelta:
    """How long a delivery is nobody else's after it was claimed."""
    return timedelta(seconds=settings.webhook_seconds_max) + LEASE_SLACK


def _spread(wait: timedelta | None) -> timedelta | None:
    if wait is None:
        return None
    return wait + timedelta(seconds=secrets.randbelow(1 + int(wait.total_seconds()) // SPREAD))


async def deliver(pool: Pool, settings: Settings, sender: Sender) -> None:
    """The chore: a courier until cancelled."""
    await Courier(pool, settings, sender).run()


async def test(pool: Pool, settings: Settings, sender: Sender, endpoint_id: str, owner: str | None) -> Attempt:
    """Send a message made for this, once. The endpoint may be disabled, and stays what it is.

    Raises NotFound, and TooMany.
    """
    async with pool.connection() as conn, conn.transaction():
        endpoint = await store.find(conn, endpoint_id, owner)
        await store.check_tests(conn, endpoint, settings.webhook_tests_max)
        target = await store.target(conn, endpoint_id)
        message = await store.add_test(conn, endpoint, lease_of(settings))
    attempt = await sender.send(target, message)
    async with pool.connection() as conn:
        await store.settle(conn, endpoint_id, message.id, attempt, None)
    return attempt


async def forget(pool: Pool, days: int) -> None:
    """Delete the messages that are too old, and what became of them."""
    async with pool.connection() as conn:
        while await store.forget(conn, days, FORGOTTEN_AT_ONCE) == FORGOTTEN_AT_ONCE:
            pass
