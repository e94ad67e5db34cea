"""Credits and refunds over HTTP and from the command line, and each refusal by its code."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import httpx
import pytest

from billing.credits import giving
from billing.db.pool import Connection
from billing.ledger import movements
from tests import factories
from tests.api.test_accounts import made
from tests.api.test_money import move
from tests.metering.events import GPT_4_CHARGE, event

pytestmark = pytest.mark.anyio

PROMOTION = {"amount": "5", "category": "promotional"}


async def given(client: httpx.AsyncClient, account: str, **changes: Any) -> dict[str, Any]:
    answer = await move(client, account, "grants", f"{account} {changes}", **{**PROMOTION, **changes})
    assert answer.status_code == 201, answer.text
    grant: dict[str, Any] = answer.json()
    return grant


async def balance(client: httpx.AsyncClient, account: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/accounts/{account}/balance")).json()
    return found


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_credit_is_given_used_told_and_taken_back(client: httpx.AsyncClient) -> None:
    account = await made(client)
    grant = await given(client, account, expires_at="2199-01-01T00:00:00Z", reference="welcome")
    assert (grant["state"], grant["remaining"], grant["used"], grant["priority"]) == ("active", "5", "0", 100)
    shown = await balance(client, account)
    assert (shown["posted"], shown["credits"], shown["available"]) == ("5", "5", "5")

    await client.post("/v1/events", json=event(account))
    told = (await client.get("/v1/events/chatcmpl-1", params={"account": account})).json()["postings"]
    assert [(line["kind"], line["source"], line["destination"], line["amount"], line["grant"]) for line in told] == [
        ("usage", "wallet", "revenue", GPT_4_CHARGE, None),
        ("burn", "credits", "wallet", GPT_4_CHARGE, grant["id"]),
    ]
    voided = await move(client, account, f"grants/{grant['id']}/void", f"{account} void", reason="was for another")
    assert (voided.json()["state"], voided.json()["remaining"], voided.json()["used"]) == ("voided", "0", GPT_4_CHARGE)
    last = (await client.get("/v1/postings", params={"account": account})).json()["data"][0]
    assert (last["kind"], last["destination"], last["amount"]) == ("grant", "promotions", "4.999415")
    assert (last["reverses"], last["reason"]) == (grant["transaction"], "was for another")
    assert (await balance(client, account))["posted"] == "0"


async def test_the_same_key_is_the_same_grant_and_the_same_void(client: httpx.AsyncClient) -> None:
    account = await made(client)
    answers = await asyncio.gather(*(move(client, account, "grants", f"{account} 1", **PROMOTION) for _ in range(6)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    grant = next(answer.json() for answer in answers if answer.status_code == 201)
    voids = [await move(client, account, f"grants/{grant['id']}/void", f"{account} 2", reason="x") for _ in range(2)]
    assert voids[0].json() == voids[1].json()
    again = await move(client, account, f"grants/{grant['id']}/void", f"{account} 3", reason="x")
    assert code(again) == (409, "grant_ended")


async def test_customers_see_their_own_grants_only(client: httpx.AsyncClient, conn: Connection) -> None:
    account, other = await made(client), await made(client)
    grants = [await given(client, account, reference=name) for name in "abc"]
    await given(client, other)
    mine = {"Authorization": f"Bearer {await factories.key(conn, 'customer', account)}"}
    first = (await client.get("/v1/grants", headers=mine, params={"limit": 2})).json()
    assert ([grant["reference"] for grant in first["data"]], first["has_more"]) == (["c", "b"], True)
    edge = {"starting_after": first["data"][-1]["id"]}
    assert (await client.get("/v1/grants", headers=mine, params=edge)).json()["data"] == grants[:1]
    assert (await client.get(f"/v1/accounts/{account}/grants")).json()["data"] == grants[::-1]
    assert code(await client.get("/v1/grants", headers=mine, params={"account": other})) == (404, "unknown_account")
    assert code(await client.get(f"/v1/accounts/{account}/grants", headers=mine)) == (403, "wrong_scope")
    assert code(await client.get("/v1/accounts/acct_nobody/grants")) == (404, "unknown_account")


async def test_no_answer_shows_credit_that_is_over(client: httpx.AsyncClient, conn: Connection) -> None:
    """Also when nobody has swept yet: who asks is told what is."""
    for path in ("/v1/accounts/{}/balance", "/v1/balance?account={}", "/v1/grants?account={}"):
        account = await made(client)
        await given(client, account, expires_at="2199-01-01T00:00:00Z")
        await given(client, account, amount="2", effective_at="2198-01-01T00:00:00Z")
        async with conn.transaction():
            await conn.execute("UPDATE grants SET expires_at = now() WHERE account_id = %s AND amount = 5", [account])
            await conn.execute("UPDATE grants SET effective_at = now() WHERE account_id = %s AND amount = 2", [account])
            await conn.execute("UPDATE balances SET credits_due_at = now() WHERE account_id = %s", [account])
        answer = (await client.get(path.format(account))).json()
        if "data" in answer:
            assert [(grant["state"], grant["remaining"]) for grant in answer["data"]] == [
                ("active", "2"),
                ("expired", "0"),
            ]
        else:
            assert (answer["posted"], answer["credits"], answer["available"]) == ("2", "2", "2")


@pytest.mark.parametrize(
    ("changes", "expected", "path"),
    [
        ({"amount": "0"}, (400, "invalid_amount"), "$.amount"),
        ({"amount": "-1"}, (400, "invalid_amount"), "$.amount"),
        ({"amount": 5}, (400, "invalid_body"), "$.amount"),
        ({"category": "free"}, (400, "invalid_body"), "$.category"),
        ({"priority": -1}, (400, "invalid_body"), "$.priority"),
        ({"priority": 1001}, (400, "invalid_body"), "$.priority"),
        ({"expires_at": "2026-01-01T00:00:00Z"}, (400, "expired"), "$.expires_at"),
        (
            {"effective_at": "2190-01-01T00:00:00Z", "expires_at": "2190-01-01T00:00:00Z"},
            (400, "expired"),
            "$.expires_at",
        ),
        ({"effective_at": "2300-01-01T00:00:00Z"}, (400, "invalid_time"), "$.effective_at"),
        ({"effective_at": "2019-01-01T00:00:00Z"}, (422, "too_early"), None),
    ],
)
async def test_grants_that_cannot_be_are_refused_at_their_place(
    client: httpx.AsyncClient, changes: dict[str, Any], expected: tuple[int, str], path: str | None
) -> None:
    account = await made(client)
    answer = await move(client, account, "grants", account, **{**PROMOTION, **changes})
    assert code(answer) == expected
    assert [error["path"] for error in answer.json().get("errors", [])] == ([path] if path else [])
    assert (await balance(client, account))["posted"] == "0"


async def test_a_grant_is_not_dated_into_a_closed_period(client: httpx.AsyncClient, conn: Connection) -> None:
    account = await made(client)
    await conn.execute("UPDATE balances SET open_from = '2026-11-01Z' WHERE account_id = %s", [account])
    answer = await move(client, account, "grants", account, **PROMOTION, effective_at="2026-10-31T00:00:00Z")
    assert code(answer) == (422, "period_closed")


async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    account = await made(client)
    elsewhere = await given(client, await made(client))
    assert code(await move(client, "acct_nobody", "grants", f"{account} 1", **PROMOTION)) == (404, "unknown_account")
    void = await move(client, account, f"grants/{elsewhere['id']}/void", f"{account} 2", reason="x")
    assert code(void) == (404, "unknown_grant")
    refund = await move(client, account, "refunds", f"{account} 3", transaction=1, reason="x")
    assert code(refund) == (404, "unknown_transaction")
    assert code(await move(client, account, "grants", None, **PROMOTION)) == (400, "idempotency_key")


async def test_a_top_up_is_refunded_in_parts_by_postings_that_name_it(client: httpx.AsyncClient) -> None:
    account = await made(client)
    top_up = (await move(client, account, "top-ups", f"{account} 1", amount="10")).json()
    asked = {"transaction": top_up["transaction"], "reason": "asked for it back"}
    part = (await move(client, account, "refunds", f"{account} 2", **asked, amount="4")).json()
    again = (await move(client, account, "refunds", f"{account} 2", **asked, amount="4")).json()
    assert part == again
    assert (part["kind"], part["source"], part["destination"]) == ("top_up", "wallet", "cash")
    assert (part["amount"], part["balance"], part["reverses"]) == ("4", "6", top_up["transaction"])
    much = await move(client, account, "refunds", f"{account} 3", **asked, amount="6.01")
    assert code(much) == (422, "refund_too_large")
    rest = (await move(client, account, "refunds", f"{account} 4", **asked)).json()
    assert (rest["amount"], rest["balance"]) == ("6", "0")
    assert code(await move(client, account, "refunds", f"{account} 5", **asked)) == (422, "refund_too_large")
    of_refund = await move(client, account, "refunds", f"{account} 6", transaction=rest["transaction"], reason="x")
    assert code(of_refund) == (422, "not_refundable")


async def test_a_top_up_is_refunded_as_far_as_the_wallet_holds_it(client: httpx.AsyncClient, conn: Connection) -> None:
    account = await made(client)
    top_up = (await move(client, account, "top-ups", f"{account} 1", amount="10")).json()
    await given(client, account)
    await move(client, account, "adjustments", f"{account} 2", amount="-3", reason="spent elsewhere")
    asked = {"transaction": top_up["transaction"], "reason": "x"}
    refused = await move(client, account, "refunds", f"{account} 3", **asked)
    assert code(refused) == (422, "insufficient_balance")
    assert "holds 7 " in refused.json()["detail"]
    await conn.execute("UPDATE balances SET held = 6 WHERE account_id = %s", [account])
    held = await move(client, account, "refunds", f"{account} 4", **asked, amount="6.5")
    assert code(held) == (422, "insufficient_balance")
    await conn.execute("UPDATE balances SET held = 0 WHERE account_id = %s", [account])
    assert (await move(client, account, "refunds", f"{account} 5", **asked, amount="7")).status_code == 201


async def test_what_has_expired_is_no_part_of_what_is_refunded(client: httpx.AsyncClient, conn: Connection) -> None:
    """Also when nobody has swept yet."""
    account = await made(client)
    top_up = (await move(client, account, "top-ups", f"{account} 1", amount="10")).json()
    await given(client, account, expires_at="2199-01-01T00:00:00Z")
    await conn.execute("UPDATE grants SET expires_at = now() WHERE account_id = %s", [account])
    await conn.execute("UPDATE balances SET held = 8, credits_due_at = now() WHERE account_id = %s", [account])
    asked = {"transaction": top_up["transaction"], "reason": "x"}
    much = await move(client, account, "refunds", f"{account} 2", **asked, amount="2.01")
    assert code(much) == (422, "insufficient_balance")
    assert "holds 2 " in much.json()["detail"]
    assert (await move(client, account, "refunds", f"{account} 3", **asked, amount="2")).status_code == 201
    assert (await balance(client, account))["credits"] == "0"


async def test_what_is_past_and_what_is_to_come_is_said_by_the_clock_of_the_database(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(days=1)

    for module in (giving, movements):
        monkeypatch.setattr(module, "datetime", Ahead)
    account = await made(client)
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert (await given(client, account, expires_at=soon))["state"] == "active"
    dated = await move(client, account, "top-ups", account, amount="1", effective_at=soon)
    assert code(dated) == (422, "future")


@pytest.mark.parametrize("amount", ["3", "-3"])
async def test_an_adjustment_is_reversed_whatever_the_wallet_holds(client: httpx.AsyncClient, amount: str) -> None:
    account = await made(client)
    first = (await move(client, account, "adjustments", f"{account} 1", amount=amount, reason="a slip")).json()
    await client.post("/v1/events", json=event(account))
    asked = {"transaction": first["transaction"], "reason": "the slip mended"}
    mended = (await move(client, account, "refunds", f"{account} 2", **asked)).json()
    assert (mended["kind"], mended["source"], mended["destination"]) == (
        "adjustment",
        first["destination"],
        first["source"],
    )
    assert mended["balance"] == f"-{GPT_4_CHARGE}"


async def test_only_top_ups_and_adjustments_are_refunded(client: httpx.AsyncClient) -> None:
    account = await made(client)
    grant = await given(client, account)
    await client.post("/v1/events", json=event(account))
    journal = (await client.get("/v1/postings", params={"account": account})).json()["data"]
    for number, transaction in enumerate({line["transaction"] for line in journal} | {grant["transaction"]}):
        refused = await move(client, account, "refunds", f"{account} {number}", transaction=transaction, reason="x")
        assert code(refused) == (422, "not_refundable")
    nothing = await move(client, account, "refunds", f"{account} n", transaction=1, amount="0", reason="x")
    assert code(nothing) == (400, "invalid_amount")


async def test_the_past_is_asked_for_by_an_instant(client: httpx.AsyncClient, conn: Connection) -> None:
    account = await made(client)
    first = (await move(client, account, "top-ups", f"{account} 1", amount="10")).json()
    await move(client, account, "top-ups", f"{account} 2", amount="5", effective_at="2026-01-01T00:00:00Z")
    mine = {"Authorization": f"Bearer {await factories.key(conn, 'customer', account)}"}
    for path, headers in ((f"/v1/accounts/{account}/balance", {}), ("/v1/balance", mine)):
        then = (await client.get(path, headers=headers, params={"at": first["posted_at"]})).json()
        assert then == {"account": account, "currency": "USD", "posted": "10", "as_of": first["posted_at"]}
        assert (await client.get(path, headers=headers, params={"at": "2026-01-02"})).json()["posted"] == "0"
        assert code(await client.get(path, headers=headers, params={"at": "2198-01-01"})) == (422, "future")
        assert code(await client.get(path, headers=headers, params={"at": "soon"})) == (400, "invalid_time")
    nobody = await client.get("/v1/accounts/acct_nobody/balance", params={"at": "2026-01-02"})
    assert code(nobody) == (404, "unknown_account")
