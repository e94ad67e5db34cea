"""Authorisations over HTTP: what is granted, what is refused and why, and what becomes of what is held."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from billing.db.pool import Connection, Pool
from billing.holds import verify
from billing.holds.authorizer import forget, sweep
from tests.holds.clients import asked, balance, customer, granted, key_of, refused, state_of, used
from tests.metering.events import GPT_4_CHARGE

pytestmark = pytest.mark.anyio

LEFT = "0.999415"  # 1 - GPT_4_CHARGE


async def differences(conn: Connection) -> list[str]:
    return [difference for part in verify.PARTS for difference in await part(conn)]


async def expire(conn: Connection, account: str) -> None:
    """Let the account's holds have expired a while ago."""
    await conn.execute(
        """
        UPDATE holds SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day'
        WHERE account_id = %s
        """,
        [account],
    )


async def test_what_is_granted_is_held_and_the_event_that_names_it_captures_it(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    hold = await granted(client, account)
    assert hold["id"].startswith("auth_")
    assert (hold["account"], hold["amount"], hold["available"], hold["state"]) == (account, "0.1", "0.9", "open")
    assert await balance(client, account) == ("1", "0.1", "0.9")
    result = await used(client, account, "e1", authorization=hold["id"])
    assert (result["status"], result["charge"]) == ("accepted", GPT_4_CHARGE)
    assert await balance(client, account) == (LEFT, "0", LEFT)
    found = (await client.get(f"/v1/authorizations/{hold['id']}")).json()
    assert (found["state"], found["event"]) == ("captured", {"source": "gateway-1", "id": "e1"})
    assert found["ended_at"] is not None


async def test_a_hold_lasts_as_long_as_asked_for(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    for fields, seconds in (({}, 600), ({"expires_in": 5}, 5)):
        hold = await granted(client, account, **fields)
        lasts = datetime.fromisoformat(hold["expires_at"]) - datetime.fromisoformat(hold["created_at"])
        assert lasts == timedelta(seconds=seconds)
    assert await refused(client, account, expires_in=86_401) == (400, "too_long")


async def test_more_than_is_available_is_refused_in_a_sentence(client: httpx.AsyncClient) -> None:
    account = await customer(client, "0.25")
    await granted(client, account)
    await granted(client, account)
    answer = await asked(client, account)
    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_quota")
    assert answer.json()["detail"] == "The request may cost 0.1 dollars; 0.05 are available."
    assert (await granted(client, account, max_cost="0.05"))["available"] == "0"


async def test_a_credit_limit_lets_the_balance_go_below_zero(client: httpx.AsyncClient) -> None:
    account = await customer(client, "0", credit_limit="0.15")
    await granted(client, account)
    assert await refused(client, account) == (402, "insufficient_quota")
    found = (await client.get("/v1/balance", params={"account": account})).json()
    assert (found["posted"], found["held"], found["credit_limit"], found["available"]) == ("0", "0.1", "0.15", "0.05")


@pytest.mark.parametrize(
    ("estimate", "amount"),
    [
        ({"input_tokens": 1000, "max_output_tokens": 500}, "0.03"),  # half of 1,000 × $30/1M + 500 × $60/1M
        ({"usage": {"prompt_tokens": 1000, "completion_tokens": 500}}, "0.03"),
        # 8 tokens of input: half of 8 × $30/1M + 2 × 10 × $60/1M
        ({"request": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 10, "n": 2}}, "0.00072"),
        ({"request": {"messages": [{"role": "user", "content": "Hi"}]}, "max_output_tokens": 10}, "0.00042"),
    ],
)
async def test_an_estimate_is_priced_by_the_book(
    client: httpx.AsyncClient, estimate: dict[str, Any], amount: str
) -> None:
    account = await customer(client)
    assert (await granted(client, account, estimate=estimate))["amount"] == amount


async def test_an_estimate_is_priced_at_the_customers_own_terms(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    own = {"multiplier": "0.25", "reason": "large"}
    assert (await client.post(f"/v1/accounts/{account}/multipliers", json=own)).status_code == 201
    estimate = {"input_tokens": 1000, "max_output_tokens": 500}
    assert (await granted(client, account, estimate=estimate))["amount"] == "0.015"


async def test_an_embedding_needs_no_length_of_an_answer(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    hold = await granted(client, account, model="text-embedding-ada-002", estimate={"input_tokens": 1_000_000})
    assert hold["amount"] == "0.05"


@pytest.mark.parametrize(
    ("fields", "refusal", "path"),
    [
        ({"estimate": {"input_tokens": 5}}, (400, "missing_output"), "$.estimate.max_output_tokens"),
        ({"estimate": {"usage": {"prompt_tokens": -5}}}, (400, "invalid_usage"), "$.estimate.usage.prompt_tokens"),
        ({"estimate": {}}, (400, "invalid_body"), "$.estimate"),
        ({"max_cost": "-1"}, (400, "invalid_body"), "$.max_cost"),
        ({"max_cost": "1", "estimate": {"input_tokens": 5}}, (400, "invalid_body"), "$"),
        ({"id": "a/b"}, (400, "invalid_body"), "$.id"),
        ({"ip": "nowhere"}, (400, "invalid_address"), "$.ip"),
        ({"expires_in": 0}, (400, "invalid_body"), "$.expires_in"),
        ({"api_key": "idr_x"}, (400, "invalid_body"), "$"),
        (
            {"model": "gpt-9", "estimate": {"input_tokens": 5, "max_output_tokens": 5}},
            (422, "unpriced"),
            "$.model",
        ),
        (
            {"estimate": {"request": {"messages": [{"role": "user", "content": [{"type": "file"}]}], "max_tokens": 5}}},
            (422, "unbounded_estimate"),
            "$.estimate.request",
        ),
    ],
)
async def test_what_cannot_be_is_refused_at_its_place(
    client: httpx.AsyncClient, fields: dict[str, Any], refusal: tuple[int, str], path: str
) -> None:
    answer = await asked(client, await customer(client), **fields)
    assert (answer.status_code, answer.json()["code"]) == refusal
    assert {error["path"] for error in answer.json()["errors"]} == {path}


async def test_an_absurd_amount_is_refused_and_disturbs_no_other(client: httpx.AsyncClient) -> None:
    account = await customer(client, "0", credit_limit="999999999")
    wanted = ["9000000.000000000001", "9000000", "999999999"]
    answers = await asyncio.gather(*(asked(client, account, max_cost=amount) for amount in wanted))
    assert [answer.json().get("code") for answer in answers] == ["invalid_amount", None, "invalid_amount"]
    usage = {"prompt_tokens": 10**12, "completion_tokens": 0}
    assert await refused(client, account, estimate={"usage": usage}) == (400, "invalid_amount")


async def test_nobody_and_no_key_are_not_found(client: httpx.AsyncClient) -> None:
    assert await refused(client, "acct_nobody") == (404, "unknown_account")
    assert await refused(client, api_key="idr_nobody") == (404, "unknown_key")
    assert await refused(client, api_key_hash="0" * 64) == (404, "unknown_key")


async def test_the_same_id_again_is_the_same_hold(client: httpx.AsyncClient) -> None:
    account, other = await customer(client), await customer(client)
    first = await granted(client, account, id="req-1")
    again = await granted(client, account, id="req-1")
    assert again == {**first, "available": "0.9"}
    assert await balance(client, account) == ("1", "0.1", "0.9")
    assert await refused(client, account, id="req-1", max_cost="0.2") == (409, "authorization_exists")
    assert await refused(client, account, id="req-1", model="gpt-4o") == (409, "authorization_exists")
    await granted(client, other, id="req-1")
    named = await client.get("/v1/authorizations/req-1")
    assert (named.status_code, named.json()["code"]) == (409, "ambiguous_authorization")
    await used(client, account, "e1", authorization="req-1")
    assert await refused(client, account, id="req-1") == (409, "authorization_ended")
    assert await state_of(client, "req-1", other) == "open"


async def test_the_same_id_after_its_hold_ended_is_refused_and_says_how_it_ended(
    client: httpx.AsyncClient, conn: Connection, pool: Pool
) -> None:
    account = await customer(client)

    async def ended() -> str:
        answer = await asked(client, account, id="req-1")
        assert (answer.status_code, answer.json()["code"]) == (409, "authorization_ended")
        return str(answer.json()["detail"]).removeprefix("This authorization holds nothing any more: it is ")

    await granted(client, account, id="req-1")
    await expire(conn, account)
    assert await ended() == "expired."
    await sweep(pool)
    assert await ended() == "expired."
    await conn.execute("UPDATE holds SET state = 'released' WHERE account_id = %s", [account])
    assert await ended() == "released."
    assert await refused(client, account, id="req-1", max_cost="0.2") == (409, "authorization_exists")
    assert await balance(client, account) == ("1", "0", "1")


async def test_the_same_id_many_times_at_once_is_one_hold(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    answers = await asyncio.gather(*(granted(client, account, id="req-1") for _ in range(20)))
    assert len({answer["created_at"] for answer in answers}) == 1
    assert await balance(client, account) == ("1", "0.1", "0.9")


async def test_a_release_gives_back_once(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    hold, other = await granted(client, account), await granted(client, account)
    for _ in range(2):
        released = await client.post(f"/v1/authorizations/{hold['id']}/release")
        assert (released.status_code, released.json()["state"]) == (200, "released")
        assert await balance(client, account) == ("1", "0.1", "0.9")
    assert await state_of(client, other["id"], account) == "open"
    unknown = await client.post("/v1/authorizations/auth_nobody/release")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_authorization")


async def test_a_release_after_the_capture_changes_nothing_and_says_so(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    hold = await granted(client, account)
    await used(client, account, "e1", authorization=hold["id"])
    released = await client.post(f"/v1/authorizations/{hold['id']}/release")
    assert (released.status_code, released.json()["state"]) == (200, "captured")
    assert await balance(client, account) == (LEFT, "0", LEFT)


async def test_a_capture_larger_than_the_hold_posts_the_whole_charge(client: httpx.AsyncClient) -> None:
    account = await customer(client, "0.0001")
    hold = await granted(client, account, max_cost="0.0001")
    await used(client, account, "e1", authorization=hold["id"])
    assert await balance(client, account) == ("-0.000485", "0", "-0.000485")
    assert await refused(client, account, max_cost="0") == (402, "insufficient_quota")


async def test_the_first_of_several_events_captures_and_all_are_posted(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    hold, other = await granted(client, account), await granted(client, account)
    await used(client, account, "e1", authorization=hold["id"])
    await used(client, account, "e2", authorization=hold["id"])
    await used(client, account, "e3", authorization="auth_nobody")
    assert await balance(client, account) == ("0.998245", "0.1", "0.898245")
    found = (await client.get(f"/v1/authorizations/{hold['id']}")).json()
    assert found["event"]["id"] == "e1"
    assert await state_of(client, other["id"], account) == "open"


async def test_a_duplicate_captures_nothing(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    hold = await granted(client, account)
    await used(client, account, "e1")
    assert (await used(client, account, "e1", authorization=hold["id"]))["status"] == "conflict"
    assert await state_of(client, hold["id"], account) == "open"


async def test_a_failed_request_costs_nothing_and_frees_its_hold(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    hold = await granted(client, account)
    await used(client, account, "e1", authorization=hold["id"], status=500, usage=...)
    assert await balance(client, account) == ("1", "0", "1")


async def test_an_expired_hold_counts_no_more_even_before_it_is_swept(
    client: httpx.AsyncClient, conn: Connection, pool: Pool
) -> None:
    account = await customer(client)
    hold = await granted(client, account, max_cost="1")
    assert await refused(client, account) == (402, "insufficient_quota")
    await expire(conn, account)
    assert await balance(client, account) == ("1", "0", "1")
    assert await state_of(client, hold["id"], account) == "expired"
    assert (await granted(client, account, max_cost="0.9"))["available"] == "0.1"
    await asyncio.gather(*(sweep(pool) for _ in range(3)))
    assert await balance(client, account) == ("1", "0.9", "0.1")
    assert await differences(conn) == []


async def test_a_capture_after_the_expiry_still_posts(client: httpx.AsyncClient, conn: Connection, pool: Pool) -> None:
    account = await customer(client)
    due, swept = await granted(client, account), await granted(client, account)
    await expire(conn, account)
    await used(client, account, "e1", authorization=due["id"])
    await sweep(pool)
    await used(client, account, "e2", authorization=swept["id"])
    assert await balance(client, account) == ("0.99883", "0", "0.99883")
    assert await state_of(client, due["id"], account) == "captured"
    assert await state_of(client, swept["id"], account) == "expired"


async def test_a_due_hold_that_is_released_has_expired(client: httpx.AsyncClient, conn: Connection) -> None:
    account = await customer(client)
    hold = await granted(client, account)
    await expire(conn, account)
    released = await client.post(f"/v1/authorizations/{hold['id']}/release")
    assert released.json()["state"] == "expired"
    assert await balance(client, account) == ("1", "0", "1")


async def test_holds_are_listed_by_state(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    holds = [(await granted(client, account, max_cost="0.01"))["id"] for _ in range(4)]
    await client.post(f"/v1/authorizations/{holds[0]}/release")

    async def listed(**query: Any) -> list[str]:
        answer = await client.get("/v1/authorizations", params={"account": account, **query})
        return [hold["id"] for hold in answer.json()["data"]]

    assert await listed() == sorted(holds, reverse=True)
    assert await listed(state="released") == holds[:1]
    assert set(await listed(state="open")) == set(holds[1:])
    newest = await listed(limit=2)
    assert newest + await listed(starting_after=newest[-1]) == sorted(holds, reverse=True)


async def test_only_gateways_and_administrators_authorize(client: httpx.AsyncClient) -> None:
    account = await customer(client)
    _, secret = await key_of(client, account)
    answer = await client.post("/v1/authorizations", json={}, headers={"Authorization": f"Bearer {secret}"})
    assert answer.json()["code"] == "wrong_scope"
    made = await client.post("/v1/keys", json={"scope": "gateway", "name": "gw"})
    gateway = {"Authorization": f"Bearer {made.json()['secret']}"}
    body = {"account": account, "model": "gpt-4", "max_cost": "0.1"}
    assert (await client.post("/v1/authorizations", json=body, headers=gateway)).status_code == 201


async def test_credits_that_have_expired_cannot_be_spent(client: httpx.AsyncClient, conn: Connection) -> None:
    account = await customer(client, "0")
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    given = await client.post(
        f"/v1/accounts/{account}/grants",
        json={"amount": "1", "category": "promotional", "expires_at": soon},
        headers={"Idempotency-Key": account},
    )
    assert given.status_code == 201, given.text
    await granted(client, account)
    await conn.execute(
        "UPDATE grants SET effective_at = now() - interval '2 h', expires_at = now() WHERE account_id = %s", [account]
    )
    await conn.execute("UPDATE balances SET credits_due_at = now() WHERE account_id = %s", [account])
    assert await refused(client, account) == (402, "insufficient_quota")


async def test_what_ended_long_ago_is_forgotten_and_what_is_open_is_not(
    client: httpx.AsyncClient, pool: Pool, conn: Connection
) -> None:
    account = await customer(client)
    ended, recent, still_open = [(await granted(client, account))["id"] for _ in range(3)]
    for hold in (ended, recent):
        await client.post(f"/v1/authorizations/{hold}/release")
    await conn.execute("UPDATE holds SET ended_at = ended_at - interval '31 days' WHERE id = %s", [ended])
    await conn.execute("UPDATE holds SET created_at = now() - interval '31 days' WHERE id = %s", [still_open])
    await forget(pool, 30)
    states = [(await client.get(f"/v1/authorizations/{hold}")).status_code for hold in (ended, recent, still_open)]
    assert states == [404, 200, 200]
    assert await balance(client, account) == ("1", "0.1", "0.9")
    assert await differences(conn) == []
