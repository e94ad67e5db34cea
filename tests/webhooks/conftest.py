"""A service with webhooks, on a database of its own, and somebody who receives them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import pytest

from billing import outbox
from billing.db.pool import Pool, open_pool
from billing.pages import Page
from billing.settings import Settings
from billing.webhooks import endpoints, store
from billing.webhooks.courier import Courier
from billing.webhooks.endpoints import Issued
from billing.webhooks.sending import Sender
from billing.webhooks.store import Delivery
from tests import factories
from tests.invoices.conftest import Relay
from tests.webhooks.receiver import Receiver, receiving


@dataclass
class Post:
    """The outbox and the courier, by hand: `deliver` sends all that is due now and ends."""

    pool: Pool
    settings: Settings
    courier: Courier

    async def account(self) -> str:
        async with self.pool.connection() as conn:
            return await factories.account(conn)

    async def endpoint(self, url: str, account: str | None = None, types: list[str] | None = None) -> Issued:
        async with self.pool.connection() as conn:
            return await endpoints.create(conn, self.settings, owner=None, account=account, url=url, types=types)

    async def say(self, account: str | None, number: int = 1) -> None:
        async with self.pool.connection() as conn:
            await outbox.add(conn, "invoice.finalized", account, {"number": number})

    async def give_out(self) -> int:
        async with self.pool.connection() as conn:
            return await store.give_out(conn, 100)

    async def deliver(self) -> None:
        await self.give_out()
        async with self.pool.connection() as conn:
            targets = await store.waiting(conn, busy=[], limit=100)
        for target in targets:
            while await self.courier.serve(target):
                pass

    async def hasten(self) -> None:
        """As if all that is waited for had come."""
        async with self.pool.connection() as conn:
            await conn.execute("UPDATE webhook_deliveries SET due_at = now() WHERE state = 'pending'")
            await conn.execute("UPDATE webhook_endpoints SET rests_until = NULL")

    async def deliveries(self, endpoint_id: str) -> list[Delivery]:
        """Oldest first."""
        async with self.pool.connection() as conn:
            found, _ = await store.deliveries(conn, endpoint_id, None, Page(100))
        return found[::-1]

    async def shown(self, endpoint_id: str) -> store.Endpoint:
        async with self.pool.connection() as conn:
            return await store.find(conn, endpoint_id, None)


@pytest.fixture
async def mail(fresh_database: str, settings: Settings) -> AsyncIterator[Post]:
    ours = msgspec.structs.replace(settings, database_url=fresh_database, webhook_private=True, webhook_seconds_max=5.0)
    async with await open_pool(ours, fresh_database) as pool, Sender.opened(5.0, private=True) as sender:
        yield Post(pool, ours, Courier(pool, ours, sender))


@pytest.fixture
def relay(pool: Pool, settings: Settings) -> Relay:
    return Relay(pool, settings)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver
