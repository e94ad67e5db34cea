"""What tests of holds ask the service for."""

from typing import Any

import httpx

from billing import ids
from tests.metering.events import event

Json = dict[str, Any]


async def customer(client: httpx.AsyncClient, dollars: str = "1", **changes: Any) -> str:
    """A new account with so many dollars; its id."""
    made = await client.post("/v1/accounts", json={"name": "Ada"})
    account = str(made.json()["id"])
    if dollars != "0":
        key = {"Idempotency-Key": ids.new("test")}
        paid = await client.post(f"/v1/accounts/{account}/top-ups", json={"amount": dollars}, headers=key)
        assert paid.status_code == 201, paid.text
    if changes:
        changed = await client.patch(f"/v1/accounts/{account}", json=changes)
        assert changed.status_code == 200, changed.text
    return account


async def key_of(client: httpx.AsyncClient, account: str, **changes: Any) -> tuple[str, str]:
    """A new key of an account, with what is to be different about it; its id and its secret."""
    made = (await client.post(f"/v1/accounts/{account}/keys", json={})).json()
    if changes:
        changed = await client.patch(f"/v1/keys/{made['key']['id']}", json=changes)
        assert changed.status_code == 200, changed.text
    return made["key"]["id"], made["secret"]


async def asked(client: httpx.AsyncClient, account: str | None = None, **fields: Any) -> httpx.Response:
    """An authorisation asked for: of ten cents, unless the fields say."""
    who = {} if account is None else {"account": account}
    what = {} if {"max_cost", "estimate"} & fields.keys() else {"max_cost": "0.10"}
    return await client.post("/v1/authorizations", json={"model": "gpt-4", **who, **what, **fields})


async def granted(client: httpx.AsyncClient, account: str | None = None, **fields: Any) -> Json:
    answer = await asked(client, account, **fields)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def refused(client: httpx.AsyncClient, account: str | None = None, **fields: Any) -> tuple[int, str]:
    """Status and code of the refusal."""
    answer = await asked(client, account, **fields)
    return answer.status_code, answer.json().get("code", "granted")


async def balance(client: httpx.AsyncClient, account: str) -> tuple[str, str, str]:
    """Posted, held, available."""
    found = (await client.get("/v1/balance", params={"account": account})).json()
    return found["posted"], found["held"], found["available"]


async def used(client: httpx.AsyncClient, account: str, id: str, **changes: Any) -> Json:
    """The result of one event."""
    answer = await client.post("/v1/events", json=event(account, id, **changes))
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["results"][0])


async def state_of(client: httpx.AsyncClient, hold: str, account: str) -> str:
    found = await client.get(f"/v1/authorizations/{hold}", params={"account": account})
    return str(found.json()["state"])
