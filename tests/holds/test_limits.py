"""Limits of keys, suspended and closed accounts: enforced when spending is authorized, at once and everywhere."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx
import pytest

from billing.app import create_app
from billing.db.pool import Connection
from billing.metering import key_rules
from billing.settings import Settings
from tests.holds.clients import asked, balance, customer, granted, key_of, refused, used
from tests.holds.test_authorize import differences, expire
from tests.metering.events import event
from tests.serving import ADMIN_KEY

pytestmark = pytest.mark.anyio

LIMIT = (402, "key_limit_reached")


@pytest.fixture
async def elsewhere(client: httpx.AsyncClient, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The service once more, as in another worker: it shares nothing but the database."""
    app = create_app(settings)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://two", headers=headers) as other:
        yield other


async def spent(client: httpx.AsyncClient, key: str) -> dict[str, Any]:
    found = (await client.get(f"/v1/keys/{key}")).json()
    return {"held": found["held"], **(found["spent"] or {})}


@pytest.mark.parametrize("span", ["day", "month", "total"])
async def test_a_key_holds_and_spends_no_more_than_its_limit(client: httpx.AsyncClient, span: str) -> None:
    account = await customer(client)
    key, secret = await key_of(client, account, limits={span: "0.25"})
    hold = await granted(client, api_key=secret)
    assert hold["key"] == key
    await granted(client, api_key=secret)
    assert await refused(client, api_key=secret) == LIMIT
    answer = await asked(client, api_key=secret)
    assert "0.05 are left" in answer.json()["detail"]
    await granted(client, account)  # the account has more
    await client.post(f"/v1/authorizations/{hold['id']}/release")
    await granted(client, api_key=secret)
    await client.patch(f"/v1/keys/{key}", json={"limits": {span: "0.35"}})
    await granted(client, api_key=secret)
    await client.patch(f"/v1/keys/{key}", json={"limits": {span: None}})
    await granted(client, api_key=secret)


async def test_what_was_spent_and_held_before_the_first_limit_counts(
    client: httpx.AsyncClient, conn: Connection
) -> None:
    account = await customer(client)
    key, secret = await key_of(client, account)
    other, other_secret = await key_of(client, account)
    assert await spent(client, key) == {"held": None}
    await used(client, ..., "old", api_key=secret)
    now = (await granted(client, account))["created_at"]
    await used(client, ..., "new", api_key=secret, time=now)
    await used(client, ..., "others", api_key=other_secret, time=now)
    await granted(client, api_key=secret)
    await client.patch(f"/v1/keys/{key}", json={"limits": {"day": "0.2", "month": "0.2", "total": "0.2"}})
    assert await spent(client, key) == {"day": "0.000585", "month": "0.000585", "total": "0.00117", "held": "0.1"}
    assert await spent(client, other) == {"day": "0.000585", "month": "0.000585", "total": "0.000585", "held": "0"}
    assert await refused(client, api_key=secret, max_cost="0.09884") == LIMIT
    await granted(client, api_key=secret, max_cost="0.09883")
    assert await differences(conn) == []


async def test_usage_beyond_the_limit_is_booked_and_reported(client: httpx.AsyncClient, conn: Connection) -> None:
    account = await customer(client)
    key, secret = await key_of(client, account, limits={"day": "0.0006"})
    hold = await granted(client, api_key=secret, max_cost="0.0006")
    now = hold["created_at"]
    first = await used(client, ..., "e1", api_key=secret, time=now, authorization=hold["id"])
    assert (first["status"], first.get("reason")) == ("accepted", None)
    second = await used(client, ..., "e2", api_key=secret, time=now)
    assert (second["status"], second["reason"]) == ("accepted", "The API key has spent more than its limit.")
    assert await spent(client, key) == {"day": "0.00117", "month": "0.00117", "total": "0.00117", "held": "0"}
    assert await refused(client, api_key=secret, max_cost="0") == LIMIT
    assert (await balance(client, account))[0] == "0.99883"
    many = [event(..., f"m{number}", api_key=secret, time=now) for number in range(101)]
    reported = (await client.post("/v1/events", json=many)).json()
    assert len(reported["results"]) == 101
    assert await differences(conn) == []


async def test_usage_that_its_key_might_not_have_is_booked_and_reported(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rules, "FRESH_SECONDS", 0)
    account = await customer(client)
    key, secret = await key_of(client, account, models=["gpt-3.5*"])
    ids = (f"e{number}" for number in count())

    async def reason(**changes: Any) -> str | None:
        sent = event(account, next(ids), account=..., api_key=secret, **changes)
        [result] = (await client.post("/v1/events", json=sent)).json()["results"]
        assert result["status"] == "accepted"
        return result.get("reason")

    assert await reason(model="gpt-3.5-turbo") is None
    assert await reason() == "The API key may not use this model."
    await client.patch(f"/v1/keys/{key}", json={"models": None})
    assert await reason() is None
    soon = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    await client.patch(f"/v1/keys/{key}", json={"expires_at": soon})
    assert await reason() is None
    assert await reason(time=soon) == "The API key had expired."
    await client.delete(f"/v1/keys/{key}")
    assert await reason() is None
    assert await reason(time=datetime.now(UTC).isoformat()) == "The API key had been revoked."


async def test_what_is_corrected_or_voided_is_not_spent(client: httpx.AsyncClient, conn: Connection) -> None:
    account = await customer(client)
    key, secret = await key_of(client, account, limits={"total": "1"})
    for number in range(3):
        await used(client, ..., f"e{number}", api_key=secret)
    half = {"prompt_tokens": 19, "completion_tokens": 0}  # 19 × $30/1M × 0.5
    await used(client, ..., "c1", api_key=secret, corrects="e1", usage=half)
    await used(client, ..., "v2", api_key=secret, voids="e2", usage=...)
    assert (await spent(client, key))["total"] == "0.00087"  # 0.000585 + 0.000285
    assert await differences(conn) == []


async def test_an_expired_hold_of_a_key_counts_no_more(client: httpx.AsyncClient, conn: Connection) -> None:
    account = await customer(client)
    _, secret = await key_of(client, account, limits={"total": "0.1"})
    await granted(client, api_key=secret)
    assert await refused(client, api_key=secret) == LIMIT
    await expire(conn, account)
    await granted(client, api_key=secret)


async def test_a_key_may_use_the_models_it_is_allowed(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    key, secret = await key_of(client, account, models=["gpt-4", "gpt-3.5*"])
    for model in ("gpt-4", "gpt-3.5-turbo", "gpt-3.5"):
        await granted(client, api_key=secret, model=model)
    for model in ("gpt-4-0613", "gpt-4o", "gpt-3"):
        assert await refused(client, api_key=secret, model=model) == (403, "model_not_allowed")
    await client.patch(f"/v1/keys/{key}", json={"models": None})
    await granted(client, api_key=secret, model="gpt-4o")


async def test_a_key_may_be_used_from_where_it_is_allowed(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    key, secret = await key_of(client, account, ips=["192.0.2.0/24", "2001:db8::1"])
    for ip in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"):
        await granted(client, api_key=secret, ip=ip, max_cost="0.01")
    for ip in ("198.51.100.1", "2001:db8::2", None):
        assert await refused(client, api_key=secret, ip=ip) == (403, "ip_not_allowed")
    shown = (await client.get(f"/v1/keys/{key}")).json()
    assert shown["ips"] == ["192.0.2.0/24", "2001:db8::1/128"]
    wrong = await client.patch(f"/v1/keys/{key}", json={"ips": ["192.0.2.7", "192.0.2.7/24"]})
    assert (wrong.json()["code"], wrong.json()["errors"][0]["path"]) == ("invalid_address", "$.ips[1]")


async def test_a_revoked_or_expired_key_is_refused_in_every_worker_at_once(
    client: httpx.AsyncClient, elsewhere: httpx.AsyncClient, conn: Connection
) -> None:
    account = await customer(client)
    key, secret = await key_of(client, account)
    late, late_secret = await key_of(client, account)
    await granted(elsewhere, api_key=secret)
    await granted(elsewhere, api_key=late_secret)
    await client.delete(f"/v1/keys/{key}")
    await conn.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", [late])
    for worker in (elsewhere, client):
        assert await refused(worker, api_key=secret) == (403, "key_revoked")
        assert await refused(worker, api_key=late_secret) == (403, "key_expired")


async def test_a_suspended_account_spends_no_more_until_that_ends(
    client: httpx.AsyncClient, elsewhere: httpx.AsyncClient
) -> None:
    account = await customer(client)
    _, secret = await key_of(client, account)
    hold = await granted(elsewhere, account)
    answer = await client.patch(f"/v1/accounts/{account}", json={"suspended": True, "reason": "chargeback"})
    first = answer.json()
    assert (first["suspension"], first["closed_at"]) == ("chargeback", None)
    assert await refused(elsewhere, account) == (403, "account_suspended")
    assert await refused(elsewhere, api_key=secret) == (403, "account_suspended")
    assert (await used(client, account, "e1", authorization=hold["id"]))["status"] == "accepted"
    again = (await client.patch(f"/v1/accounts/{account}", json={"suspended": True})).json()
    assert (again["suspended_at"], again["suspension"]) == (first["suspended_at"], "chargeback")
    freed = (await client.patch(f"/v1/accounts/{account}", json={"suspended": False})).json()
    assert (freed["suspended_at"], freed["suspension"]) == (None, None)
    await granted(elsewhere, account)
    alone = await client.patch(f"/v1/accounts/{account}", json={"reason": "none"})
    assert alone.json()["code"] == "invalid_body"


async def test_a_closed_account_takes_nothing_but_late_usage_and_adjustments(
    client: httpx.AsyncClient, elsewhere: httpx.AsyncClient
) -> None:
    account = await customer(client)
    _, secret = await key_of(client, account)
    hold = await granted(elsewhere, api_key=secret)
    closed = (await client.post(f"/v1/accounts/{account}/close")).json()
    assert closed["closed_at"] is not None
    assert (await client.post(f"/v1/accounts/{account}/close")).json() == closed
    assert await refused(elsewhere, account) == (403, "account_closed")
    assert (await client.get("/v1/balance", headers={"Authorization": f"Bearer {secret}"})).status_code == 401
    money = {"Idempotency-Key": account}
    for path, body in (("top-ups", {"amount": "1"}), ("grants", {"amount": "1", "category": "paid"}), ("keys", {})):
        answer = await client.post(f"/v1/accounts/{account}/{path}", json=body, headers=money)
        assert (answer.status_code, answer.json()["code"]) == (409, "account_closed"), path
    assert (await used(client, account, "late", authorization=hold["id"]))["status"] == "accepted"
    back = {"amount": "-0.999415", "reason": "paid back"}
    assert (await client.post(f"/v1/accounts/{account}/adjustments", json=back, headers=money)).status_code == 201
    assert await balance(client, account) == ("0", "0", "0")
    assert (await client.post("/v1/accounts/acct_nobody/close")).json()["code"] == "unknown_account"


async def test_changes_of_a_key_are_refused_at_their_place(client: httpx.AsyncClient) -> None:
    key, _ = await key_of(client, await customer(client, "0"))
    for body, path in (
        ({"limits": {"day": "-1"}}, "$.limits.day"),
        ({"limits": {"week": "1"}}, "$.limits.week"),
        ({"models": []}, "$.models"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "$.expires_at"),
    ):
        answer = await client.patch(f"/v1/keys/{key}", json=body)
        assert [error["path"] for error in answer.json()["errors"]] == [path]
    changed = await client.patch(f"/v1/keys/{key}", json={"name": "laptop", "limits": {"month": "5.50"}})
    assert (changed.json()["name"], changed.json()["limits"]) == (
        "laptop",
        {"day": None, "month": "5.5", "total": None},
    )
    service = (await client.post("/v1/keys", json={"scope": "gateway", "name": "gw"})).json()["key"]["id"]
    refused_one = await client.patch(f"/v1/keys/{service}", json={"models": ["gpt-4"]})
    assert (refused_one.status_code, refused_one.json()["code"]) == (422, "not_a_customers_key")
    assert (await client.patch(f"/v1/keys/{service}", json={"name": "gw-2"})).json()["name"] == "gw-2"
    assert (await client.get("/v1/keys/key_nobody")).json()["code"] == "unknown_key"
    assert (await client.patch("/v1/keys/key_nobody", json={})).json()["code"] == "unknown_key"
