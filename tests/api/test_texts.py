"""What texts, instants and time zones may be: what is not is refused at its place, and nothing of it reaches a log."""

import logging
from typing import Any

import httpx
import psycopg
import pytest

from billing import ids
from billing.db.pool import Connection
from tests.api.test_accounts import made
from tests.metering.events import event

pytestmark = pytest.mark.anyio

PRICE = {
    "model": "m",
    "dimension": "input",
    "unit": "1M_tokens",
    "price": "4",
    "effective_from": "2026-10-01",
    "source": "s",
}


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/v1/accounts", {"name": "Ada", "id": "acct_nl\n"}, "$.id"),
        ("/v1/accounts", {"name": "Ada\n"}, "$.name"),
        ("/v1/accounts", {"name": "Ada\x85"}, "$.name"),
        ("/v1/accounts", {"name": "Ada\u2028Eve"}, "$.name"),
        ("/v1/accounts", {"name": "Ada", "address": "1 Mill Lane\r\nLondon"}, "$.address"),
        ("/v1/plans", {"id": "resellers\n"}, "$.id"),
        ("/v1/accounts/acct_a/plan", {"plan": "resellers\n"}, "$.plan"),
        ("/v1/accounts/acct_a/multipliers", {"multiplier": "0.5\n", "reason": "r"}, "$.multiplier"),
        ("/v1/accounts/acct_a/multipliers", {"multiplier": "0.5", "reason": "r\n"}, "$.reason"),
        ("/v1/accounts/acct_a/verification-policies", {"policy": "lower\n", "reason": "r"}, "$.policy"),
        ("/v1/upstream-factors", {"upstream": "u\n", "factor": "1", "reason": "r"}, "$.upstream"),
        ("/v1/upstream-factors", {"upstream": "u", "factor": "1\n", "reason": "r"}, "$.factor"),
        ("/v1/accounts/acct_a/top-ups", {"amount": "1\n"}, "$.amount"),
        ("/v1/accounts/acct_a/top-ups", {"amount": "1", "reference": "r\n"}, "$.reference"),
        ("/v1/accounts/acct_a/keys", {"name": "k\n"}, "$.name"),
        ("/v1/price-rows", {"rows": [PRICE], "account": "acct_a\n"}, "$.account"),
    ],
)
async def test_nothing_may_follow_the_end_of_a_text(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], place: str
) -> None:
    answer = await client.post(path, json=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 400
    assert [error["path"] for error in answer.json()["errors"]] == [place]


async def test_other_scripts_and_several_lines_are_fine(client: httpx.AsyncClient) -> None:
    account = await made(client, name="Zoë 爱达 😀", address="1 Mill Lane\nLondon")
    assert (await client.get(f"/v1/accounts/{account}")).json()["name"] == "Zoë 爱达 😀"


@pytest.mark.parametrize("text", ["%ED%A0%80", "%FF", "%00", "%0A", "%C2%85", "%E2%80%A8"])
async def test_odd_characters_in_an_address_are_nobody(client: httpx.AsyncClient, text: str) -> None:
    for path in (
        f"/v1/accounts/{text}",
        f"/v1/events/{text}",
        f"/v1/event?id={text}",
        f"/v1/usage?account={text}",
        f"/v1/accounts?starting_after={text}",
        f"/v1/multipliers?plan={text}",
        f"/v1/verification-policies?account={text}",
        f"/v1/upstream-factors?upstream={text}",
    ):
        assert (await client.get(path)).status_code in (200, 400, 404), path


async def test_half_a_character_is_refused(client: httpx.AsyncClient) -> None:
    for body in (rb'{"name":"a\ud800"}', rb'{"name":"\udc00a"}', b'{"name":"\xed\xa0\x80"}'):
        answer = await client.post("/v1/accounts", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


@pytest.mark.parametrize(
    "zone", ["localtime", "posixrules", "Factory", "right/UTC", "posix/Europe/Berlin", "europe/berlin", "FOO5", "UTC\n"]
)
async def test_only_zones_that_python_and_the_database_know_are_taken(client: httpx.AsyncClient, zone: str) -> None:
    answer = await client.post("/v1/accounts", json={"name": "Ada", "time_zone": zone})
    assert answer.status_code == 400
    assert [error["path"] for error in answer.json()["errors"]] == ["$.time_zone"]


@pytest.mark.parametrize("parameter", ["start", "end"])
@pytest.mark.parametrize("at", ["0001-01-01", "1999-12-31", "9999-12-31", "2200-01-01", "0001-01-01T00:00:00+14:00"])
async def test_instants_beyond_what_is_sensible_are_refused_by_name(
    client: httpx.AsyncClient, parameter: str, at: str
) -> None:
    account = await made(client, time_zone="Asia/Shanghai")
    answer = await client.get("/v1/usage", params={"account": account, parameter: at})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "invalid_time")
    assert [error["path"] for error in problem["errors"]] == [parameter]


async def test_the_first_and_last_sensible_days_are_taken(client: httpx.AsyncClient) -> None:
    account = await made(client, time_zone="Pacific/Kiritimati")
    for span in ({"end": "2000-01-01"}, {"start": "2199-12-31", "end": "2199-12-31T23:59:59-12:00"}):
        answer = await client.get("/v1/usage", params={"account": account, **span})
        assert answer.status_code == 200, answer.text


async def test_an_unescaped_plus_is_understood(client: httpx.AsyncClient) -> None:
    account = await made(client)
    query = f"account={account}&start=2026-10-01T00:00:00+02:00&end=2026-10-02T00:00:00.5+00:00"
    report = (await client.get(f"/v1/usage?{query}")).json()
    assert report["start"] == "2026-10-01T00:00:00+02:00"


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
async def test_instants_of_bodies_are_bounded(client: httpx.AsyncClient, at: str) -> None:
    account = await made(client)
    dated = {"multiplier": "0.5", "reason": "r", "effective_from": at}
    policy = {"policy": "lower", "reason": "r", "effective_from": at}
    factor = {"upstream": "u", "factor": "1", "reason": "r", "effective_from": at}
    answers = [
        await client.post(f"/v1/accounts/{account}/keys", json={"expires_at": at}),
        await client.post(f"/v1/accounts/{account}/multipliers", json=dated),
        await client.post(f"/v1/accounts/{account}/verification-policies", json=policy),
        await client.post(f"/v1/accounts/{account}/plan", json={"plan": None, "effective_from": at}),
        await client.post("/v1/price-rows", json={"rows": [PRICE | {"effective_from": at[:10]}]}),
        await client.post("/v1/price-rows", json={"rows": [PRICE | {"effective_to": at[:10]}]}),
        await client.post("/v1/upstream-factors", json=factor),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(400, "invalid_time")] * 7
    assert answers[4].json()["errors"][0]["path"] == "$.rows[0].effective_from"


async def test_money_is_not_dated_before_us(client: httpx.AsyncClient) -> None:
    account = await made(client)
    for at in ("0001-01-01T00:00:00+14:00", "2019-12-31T23:59:59Z"):
        answer = await client.post(
            f"/v1/accounts/{account}/top-ups",
            json={"amount": "1", "effective_at": at},
            headers={"Idempotency-Key": account},
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "too_early")


@pytest.mark.parametrize("chained", [False, True])
async def test_a_row_the_database_refuses_is_not_logged(
    client: httpx.AsyncClient,
    conn: Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    chained: bool,
) -> None:
    customer = "of a customer".upper()

    async def create(*_: object, **__: object) -> None:
        try:
            await conn.execute("INSERT INTO accounts (id, name, time_zone) VALUES ('nobody', %s, 'UTC')", [customer])
        except psycopg.Error as error:
            if chained:
                raise RuntimeError from error
            raise

    monkeypatch.setattr("billing.accounts.store.create", create)
    with caplog.at_level(logging.ERROR):
        answer = await client.post("/v1/accounts", json={"name": "Ada", "id": ids.new("acct")})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is None
    told = vars(record)
    assert told["sqlstate"] == psycopg.errors.CheckViolation.sqlstate
    assert "accounts_id_check" in told["reason"]
    assert "test_texts.py" in told["stack"]
    assert customer not in str(told)


async def test_a_million_faults_of_an_event_are_not_all_told(client: httpx.AsyncClient) -> None:
    flood = {f"unknown {number}": 0 for number in range(200_000)}
    answer = await client.post("/v1/events", json=flood | event("acct_a", "x", ended="e" * 100_000))
    errors = answer.json()["errors"]
    assert answer.status_code == 400
    assert [error["code"] for error in errors] == ["invalid_value"] + ["unknown_field"] * 19 + ["more_faults"]
    assert len(answer.content) < 20_000
