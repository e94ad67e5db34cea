"""Balances read at the same time with one query: each gets its own, as it is now."""

import asyncio

import httpx
import pytest

from billing.credits import current
from billing.credits.current import Asked
from billing.db.pool import Connection, Pool
from billing.errors import Unauthorized
from billing.gather import Bounds
from tests import factories

pytestmark = pytest.mark.anyio


async def test_each_gets_its_own_balance_and_what_one_asks_is_nobody_elses_fault(pool: Pool, conn: Connection) -> None:
    accounts = [await factories.account(conn) for _ in range(5)]
    for number, account in enumerate(accounts):
        await conn.execute("UPDATE balances SET credit_limit = %s WHERE account_id = %s", [number, account])
    admin, customer = await factories.key(conn, "admin"), await factories.key(conn, "customer", accounts[1])
    balances = current.gathered(pool, Bounds(100, 60))
    asked = [
        *(Asked(admin, account) for account in accounts),
        Asked(admin, accounts[3]),
        Asked(customer, None),
        Asked(customer, accounts[2]),
        *(Asked(admin, nobody) for nobody in (None, "acct_nobody", "a\0b", "\ud800", f"{accounts[0]}\n")),
        Asked("idr_nobody", accounts[0]),
    ]
    *told, stranger = await asyncio.gather(*map(balances.ask, asked), return_exceptions=True)
    found = [None if balance is None else balance.account_id for _, balance in told]  # type: ignore[misc]
    assert found == [*accounts, accounts[3], accounts[1], accounts[1], *[None] * 5]
    assert [balance.credit_limit for _, balance in told[:5]] == [number * 10**12 for number in range(5)]  # type: ignore
    assert {principal.account_id for principal, _ in told[6:8]} == {accounts[1]}  # type: ignore[misc]
    assert isinstance(stranger, Unauthorized)


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
