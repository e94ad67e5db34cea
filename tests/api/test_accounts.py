"""Accounts, keys and balances over HTTP: who may do what, and that a customer sees nothing but its own."""

from typing import Any

import httpx
import pytest

from billing import ids
from billing.db.pool import Connection
from tests.metering.events import GPT_4_CHARGE, event

pytestmark = pytest.mark.anyio


async def made(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await client.post("/v1/accounts", json={"name": "Ada", **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def issued(client: httpx.AsyncClient, account: str, **fields: Any) -> tuple[str, dict[str, str]]:
    """A customer's key: its id, and the header that shows it."""
    answer = await client.post(f"/v1/accounts/{account}/keys", json=fields)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    return body["key"]["id"], {"Authorization": f"Bearer {body['secret']}"}


async def test_an_account_is_made_read_changed_and_listed(client: httpx.AsyncClient) -> None:
    account = await made(client, email="ada@example.com", address="1 Mill Lane\nLondon", time_zone="Asia/Shanghai")
    changed = await client.patch(f"/v1/accounts/{account}", json={"name": "Ada L.", "email": None})
    read = await client.get(f"/v1/accounts/{account}")
    assert changed.json() == read.json()
    assert (read.json()["name"], read.json()["email"]) == ("Ada L.", None)
    assert (read.json()["address"], read.json()["time_zone"]) == ("1 Mill Lane\nLondon", "Asia/Shanghai")
    newest = await client.get("/v1/accounts", params={"limit": 1})
    assert newest.json()["data"][0]["id"] == account


async def test_an_account_with_an_id_of_its_own_is_made_once(client: httpx.AsyncClient) -> None:
    account = ids.new("acct")
    assert await made(client, id=account) == account
    again = await client.post("/v1/accounts", json={"name": "Eve", "id": account})
    assert (again.status_code, again.json()["code"]) == (409, "account_exists")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$.name"),
        ({"name": ""}, "$.name"),
        ({"name": "a\nb"}, "$.name"),
        ({"name": "Ada", "id": "ada"}, "$.id"),
        ({"name": "Ada", "time_zone": "Mars/Olympus"}, "$.time_zone"),
        ({"name": "Ada", "time_zone": "../../etc/passwd"}, "$.time_zone"),
        ({"name": "Ada", "balance": "100"}, "$.balance"),
        ({"name": "Ada", "country": "UK"}, "$.country"),
    ],
)
async def test_what_is_no_account_is_refused_at_its_place(
    client: httpx.AsyncClient, body: dict[str, Any], path: str
) -> None:
    answer = await client.post("/v1/accounts", json=body)
    assert answer.status_code == 400
    assert [error["path"] for error in answer.json()["errors"]] == [path]


async def test_lists_are_paged_without_gaps_or_repeats(client: httpx.AsyncClient) -> None:
    mine = [await made(client) for _ in range(5)][::-1]
    first = (await client.get("/v1/accounts", params={"limit": 2})).json()
    second = (await client.get("/v1/accounts", params={"limit": 3, "starting_after": mine[1]})).json()
    assert [item["id"] for item in first["data"] + second["data"]] == mine
    assert first["has_more"]
    back = (await client.get("/v1/accounts", params={"limit": 2, "ending_before": mine[3]})).json()
    assert [item["id"] for item in back["data"]] == mine[1:3]
    for wrong in ({"limit": 0}, {"limit": 101}, {"starting_after": "acct_nobody"}, {"limit": "many"}):
        assert (await client.get("/v1/accounts", params=wrong)).status_code == 400


async def test_a_customer_sees_its_own_account_only(client: httpx.AsyncClient) -> None:
    mine, other = await made(client), await made(client)
    _, customer = await issued(client, mine)
    await client.post("/v1/events", json=[event(mine, "mine"), event(other, "other")])
    own = await client.get("/v1/balance", headers=customer)
    assert (own.json()["account"], own.json()["posted"], own.json()["available"]) == (
        mine,
        "-" + GPT_4_CHARGE,
        "-" + GPT_4_CHARGE,
    )
    assert (await client.get("/v1/balance", params={"account": other}, headers=customer)).status_code == 404
    assert (await client.get("/v1/usage", params={"account": other}, headers=customer)).status_code == 404
    assert (await client.get("/v1/postings", params={"account": other}, headers=customer)).status_code == 404
    assert (await client.get("/v1/events/mine", headers=customer)).status_code == 200
    assert (await client.get("/v1/events/other", headers=customer)).status_code == 404
    for path in ("/v1/accounts", f"/v1/accounts/{mine}", f"/v1/accounts/{mine}/keys", "/v1/keys", "/v1/events"):
        assert (await client.get(path, headers=customer)).status_code == 403
    assert (await client.post("/v1/events", json=event(mine, "x"), headers=customer)).status_code == 403
    top_up = await client.post(f"/v1/accounts/{mine}/top-ups", json={"amount": "1"}, headers=customer)
    assert top_up.status_code == 403


async def test_a_gateway_posts_usage_and_moves_no_money(client: httpx.AsyncClient) -> None:
    account = await made(client)
    key = (await client.post("/v1/keys", json={"scope": "gateway", "name": "gw"})).json()
    gateway = {"Authorization": f"Bearer {key['secret']}"}
    assert (await client.post("/v1/events", json=event(account), headers=gateway)).status_code == 200
    assert (await client.post(f"/v1/accounts/{account}/keys", json={}, headers=gateway)).status_code == 403
    money = {**gateway, "Idempotency-Key": "k"}
    assert (
        await client.post(f"/v1/accounts/{account}/top-ups", json={"amount": "1"}, headers=money)
    ).status_code == 403


async def test_a_revoked_key_stops_working_at_once(client: httpx.AsyncClient) -> None:
    key, customer = await issued(client, await made(client))
    assert (await client.get("/v1/balance", headers=customer)).status_code == 200
    revoked = await client.delete(f"/v1/keys/{key}")
    assert revoked.json()["revoked_at"] is not None
    refused = await client.get("/v1/balance", headers=customer)
    assert (refused.status_code, refused.json()["code"]) == (401, "revoked_key")
    assert (await client.delete(f"/v1/keys/{key}")).json() == revoked.json()
    assert (await client.delete("/v1/keys/key_nobody")).status_code == 404


async def test_a_key_is_shown_once_and_never_again(client: httpx.AsyncClient) -> None:
    account = await made(client)
    _, customer = await issued(client, account, name="laptop")
    secret = customer["Authorization"].removeprefix("Bearer ")
    assert secret.startswith("idr_")
    listed = await client.get(f"/v1/accounts/{account}/keys")
    assert secret not in listed.text
    assert [(key["name"], key["hint"]) for key in listed.json()["data"]] == [("laptop", secret[-4:])]


async def test_an_expired_key_is_refused(client: httpx.AsyncClient, conn: Connection) -> None:
    account = await made(client)
    key, customer = await issued(client, account)
    await conn.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", [key])
    refused = await client.get("/v1/balance", headers=customer)
    assert (refused.status_code, refused.json()["code"]) == (401, "expired_key")
    past = await client.post(f"/v1/accounts/{account}/keys", json={"expires_at": "2020-01-01T00:00:00Z"})
    assert (past.status_code, past.json()["errors"][0]["path"]) == (400, "$.expires_at")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "missing_key"),
        ("Basic abc", "malformed_authorization"),
        ("Bearer ", "malformed_authorization"),
        ("Bearer " + "x" * 1000, "malformed_authorization"),
        ("Bearer idr_nobody", "unknown_key"),
    ],
)
async def test_what_is_no_key_is_refused(client: httpx.AsyncClient, header: str | None, code: str) -> None:
    client.headers.pop("Authorization")
    answer = await client.get("/v1/balance", headers={"Authorization": header} if header else {})
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
