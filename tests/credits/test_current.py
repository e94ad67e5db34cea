"""Balances read at the same time with one query: each gets its own, as it is now."""

import asyncio

import httpx
import pytest

from billing.credits import current
from billing.db.pool import Connection, Pool
from billing.errors import NotFound
from billing.gather import Bounds
from tests import factories

pytestmark = pytest.mark.anyio


async def test_each_gets_its_own_balance_and_an_unknown_account_is_nobody_elses_fault(
    pool: Pool, conn: Connection
) -> None:
    accounts = [await factories.account(conn) for _ in range(5)]
    for number, account in enumerate(accounts):
        await conn.execute("UPDATE balances SET credit_limit = %s WHERE account_id = %s", [number, account])
    balances = current.gathered(pool, Bounds(100, 60))
    asked = [*accounts, "acct_nobody", accounts[3]]
    *found, unknown, again = await asyncio.gather(*map(balances.ask, asked), return_exceptions=True)
    assert [one.credit_limit for one in found] == [number * 10**12 for number in range(5)]  # type: ignore[union-attr]
    assert isinstance(unknown, NotFound)
    assert again.account_id == accounts[3]  # type: ignore[union-attr]


async def test_a_balance_shows_what_was_acknowledged_before_it_was_asked_for(
    client: httpx.AsyncClient, conn: Connection
) -> None:
    account = await factories.account(conn)
    for number in range(1, 6):
        posted, _ = await asyncio.gather(
            client.post(
                f"/v1/accounts/{account}/top-ups",
                json={"amount": "1"},
                headers={"Idempotency-Key": f"{account}{number}"},
            ),
            client.get("/v1/balance", params={"account": account}),
        )
        assert posted.status_code == 201
        told = await asyncio.gather(*(client.get("/v1/balance", params={"account": account}) for _ in range(5)))
        assert {answer.json()["posted"] for answer in told} == {str(number)}
