"""Plans, multipliers and an operator's own prices: dated, checked as a whole, used at once, and never taken back."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from billing import proof
from billing.db.pool import Connection, Pool
from billing.metering.intake import Intake
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book, money
from pricing.policies import Policy
from tests.api.test_accounts import issued, made
from tests.metering.events import batch, event

pytestmark = pytest.mark.anyio

THOUSAND = {"prompt_tokens": 1000, "completion_tokens": 1000}


@pytest.fixture
def url(clone: Callable[[], str]) -> str:
    """A database of each test's own: terms are everybody's."""
    return clone()


async def charge(client: httpx.AsyncClient, account: str, id: str, **changes: Any) -> str:
    return str((await posted(client, account, id, usage=THOUSAND, **changes))["charge"])


async def posted(client: httpx.AsyncClient, account: str, id: str, **changes: Any) -> dict[str, Any]:
    [result] = (await client.post("/v1/events", json=event(account, id, **changes))).json()["results"]
    return dict(result)


def price(**changes: Any) -> dict[str, Any]:
    row = {
        "model": "house-model",
        "dimension": "input",
        "unit": "1M_tokens",
        "price": "4",
        "effective_from": "2026-10-01",
        "source": "contract 17",
    }
    return row | changes


async def test_a_multiplier_holds_from_its_date_on(client: httpx.AsyncClient) -> None:
    account = await made(client)
    given = {"multiplier": "0.4", "reason": "big customer", "effective_from": "2026-10-05T08:00:00Z"}
    answer = await client.post(f"/v1/accounts/{account}/multipliers", json=given)
    assert (answer.status_code, answer.json()["multiplier"], answer.json()["actor"]) == (201, "0.4", "key_bootstrap")
    assert await charge(client, account, "before", time="2026-10-05T07:59:59Z") == "0.045"  # $0.09 × 0.5
    assert await charge(client, account, "after", time="2026-10-05T08:00:00Z") == "0.036"  # $0.09 × 0.4
    assert await charge(client, await made(client), "another's", time="2026-10-05T08:00:00Z") == "0.045"
    await client.post(
        f"/v1/accounts/{account}/multipliers",
        json={"multiplier": None, "reason": "over", "effective_from": "2026-10-06T00:00:00Z"},
    )
    assert await charge(client, account, "over", time="2026-10-06T00:00:00Z") == "0.045"


async def test_a_plan_has_its_multiplier_and_a_customer_of_it_may_have_another(client: httpx.AsyncClient) -> None:
    account, other = await made(client), await made(client)
    since = {"effective_from": "2026-10-01T00:00:00Z"}
    assert (await client.post("/v1/plans", json={"id": "resellers"})).status_code == 201
    again = await client.post("/v1/plans", json={"id": "resellers"})
    assert (again.status_code, again.json()["code"]) == (409, "plan_exists")
    await client.post("/v1/plans/resellers/multipliers", json={"multiplier": "0.45", "reason": "volume", **since})
    for name in (account, other):
        await client.post(f"/v1/accounts/{name}/plan", json={"plan": "resellers", **since})
    await client.post(f"/v1/accounts/{other}/multipliers", json={"multiplier": "0.3", "reason": "friend", **since})
    assert await charge(client, account, "1") == "0.0405"  # $0.09 × 0.45
    assert await charge(client, other, "1") == "0.027"  # $0.09 × 0.3
    assert await charge(client, account, "0", time="2026-09-30T23:59:59Z") == "0.045"


async def policy(conn: Connection, account: str, at: str, standard: Policy = "reported") -> Policy:
    """What a process that has just started bills this account by."""
    terms = await TermsKeeper(book.load(), "0.5", standard).fresh(conn)
    return terms.of(account, datetime.fromisoformat(at)).policy


async def test_a_verification_policy_is_the_customers_else_its_plans_else_the_standard_one(
    client: httpx.AsyncClient, conn: Connection
) -> None:
    account, other = await made(client), await made(client)
    since = {"effective_from": "2026-10-05T08:00:00Z"}
    await client.post("/v1/plans", json={"id": "careful"})
    of_plan = {"policy": "lower", "reason": "offer", **since}
    assert (await client.post("/v1/plans/careful/verification-policies", json=of_plan)).status_code == 201
    for name in (account, other):
        on_plan = {"plan": "careful", "effective_from": "2026-01-01T00:00:00Z"}
        await client.post(f"/v1/accounts/{name}/plan", json=on_plan)
    path = f"/v1/accounts/{account}/verification-policies"
    answer = await client.post(path, json={"policy": "counted", "reason": "contract 17", **since})
    row = answer.json()
    assert (answer.status_code, row["policy"], row["account"], row["plan"]) == (201, "counted", account, None)
    assert (row["reason"], row["actor"]) == ("contract 17", "key_bootstrap")
    assert row["effective_from"] == since["effective_from"]
    await client.post(path, json={"policy": None, "reason": "over", "effective_from": "2026-11-01T00:00:00Z"})

    assert await policy(conn, account, "2026-10-05T07:59:59Z", "counted") == "counted"
    assert await policy(conn, account, "2026-10-05T07:59:59Z") == "reported"
    assert await policy(conn, account, "2026-10-05T08:00:00Z") == "counted"
    assert await policy(conn, other, "2026-10-05T08:00:00Z") == "lower"
    assert await policy(conn, account, "2026-11-01T00:00:00Z") == "lower"
    assert await policy(conn, await made(client), "2026-11-01T00:00:00Z") == "reported"
    assert await charge(client, account, "1") == "0.045"  # $0.09 × 0.5: a policy is no multiplier

    listed = (await client.get("/v1/verification-policies")).json()["data"]
    assert [one["policy"] for one in listed] == [None, "counted", "lower"]
    for query, expected in (("plan=careful", ["lower"]), (f"account={account}", [None, "counted"])):
        found = (await client.get(f"/v1/verification-policies?{query}")).json()["data"]
        assert [one["policy"] for one in found] == expected


TEXT = {
    "request": {"model": "gpt-4", "messages": [{"role": "user", "content": "hello"}]},
    "response": {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello! How can I help?"}, "finish_reason": "stop"}
        ]
    },
}


async def test_an_event_that_carries_its_text_is_billed_by_the_policy_of_its_time(client: httpx.AsyncClient) -> None:
    account = await made(client)
    path = f"/v1/accounts/{account}/verification-policies"
    for day, special in (("02", "counted"), ("03", "lower"), ("04", None)):
        given = {"policy": special, "reason": "trial", "effective_from": f"2026-10-{day}T00:00:00Z"}
        assert (await client.post(path, json=given)).status_code == 201
    billed = {}
    for day in ("01", "02", "03", "04"):
        text = {"time": f"2026-10-{day}T08:00:00Z", "endpoint": "/v1/chat/completions", "content": TEXT}
        for read in (4, 800):  # we count 8; of the answer 7 to 19, most likely its seven words
            used = {"prompt_tokens": read, "completion_tokens": 12}
            result = await posted(client, account, f"{day}-{read}", usage=used, **text)
            billed[day, read] = result["charge"]
    assert billed == {
        ("01", 4): gpt_4(4, 12),
        ("01", 800): gpt_4(8, 12),
        ("02", 4): gpt_4(8, 12),
        ("02", 800): gpt_4(8, 12),
        ("03", 4): gpt_4(4, 7),
        ("03", 800): gpt_4(8, 7),
        ("04", 4): gpt_4(4, 12),
        ("04", 800): gpt_4(8, 12),
    }


def gpt_4(read: int, written: int) -> str:
    """$30 and $60 per 1M tokens × 0.5."""
    return money.format(read * money.parse("0.000015") + written * money.parse("0.00003"))


async def test_policies_are_an_operators_business(client: httpx.AsyncClient) -> None:
    account = await made(client)
    _, customer = await issued(client, account)
    path = f"/v1/accounts/{account}/verification-policies"
    answers = [
        await client.post(path, json={"policy": "lower", "reason": "cheaper"}, headers=customer),
        await client.get("/v1/verification-policies", headers=customer),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "wrong_scope")] * 2


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/plans", {"id": "No Such Name"}, 400),
        ("/v1/plans/nobody/multipliers", {"multiplier": "0.5", "reason": "x"}, 404),
        ("/v1/accounts/acct_nobody/multipliers", {"multiplier": "0.5", "reason": "x"}, 404),
        ("/v1/accounts/acct_nobody/plan", {"plan": None}, 404),
        ("/v1/plans/nobody/verification-policies", {"policy": "lower", "reason": "x"}, 404),
        ("/v1/accounts/acct_nobody/verification-policies", {"policy": "lower", "reason": "x"}, 404),
        ("/v1/accounts/acct_nobody/verification-policies", {"policy": "higher", "reason": "x"}, 400),
        ("/v1/accounts/acct_nobody/verification-policies", {"policy": "lower"}, 400),
        ("/v1/accounts/acct_nobody/verification-policies", {"reason": "x"}, 400),
        ("/v1/accounts/acct_nobody/multipliers", {"multiplier": "11", "reason": "x"}, 400),
        ("/v1/accounts/acct_nobody/multipliers", {"multiplier": 0.5, "reason": "x"}, 400),
        ("/v1/accounts/acct_nobody/multipliers", {"multiplier": "0.5"}, 400),
    ],
)
async def test_terms_of_nobody_and_terms_that_are_none_are_refused(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], status: int
) -> None:
    assert (await client.post(path, json=body)).status_code == status


async def test_a_price_is_added_without_a_release_and_what_waited_for_it_is_billed(
    client: httpx.AsyncClient, conn: Connection
) -> None:
    account = await made(client)
    used = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    waiting = event(account, "waits", model="house-model", usage=used)
    assert (await client.post("/v1/events", json=waiting)).json()["unpriced"] == 1
    assert (await client.post("/v1/events/rerate")).json() == {"billed": 0, "amount": "0", "waiting": 1}

    added = await client.post("/v1/price-rows", json={"rows": [price()]})
    assert (added.status_code, added.json()["data"][0]["actor"]) == (201, "key_bootstrap")
    assert (await client.get("/v1/prices/house-model")).json()["data"][0]["unit_price"] == "2"

    assert (await client.post("/v1/events/rerate")).json() == {"billed": 1, "amount": "2", "waiting": 0}
    assert (await client.post("/v1/events/rerate")).json() == {"billed": 0, "amount": "0", "waiting": 0}
    assert (await client.post("/v1/events", json=waiting)).json()["duplicates"] == 1
    first = (await client.get("/v1/events/waits")).json()
    second = (await client.get(f"/v1/events/{first['corrected_by']}")).json()
    assert (first["status"], first["charge"], second["corrects"], second["charge"]) == ("unpriced", "0", "waits", "2")
    assert second["time"] == first["time"]
    assert (await client.get("/v1/events", params={"account": account})).json()["data"] == []
    balance = (await client.get("/v1/balance", params={"account": account})).json()
    assert balance["posted"] == "-2"
    usage = (
        await client.get("/v1/usage", params={"account": account, "start": "2026-10-01", "end": "2026-11-01"})
    ).json()
    assert (usage["requests"], usage["amount"]) == (1, "2")
    assert await proof.differences(conn) == []


async def test_a_price_of_one_customer_is_nobody_elses(client: httpx.AsyncClient) -> None:
    account = await made(client)
    _, customer = await issued(client, account)
    row = price(model="gpt-4", dimension="input", price="10")
    assert (await client.post("/v1/price-rows", json={"rows": [row], "account": account})).status_code == 201
    assert await charge(client, account, "1") == "0.035"  # (1000 × $10 + 1000 × $60) / 1M × 0.5
    assert await charge(client, await made(client), "1") == "0.045"
    request = {"model": "gpt-4", "usage": THOUSAND, "at": "2026-10-05T08:00:00Z"}
    assert (await client.post("/v1/quote", json=request, headers=customer)).json()["amount"] == "0.035"
    assert (await client.post("/v1/quote", json=request)).json()["amount"] == "0.045"
    assert (await client.post("/v1/quote", json={**request, "account": account})).json()["amount"] == "0.035"


async def test_a_later_row_corrects_an_earlier_one_and_what_was_charged_stays(client: httpx.AsyncClient) -> None:
    account = await made(client)
    used = {"prompt_tokens": 1_000_000}
    await client.post("/v1/price-rows", json={"rows": [price(price="40")]})
    await client.post("/v1/events", json=event(account, "dear", model="house-model", usage=used))
    await client.post("/v1/price-rows", json={"rows": [price(price="4.00", note="the comma was wrong")]})
    await client.post("/v1/events", json=event(account, "right", model="house-model", usage=used))
    charges = [(await client.get(f"/v1/events/{name}")).json()["charge"] for name in ("dear", "right")]
    assert charges == ["20", "2"]
    rows = (await client.get("/v1/price-rows")).json()["data"]
    assert [row["price"] for row in rows] == ["40", "4"]


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "1M_apples"},
        {"dimension": "colour"},
        {"tier": "gold"},
        {"effective_to": "2026-09-01"},
        {"context": "<5k"},
    ],
)
async def test_prices_that_make_no_book_are_refused_and_change_nothing(
    client: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    answer = await client.post("/v1/price-rows", json={"rows": [price(model="other-model"), price(**change)]})
    assert (answer.status_code, answer.json()["code"]) == (400, "price_fault")
    assert answer.json()["errors"]
    assert (await client.get("/v1/price-rows")).json()["data"] == []
    assert (await client.get("/v1/prices/other-model")).status_code == 404


async def test_what_was_agreed_holds_from_the_first_request_of_a_process(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    account = await made(client)
    given = {"multiplier": "0.25", "reason": "friend", "effective_from": "2026-10-01T00:00:00Z"}
    await client.post(f"/v1/accounts/{account}/multipliers", json=given)
    other = Intake(pool, TermsKeeper(book.load(), "0.5"), settings)
    [result] = await other.post(batch(event(account, "1", usage=THOUSAND)))
    assert result.charge == "0.0225"  # $0.09 × 0.25
    await client.post(f"/v1/accounts/{account}/multipliers", json={**given, "multiplier": "0.2"})
    [result] = await other.post(batch(event(account, "2", usage=THOUSAND)))
    assert result.charge == "0.018"  # $0.09 × 0.2


async def test_nothing_is_charged_while_the_terms_cannot_be_read(
    client: httpx.AsyncClient, conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    account = await made(client)
    await client.post("/v1/price-rows", json={"rows": [price()]})
    await conn.execute("ALTER TABLE price_rows DISABLE TRIGGER ALL")
    await conn.execute("UPDATE price_rows SET unit = '1M_apples'")
    await conn.execute("UPDATE terms_version SET version = version + 1")
    answer = await client.post("/v1/events", json=event(account))
    assert (answer.status_code, answer.json()["code"]) == (503, "terms_unreadable")
    assert answer.headers["Retry-After"]
    assert (await client.get("/readyz")).json()["errors"][0]["code"] == "terms"
    await conn.execute("UPDATE price_rows SET unit = '1M_tokens'")
    assert (await client.post("/v1/events", json=event(account))).status_code == 200
    assert (await client.get("/readyz")).status_code == 200


async def test_an_event_that_cannot_be_billed_keeps_no_other_from_it(client: httpx.AsyncClient) -> None:
    account = await made(client)
    absurd = event(account, "absurd", model="house-model", usage={"prompt_tokens": 10**12})
    plain = event(account, "plain", model="house-model", usage={"prompt_tokens": 10**6})
    await client.post("/v1/events", json=[absurd, plain])
    await client.post("/v1/price-rows", json={"rows": [price(price="40000000")]})
    assert (await client.post("/v1/events/rerate")).json() == {"billed": 0, "amount": "0", "waiting": 2}
    await client.post("/v1/price-rows", json={"rows": [price(price="40")]})
    assert (await client.post("/v1/events/rerate")).json()["billed"] == 1


async def test_another_process_learns_of_new_terms(client: httpx.AsyncClient, pool: Pool, conn: Connection) -> None:
    other = TermsKeeper(book.load(), "0.5")
    await other.fresh(conn)
    before = other.current
    await other.fresh(conn)
    assert other.current is before
    await client.post("/v1/price-rows", json={"rows": [price()]})
    await other.fresh(conn)
    assert other.current.standard.book.card("house-model") is not None


async def test_two_who_change_the_terms_at_once_are_each_told_of_their_own(client: httpx.AsyncClient) -> None:
    account = await made(client)
    rows = [
        client.post("/v1/price-rows", json={"rows": [price(model=f"m{n}a"), price(model=f"m{n}b")]}) for n in range(4)
    ]
    told = [[row["model"] for row in answer.json()["data"]] for answer in await asyncio.gather(*rows)]
    assert told == [[f"m{n}a", f"m{n}b"] for n in range(4)]
    given = [{"multiplier": f"0.{n}", "reason": "at once"} for n in range(1, 5)]
    path = f"/v1/accounts/{account}/multipliers"
    answers = await asyncio.gather(*(client.post(path, json=one) for one in given))
    assert [answer.json()["multiplier"] for answer in answers] == ["0.1", "0.2", "0.3", "0.4"]


async def test_terms_of_nobody_are_not_found(client: httpx.AsyncClient) -> None:
    account = await made(client)
    for path, said in (
        ("accounts/acct_nobody/multipliers", {"multiplier": "0.4", "reason": "x"}),
        ("plans/none/multipliers", {"multiplier": "0.4", "reason": "x"}),
        ("accounts/acct_nobody/verification-policies", {"policy": "lower", "reason": "x"}),
        (f"accounts/{account}/plan", {"plan": "none"}),
    ):
        answer = await client.post(f"/v1/{path}", json=said)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_account_or_plan"), path
