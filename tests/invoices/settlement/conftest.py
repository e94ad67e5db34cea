"""An October that was closed: something was used, nothing was paid."""

from typing import Any

import httpx
import pytest

from billing.db.pool import Connection, Pool
from billing.invoices.invoice import Invoice
from tests.invoices.conftest import Relay


@pytest.fixture
async def invoice(relay: Relay) -> Invoice:
    """Two lines, of 32.97 and 20.1 dollars; all of it is due."""
    account = await relay.account()
    await relay.use(account, "2026-10-02T00:00Z", tokens=(2_198_000, 670_000))
    return await relay.invoiced("2026-10", account)


class Bookkeeper:
    """Posts to the API as an admin, each time with a key of its own."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.keys = 0

    async def post(self, url: str, key: str | None = None, **body: Any) -> httpx.Response:
        self.keys += 1
        return await self.client.post(
            f"/v1/{url}", json=body, headers={"Idempotency-Key": key or f"{id(self)} {self.keys}"}
        )

    async def done(self, url: str, **body: Any) -> dict[str, Any]:
        answer = await self.post(url, **body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def refused(self, url: str, **body: Any) -> tuple[int, str]:
        answer = await self.post(url, **body)
        return answer.status_code, answer.json()["code"]

    async def standing(self, invoice: Invoice) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(f"/v1/invoices/{invoice.id}")).json()["standing"]
        return found

    async def balance(self, invoice: Invoice) -> str:
        posted: str = (await self.client.get(f"/v1/accounts/{invoice.account_id}/balance")).json()["posted"]
        return posted


@pytest.fixture
async def books(client: httpx.AsyncClient) -> Bookkeeper:
    return Bookkeeper(client)


async def taxed(pool: Pool, account: str, percent: str, *, inclusive: bool = False) -> None:
    """Let an account pay a tax from the beginning on."""
    rate = f"r{abs(hash((account, percent, inclusive))):x}"
    async with pool.connection() as conn:
        await _tax(conn, account, rate, percent, inclusive)


async def _tax(conn: Connection, account: str, rate: str, percent: str, inclusive: bool) -> None:
    await conn.execute(
        "INSERT INTO tax_rates (id, name, percent, inclusive, reverse_charge, actor) "
        "VALUES (%s, 'VAT', %s::numeric, %s, false, 'test')",
        [rate, percent, inclusive],
    )
    await conn.execute(
        "INSERT INTO account_taxes (account_id, rates, effective_from, actor) VALUES (%s, %s, '2020-01-01Z', 'test')",
        [account, [rate]],
    )
