"""A relay of its own for reports: they look at everybody's usage at once."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import pytest

from billing.accounts import keys
from billing.app import create_app
from billing.db.pool import Pool
from billing.metering.answers import Result
from billing.metering.events import JSON, read
from billing.metering.intake import Intake
from billing.settings import Settings
from tests import factories
from tests.cli.conftest import billing
from tests.serving import ADMIN_KEY

__all__ = ["billing"]

Events = list[dict[str, Any]]


@dataclass
class Relay:
    """The service on a database of its own, asked as the admin; `url` is the database's."""

    url: str
    pool: Pool
    intake: Intake
    client: httpx.AsyncClient

    async def account(self) -> str:
        async with self.pool.connection() as conn:
            return await factories.account(conn)

    async def post(self, events: Events) -> list[Result]:
        return await self.intake.post(read(msgspec.json.encode(events), JSON, len(events)))

    async def report(self, name: str, **query: Any) -> dict[str, Any]:
        answer = await self.client.get(f"/v1/reports/{name}", params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def refusal(self, name: str, **query: Any) -> str:
        answer = await self.client.get(f"/v1/reports/{name}", params=query)
        assert answer.status_code == 400, answer.text
        return str(answer.json()["code"])


@pytest.fixture
def url(fresh_database: str) -> str:
    """Each test's own database, for the commands too."""
    return fresh_database


@pytest.fixture
async def relay(settings: Settings) -> AsyncIterator[Relay]:
    app = create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers) as client,
    ):
        async with app.state.pool.connection() as conn:
            await keys.bootstrap(conn, ADMIN_KEY)
        yield Relay(str(settings.database_url), app.state.pool, app.state.intake, client)


Command = Callable[..., Any]
