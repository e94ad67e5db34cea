"""Top-ups, adjustments and the journal over HTTP: exact, and done once however often they are sent."""

import asyncio
from typing import Any

import httpx
import pytest

from billing import idempotency
from billing.accounts.keys import BOOTSTRAP_ID
from billing.db.pool import Connection, Pool
from tests.api.test_accounts import made
from tests.metering.events import GPT_4_CHARGE, event

pytestmark = pytest.mark.anyio


async def move(client: httpx.AsyncClient, account: str, kind: str, key: str | None, **body: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await client.post(f"/v1/accounts/{account}/{kind}", json=body, headers=headers)


async def posted(client: httpx.AsyncClient, account: str) -> str:
    return str((await client.get(f"/v1/accounts/{account}/balance")).json()["posted"])


async def test_the_journal_tells_every_movement_to_the_last_digit(client: httpx.AsyncClient) -> None:
    account = await made(client)
    await move(client, account, "top-ups", "1", amount="12.50", reference="bank 17")
    await client.post("/v1/events", json=event(account))
    await move(client, account, "adjustments", "2", amount="-0.000000000001", reason="a test of the finest unit")
    journal = (await client.get("/v1/postings", params={"account": account})).json()["data"]
    told = [
        (row["seq"], row["kind"], row["source"], row["destination"], row["amount"], row["balance"]) for row in journal
    ]
    assert told == [
        (3, "adjustment", "wallet", "adjustments", "0.000000000001", "12.499414999999"),
        (2, "usage", "wallet", "revenue", GPT_4_CHARGE, "12.499415"),
        (1, "top_up", "cash", "wallet", "12.5", "12.5"),
    ]
    assert await posted(client, account) == "12.499414999999"
    first = (await client.get("/v1/postings", params={"account": account, "limit": 2})).json()
    rest = {"account": account, "starting_after": first["data"][-1]["id"]}
    assert [row["seq"] for row in (await client.get("/v1/postings", params=rest)).json()["data"]] == [1]
    newer = {"account": account, "ending_before": journal[-1]["id"], "limit": 1}
    before = (await client.get("/v1/postings", params=newer)).json()
    assert ([row["seq"] for row in before["data"]], before["has_more"]) == ([2], True)
    for edges, code in {
        (("starting_after", "1.1"), ("ending_before", "1.1")): "two_cursors",
        (("starting_after", f"{journal[0]['transaction']}.9"),): "unknown_cursor",
        (("starting_after", "9" * 40 + ".1"),): "unknown_cursor",
        (("ending_before", "x"),): "unknown_cursor",
    }.items():
        refused = await client.get("/v1/postings", params={"account": account, **dict(edges)})
        assert (refused.status_code, refused.json()["code"]) == (400, code)


async def test_the_same_key_is_the_same_top_up(client: httpx.AsyncClient) -> None:
    account = await made(client)
    first = await move(client, account, "top-ups", "k", amount="10")
    again = await move(client, account, "top-ups", "k", amount="10")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = await move(client, account, "top-ups", "k", amount="11")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = await move(client, await made(client), "top-ups", "k", amount="10")
    assert elsewhere.status_code == 422
    queried = await move(client, account, "top-ups?for=another", "k", amount="10")
    assert (queried.status_code, queried.json()["code"]) == (422, "idempotency_key_reused")
    assert await posted(client, account) == "10"


async def test_while_the_first_with_a_key_is_at_work_the_second_is_told(
    client: httpx.AsyncClient, conn: Connection
) -> None:
    account = await made(client)
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{BOOTSTRAP_ID} {account}"])
        answer = await move(client, account, "top-ups", account, amount="10")
        assert (answer.status_code, answer.json()["code"]) == (409, "still_running")
    assert (await move(client, account, "top-ups", account, amount="10")).status_code == 201


async def test_many_at_once_with_one_key_top_up_once(client: httpx.AsyncClient) -> None:
    account = await made(client)
    answers = await asyncio.gather(*(move(client, account, "top-ups", "once", amount="10") for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    assert await posted(client, account) == "10"


async def test_a_refused_top_up_leaves_its_key_free(client: httpx.AsyncClient) -> None:
    refused = await move(client, "acct_not_yet", "top-ups", "later", amount="10")
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_account")
    assert (await move(client, await made(client), "top-ups", "later", amount="10")).status_code == 201


@pytest.mark.parametrize("key", [None, "", "x" * 256])
async def test_money_is_moved_only_with_an_idempotency_key(client: httpx.AsyncClient, key: str | None) -> None:
    account = await made(client)
    answer = await move(client, account, "top-ups", key, amount="10")
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key")
    assert await posted(client, account) == "0"


@pytest.mark.parametrize(
    "amount", ["0", "-1", "1e3", "NaN", "1,5", "", " 1", "0.0000000000001", "1" * 10, 10, 1.5, None, True]
)
async def test_what_is_no_amount_is_refused_at_its_place(client: httpx.AsyncClient, amount: Any) -> None:
    account = await made(client)
    answer = await move(client, account, "top-ups", "k", amount=amount)
    assert answer.status_code == 400
    assert [error["path"] for error in answer.json()["errors"]] == ["$.amount"]
    assert await posted(client, account) == "0"


async def test_an_adjustment_needs_a_reason_and_an_amount(client: httpx.AsyncClient) -> None:
    account = await made(client)
    without_reason = await move(client, account, "adjustments", "a", amount="1")
    nothing = await move(client, account, "adjustments", "b", amount="0", reason="none")
    assert [answer.json()["errors"][0]["path"] for answer in (without_reason, nothing)] == ["$.reason", "$.amount"]


async def test_money_is_dated_into_the_open_past_only(client: httpx.AsyncClient, conn: Connection) -> None:
    account = await made(client)
    dated = await move(client, account, "top-ups", f"{account} 1", amount="10", effective_at="2026-10-01T00:00:00Z")
    assert dated.json()["effective_at"] == "2026-10-01T00:00:00Z"
    future = await move(client, account, "top-ups", f"{account} 2", amount="10", effective_at="2199-01-01T00:00:00Z")
    assert (future.status_code, future.json()["code"]) == (422, "future")
    await conn.execute("UPDATE balances SET open_from = '2026-11-01Z' WHERE account_id = %s", [account])
    closed = await move(client, account, "top-ups", f"{account} 3", amount="10", effective_at="2026-10-31T23:59:59Z")
    assert (closed.status_code, closed.json()["code"]) == (422, "period_closed")


async def test_old_idempotency_keys_are_forgotten(client: httpx.AsyncClient, conn: Connection, pool: Pool) -> None:
    account = await made(client)
    await move(client, account, "top-ups", account, amount="10")
    await conn.execute("UPDATE idempotency_keys SET created_at = now() - interval '80 hours' WHERE key = %s", [account])
    assert await idempotency.forget(conn, 81) == 0
    assert await idempotency.forget(conn, 72) == 1
