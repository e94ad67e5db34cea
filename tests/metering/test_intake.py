"""Events taken against a real database: identity, prices, reviews, failures, late usage, whole batches or none."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from billing.accounts import keys
from billing.db.dollars import picos
from billing.db.pool import Connection, Pool
from billing.metering import reads
from billing.metering.answers import Result
from billing.metering.events import JSON, read
from billing.metering.intake import Intake
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book, money
from tests import factories
from tests.books import balance
from tests.metering.events import GPT_4, GPT_4_CHARGE, batch, event

pytestmark = pytest.mark.anyio


@pytest.fixture
def intake(pool: Pool, settings: Settings) -> Intake:
    return Intake(pool, TermsKeeper(book.load(), "0.5"), settings)


@pytest.fixture
async def account(conn: Connection) -> str:
    return await factories.account(conn)


async def posted(conn: Connection, account: str) -> str:
    return money.format((await balance(conn, account)).posted)


def statuses(results: list[Result]) -> list[str]:
    return [result.status for result in results]


async def test_an_event_is_charged_half_of_the_official_price(intake: Intake, conn: Connection, account: str) -> None:
    [result] = await intake.post(batch(event(account)))
    assert (result.status, result.charge) == ("accepted", GPT_4_CHARGE)
    assert await posted(conn, account) == "-" + GPT_4_CHARGE


async def test_the_same_event_again_is_a_duplicate_with_the_first_charge(
    intake: Intake, conn: Connection, account: str
) -> None:
    await intake.post(batch(event(account)))
    [again] = await intake.post(batch(event(account)))
    assert (again.status, again.charge) == ("duplicate", GPT_4_CHARGE)
    assert await posted(conn, account) == "-" + GPT_4_CHARGE


async def test_the_same_event_in_another_spelling_of_json_is_the_same_event(intake: Intake, account: str) -> None:
    first = msgspec.json.encode([event(account, "1"), event(account, "2", usage=None)])
    again = [{**event(account, "1"), "usage": dict(reversed(GPT_4.items()))}, event(account, "2", usage=...)]
    await intake.post(read(first, JSON, 10))
    assert statuses(await intake.post(read(json.dumps(again, indent=2).encode(), JSON, 10))) == ["duplicate"] * 2


async def test_an_instant_in_another_spelling_is_the_same_event(intake: Intake, account: str) -> None:
    await intake.post(batch(event(account, time="2026-10-05T08:00:00Z")))
    assert statuses(await intake.post(batch(event(account, time="2026-10-05T10:00:00+02:00")))) == ["duplicate"]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "gpt-4o"},
        {"time": "2026-10-05T08:00:01Z"},
        {"status": 500},
        {"usage": {"prompt_tokens": 20, "completion_tokens": 10}},
    ],
)
async def test_the_same_identity_with_another_content_is_a_conflict(
    intake: Intake, conn: Connection, account: str, change: dict[str, Any]
) -> None:
    await intake.post(batch(event(account)))
    [result] = await intake.post(batch(event(account, **change)))
    assert result.status == "conflict"
    assert await posted(conn, account) == "-" + GPT_4_CHARGE


async def test_counts_and_money_beyond_32_bits_are_right(intake: Intake, conn: Connection, account: str) -> None:
    """product.md, pain 20."""
    usage = {"prompt_tokens": 3_000_000_000, "completion_tokens": 2_999_999_999}
    results = await intake.post(batch(*(event(account, id, usage=usage) for id in ("e1", "e2"))))
    assert [result.charge for result in results] == ["134999.99997"] * 2  # at half of $30 and $60 a million
    assert await posted(conn, account) == "-269999.99994"
    cursor = await conn.execute("SELECT quantity FROM usage_rollups WHERE account_id = %s ORDER BY 1", [account])
    assert [row["quantity"] for row in await cursor.fetchall()] == [5_999_999_998, 6_000_000_000]


async def test_another_upstream_is_another_content(intake: Intake, account: str) -> None:
    sent = event(account, upstream={"name": "azure", "cost": "0.0001"})
    upstreams = [{"name": "azure", "cost": "0.0002"}, {"name": "azure"}, {"name": "aws", "cost": "0.0001"}, ...]
    others = [{**event(account), **({} if one is ... else {"upstream": one})} for one in upstreams]
    results = await intake.post(batch(sent, *others, sent))
    assert statuses(results) == ["accepted", *["conflict"] * 4, "duplicate"]
    assert statuses(await intake.post(batch(*others, sent))) == [*["conflict"] * 4, "duplicate"]
    await intake.post(batch(event(account, "none")))
    assert statuses(await intake.post(batch(event(account, "none", upstream={"name": "azure"})))) == ["conflict"]


async def test_repeats_within_a_batch_are_told_apart(intake: Intake, conn: Connection, account: str) -> None:
    results = await intake.post(batch(event(account), event(account), event(account, model="gpt-4o")))
    assert statuses(results) == ["accepted", "duplicate", "conflict"]
    results = await intake.post(batch(event(account, model="gpt-4o"), event(account)))
    assert statuses(results) == ["conflict", "duplicate"]
    assert await posted(conn, account) == "-" + GPT_4_CHARGE


async def test_identity_is_of_account_and_source(intake: Intake, conn: Connection, account: str) -> None:
    other = await factories.account(conn)
    results = await intake.post(batch(event(account), event(other), event(account, source="gateway-2")))
    assert statuses(results) == ["accepted"] * 3


async def test_an_unknown_model_is_kept_for_review_and_not_billed(
    intake: Intake, conn: Connection, account: str
) -> None:
    [result] = await intake.post(batch(event(account, model="gpt-4-turbi")))
    assert (result.status, result.charge) == ("unpriced", "0")
    assert "gpt-4-turbo" in (result.reason or "")
    [kept] = await reads.find(conn, event_id="chatcmpl-1", source=None, account_id=account)
    assert (kept.status, kept.review) == ("unpriced", "unpriced_model")
    assert await posted(conn, account) == "0"


async def test_a_dimension_without_a_price_is_never_free(intake: Intake, account: str) -> None:
    used = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"audio_tokens": 3}}
    [result] = await intake.post(batch(event(account, usage=used)))
    assert result.status == "unpriced"
    assert "input_audio" in (result.reason or "")


@pytest.mark.parametrize("usage", [..., None, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}])
async def test_an_answer_without_usage_is_flagged(intake: Intake, account: str, usage: object) -> None:
    [result] = await intake.post(batch(event(account, usage=usage, stream=True)))
    assert result.status == "unpriced"
    assert "does not say what was used" in (result.reason or "")


@pytest.mark.parametrize(
    ("change", "charge"),
    [
        ({"status": 500, "usage": ...}, "0"),
        ({"status": 429, "usage": {"prompt_tokens": 19, "completion_tokens": 0}}, "0"),
        ({"ended": "failed", "usage": {"prompt_tokens": 19, "completion_tokens": 0}}, "0"),
        ({"status": 500, "model": "no-such-model", "usage": ...}, "0"),
        ({"ended": "client_aborted", "usage": {"prompt_tokens": 0, "completion_tokens": 0}}, "0"),
        ({"model": "omni-moderation-latest", "usage": ...}, "0"),
        ({"ended": "upstream_cut"}, GPT_4_CHARGE),
        ({"ended": "failed"}, GPT_4_CHARGE),
        ({"status": 499, "ended": "client_aborted"}, GPT_4_CHARGE),
    ],
)
async def test_what_was_delivered_is_billed_and_nothing_else(
    intake: Intake, account: str, change: dict[str, Any], charge: str
) -> None:
    [result] = await intake.post(batch(event(account, **change)))
    assert (result.status, result.charge) == ("accepted", charge)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"account": "acct_nobody"}, "$.account"),
        ({"account": ..., "api_key": "idr_nobody"}, "$.api_key"),
        ({"account": ..., "api_key_hash": "0" * 64}, "$.api_key_hash"),
        ({"time": "2199-01-01T00:00:00Z"}, "$.time"),
        ({"time": "1999-01-01T00:00:00Z"}, "$.time"),
        ({"usage": {"prompt_tokens": 1, "total_tokens": 5}}, "$.usage.total_tokens"),
        (
            {"usage": {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}},
            "$.usage.prompt_tokens_details.cached_tokens",
        ),
        ({"usage": {}}, "$.usage"),
        ({"usage": {"gen_ai.usage.input_tokens": 1, "gen_ai.response.id": "a\x00"}}, "$.usage.gen_ai.response.id"),
        ({"usage": {"gen_ai.usage.input_tokens": 1, "gen_ai.response.id": "a" * 201}}, "$.usage.gen_ai.response.id"),
        ({"id": "chatcmpl-1~rerated"}, "$.id"),
        ({"id": "x" * 193}, "$.id"),
        ({"usage": {"prompt_tokens": 10**12, "completion_tokens": 0}}, "$.usage"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_place(
    intake: Intake, conn: Connection, account: str, change: dict[str, Any], path: str
) -> None:
    good, bad = await intake.post(batch(event(account, "good"), event(account, "bad", **change)))
    assert (good.status, bad.status) == ("accepted", "rejected")
    assert [(fault.index, fault.path) for fault in bad.errors] == [(1, path)]
    assert await posted(conn, account) == "-" + GPT_4_CHARGE


async def test_a_key_says_whose_usage_it_is_even_when_revoked(intake: Intake, conn: Connection, account: str) -> None:
    key, secret = await keys.create(conn, scope="customer", name="app", account_id=account)
    by_key = event(account, "1", account=..., api_key=secret)
    by_hash = event(account, "2", account=..., api_key_hash=keys.hash_of(secret).hex())
    await keys.revoke(conn, key.id)
    assert statuses(await intake.post(batch(by_key, by_hash))) == ["accepted"] * 2
    [row] = await reads.usage(
        conn,
        account_id=account,
        start=_instant("2026-10-01"),
        end=_instant("2026-11-01"),
        time_zone="UTC",
        group_by=["key"],
    )
    assert (row.key, row.requests, row.quantities) == (key.id, 2, {"input": 38, "output": 20})
    stored = await (await conn.execute("SELECT body::text FROM events WHERE account_id = %s", [account])).fetchall()
    assert all(secret not in row["body"] and "api_key" not in row["body"] for row in stored)


async def test_texts_are_never_stored(intake: Intake, conn: Connection, account: str) -> None:
    content = {"request": {"messages": [{"role": "user", "content": "a secret question"}]}, "response": {}}
    await intake.post(batch(event(account, content=content)))
    row = await (await conn.execute("SELECT body::text FROM events WHERE account_id = %s", [account])).fetchone()
    assert row is not None
    assert "secret" not in row["body"]
    assert "content" not in row["body"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda account: event(account, 7),
        lambda account: event(account, "b", model=...),
        lambda account: event(account, "a", model="gpt-4o"),
        lambda account: event("acct_nobody", "b"),
    ],
    ids=["malformed", "incomplete", "conflicting", "of an unknown account"],
)
async def test_all_or_nothing_books_nothing_beside_a_bad_event(
    intake: Intake, conn: Connection, account: str, spoil: Callable[[str], dict[str, Any]]
) -> None:
    results = await intake.post(batch(event(account, "a"), spoil(account), event(account, "c")), all_or_nothing=True)
    assert "accepted" not in statuses(results)
    assert len(results) == 3
    assert await posted(conn, account) == "0"


async def test_all_or_nothing_is_undone_by_a_conflict_with_what_is_booked(
    intake: Intake, conn: Connection, account: str
) -> None:
    await intake.post(batch(event(account, "a")))
    results = await intake.post(batch(event(account, "b"), event(account, "a", model="gpt-4o")), all_or_nothing=True)
    assert statuses(results) == ["rejected", "conflict"]
    assert await posted(conn, account) == "-" + GPT_4_CHARGE
    results = await intake.post(batch(event(account, "b"), event(account, "a")), all_or_nothing=True)
    assert statuses(results) == ["accepted", "duplicate"]


async def test_telemetry_names_the_model_and_the_tier_it_was_served_with(intake: Intake, account: str) -> None:
    usage = {
        "gen_ai.usage.input_tokens": 100_000,
        "gen_ai.usage.output_tokens": 0,
        "gen_ai.response.model": "gpt-5.4-2026-03-05",
        "openai.response.service_tier": "flex",
    }
    when = "2026-11-01T00:00:00Z"
    results = await intake.post(
        batch(
            event(account, "flex", model="gpt-5.4", usage=usage, time=when),
            event(account, "ours", model="gpt-5.4", usage=usage, time=when, service_tier="default"),
        )
    )
    assert [result.charge for result in results] == ["0.0625", "0.125"]  # $1.25 and $2.50 a million, × 0.1 × 0.5


async def test_prices_met_first_in_a_batch_that_was_undone_are_kept(
    intake: Intake, conn: Connection, account: str
) -> None:
    await intake.post(batch(event(account, "a")))
    odd = {"prompt_tokens": 5, "completion_tokens": 0}
    spoilt = [event(account, "b", model="gpt-4-32k", usage=odd), event(account, "a", model="gpt-4o")]
    await intake.post(batch(*spoilt), all_or_nothing=True)
    [result] = await intake.post(batch(spoilt[0]))
    assert (result.status, result.charge) == ("accepted", "0.00015")  # 5 × $60/1M × 0.5
    [kept] = await reads.find(conn, event_id="b", source=None, account_id=account)
    assert [line.entry for line in kept.lines] == ["gpt-4-32k/input@2023-03-14"]


async def test_late_usage_is_billed_in_the_open_period_with_its_own_time(
    intake: Intake, conn: Connection, account: str
) -> None:
    november = _instant("2026-11-01")
    await conn.execute("UPDATE balances SET open_from = %s WHERE account_id = %s", [november, account])
    await intake.post(batch(event(account, "late"), event(account, "on-time", time="2026-11-02T08:03:00Z")))
    rows = await (
        await conn.execute(
            "SELECT DISTINCT billed, slot FROM usage_rollups WHERE account_id = %s ORDER BY slot", [account]
        )
    ).fetchall()
    on_time = _instant("2026-11-02T08:00:00")
    assert [(row["billed"], row["slot"]) for row in rows] == [
        (november, _instant("2026-10-05T08:00:00")),
        (on_time, on_time),
    ]
    postings = await (
        await conn.execute("SELECT effective_at, amount FROM postings WHERE account_id = %s ORDER BY line", [account])
    ).fetchall()
    assert [(row["effective_at"], money.format(picos(row["amount"]))) for row in postings] == [
        (november, GPT_4_CHARGE),
        (on_time, GPT_4_CHARGE),
    ]


@pytest.mark.parametrize("number", ["1e-99999999999999999999", "1e-200000", "1." + "1" * 20_000, "1e999999999"])
async def test_an_absurd_number_is_refused_beside_good_events(
    intake: Intake, conn: Connection, account: str, number: str
) -> None:
    body = b"[" + msgspec.json.encode(event(account, "good")) + b"," + msgspec.json.encode(event(account, "bad")) + b"]"
    spoilt = body.replace(b'{"prompt_tokens":19', b'{"seconds":' + number.encode() + b',"prompt_tokens":19', 2)
    spoilt = spoilt.replace(b'{"seconds":' + number.encode() + b",", b"{", 1)
    good, bad = await intake.post(read(spoilt, JSON, 10))
    assert (good.status, bad.status) == ("accepted", "rejected")
    assert await posted(conn, account) == "-" + GPT_4_CHARGE


async def test_bytes_that_are_no_text_are_refused_beside_good_events(intake: Intake, account: str) -> None:
    odd = msgspec.json.encode([event(account, "good"), event(account, "bad", usage={"prompt_tokens": 1, "x": "?"})])
    good, bad = await intake.post(read(odd.replace(b"?", b"\xff"), JSON, 10))
    assert (good.status, bad.status, bad.errors[0].path) == ("accepted", "rejected", "$.usage")
    unread = read(
        odd.replace(b"?", b"\xff").replace(b'"status"', b'"statsu"').replace(b'"id":"bad"', b'"id":7'), JSON, 10
    )
    assert [index for index, _ in unread.events] == [0]
    assert {fault.index for fault in unread.faults} == {1}


PLATFORM_MODELS = {
    "gpt-4-vision-preview": "0.02",  # 2000 × $10/1M × 0.5 + 1000 × $20/1M × 0.5, as published
    "gpt-4-1106-preview": "0.02",
    "gpt-4": "0.06",  # 2000 × $30/1M × 0.5 + 1000 × $60/1M × 0.5
    "gpt-3.5-turbo": "0.00125",  # 2000 × $0.5/1M × 0.5 + 1000 × $1.5/1M × 0.5
    "gpt-3.5-turbo-0125": "0.00125",
    "gpt-3.5-turbo-0301": "0.0025",  # 2000 × $1.5/1M × 0.5 + 1000 × $2/1M × 0.5
    "gpt-3.5-turbo-0613": "0.0025",
    "gpt-3.5-turbo-1106": "0.002",  # 2000 × $1/1M × 0.5 + 1000 × $2/1M × 0.5
    "gpt-3.5-turbo-16k": "0.005",  # 2000 × $3/1M × 0.5 + 1000 × $4/1M × 0.5
    "gpt-3.5-turbo-16k-0613": "0.005",
    "gpt-3.5-turbo-instruct": "0.0025",
}
TOKENS = {"prompt_tokens": 2000, "completion_tokens": 1000, "total_tokens": 3000}
OTHER_MODELS = [
    ("text-embedding-ada-002", {"prompt_tokens": 2000, "total_tokens": 2000}, "0.0001"),  # 2000 × $0.1/1M × 0.5
    ("dall-e-2", {"n": 3, "size": "512x512"}, "0.027"),  # 3 × $0.018 × 0.5
    ("dall-e-3", {"n": 1}, "0.02"),  # $0.04 × 0.5
    ("dall-e-3", {"n": 1, "size": "1024x1792", "quality": "hd"}, "0.06"),  # $0.12 × 0.5
    ("tts-1", {"characters": 1000}, "0.0075"),  # 1000 × $15/1M × 0.5
    ("tts-1-1106", {"characters": 1000}, "0.0075"),
    ("tts-1-hd", {"characters": 1000}, "0.015"),  # 1000 × $30/1M × 0.5
    ("tts-1-hd-1106", {"characters": 1000}, "0.015"),
]


@pytest.mark.parametrize(
    ("model", "usage", "charge"),
    [*((model, TOKENS, charge) for model, charge in PLATFORM_MODELS.items()), *OTHER_MODELS],
)
async def test_every_model_of_the_platform_is_billable(
    intake: Intake, account: str, model: str, usage: dict[str, Any], charge: str
) -> None:
    [result] = await intake.post(batch(event(account, model=model, usage=usage)))
    assert (result.status, result.charge) == ("accepted", charge)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
