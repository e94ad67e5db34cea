"""Events that carry their text: counted by real processes, judged, billed by a policy, kept with both numbers."""

import json
from typing import Any

import msgspec
import pytest
from psycopg import sql

from billing import proof
from billing.accounts import keys
from billing.db.pool import Connection, Pool
from billing.db.schema import metadata
from billing.metering import reads
from billing.metering.answers import Result, answer
from billing.metering.events import JSON, read
from billing.metering.intake import Intake
from billing.metering.rerate import rerate
from billing.observe.metrics import VERIFICATIONS
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book, money
from tests import factories
from tests.metering.contents import ANSWER, ANSWER_TOKENS, CHUNKS, HELLO, HELLO_TOKENS
from tests.metering.events import batch, event

pytestmark = pytest.mark.anyio

CONTENT = {"request": HELLO, "response": ANSWER}
TRUE = {"prompt_tokens": HELLO_TOKENS, "completion_tokens": ANSWER_TOKENS}
HALF = money.parse("0.5")


def gpt_4(given: int, answered: int) -> str:
    """Dollars at half of $30 and $60 a million tokens."""
    return money.format((given * 15 + answered * 30) * money.PICOS_PER_DOLLAR // 10**6)


@pytest.fixture
async def intake(pool: Pool, settings: Settings) -> Any:
    taking = Intake(pool, TermsKeeper(book.load(), "0.5"), settings)
    yield taking
    await taking.close()


@pytest.fixture
async def account(conn: Connection) -> str:
    return await factories.account(conn)


async def one(intake: Intake, account: str, id: str = "chatcmpl-1", /, **changes: Any) -> Result:
    [result] = await intake.post(batch(event(account, id, **{"usage": TRUE, "content": CONTENT, **changes})))
    return result


async def test_a_true_report_is_exact_and_both_numbers_are_told(intake: Intake, conn: Connection, account: str) -> None:
    result = await one(intake, account)
    found = result.verification
    assert (result.status, result.charge) == ("accepted", gpt_4(HELLO_TOKENS, ANSWER_TOKENS))
    assert found is not None
    assert (found.verdict, found.policy, found.unit) == ("exact", "reported", "tokens")
    assert (found.reported.input, found.reported.output) == (HELLO_TOKENS, ANSWER_TOKENS)
    assert found.counted.input is not None
    assert found.counted.input[0] <= HELLO_TOKENS
    [view] = await reads.find(conn, event_id="chatcmpl-1", source=None, account_id=account)
    assert view.verification == found


async def test_what_is_reported_above_our_count_is_not_billed(intake: Intake, conn: Connection, account: str) -> None:
    result = await one(intake, account, usage={"prompt_tokens": 1_000, "completion_tokens": 500})
    found = result.verification
    assert found is not None
    assert found.verdict == "over_reported"
    highest_in, highest_out = found.counted.input[1], found.counted.output[1]  # type: ignore[index]
    assert highest_in is not None
    assert highest_out is not None
    assert highest_in < 50
    assert highest_out < 50
    assert (found.billed.input, found.billed.output) == (highest_in, highest_out)
    assert result.charge == gpt_4(highest_in, highest_out)
    row = await (await conn.execute("SELECT * FROM verdict_rollups WHERE account_id = %s", [account])).fetchone()
    assert row is not None
    assert (row["verdict"], row["events"]) == ("over_reported", 1)
    assert row["excess"] == 1_500 - highest_in - highest_out
    saved = money.parse(gpt_4(1_000, 500)) - money.parse(result.charge)
    assert money.parse(str(row["excess_amount"])) == saved


async def test_what_is_cached_is_taken_last_when_a_report_is_cut(intake: Intake, account: str) -> None:
    usage = {"prompt_tokens": 1_000, "completion_tokens": ANSWER_TOKENS, "prompt_tokens_details": {"cached_tokens": 4}}
    result = await one(intake, account, model="gpt-4o", usage=usage)
    assert result.verification is not None
    assert result.verification.billed.input is not None
    fresh = result.verification.billed.input - 4  # $2.50, cached $1.25, output $10 a million
    micros = fresh * 250 + 4 * 125 + ANSWER_TOKENS * 1_000
    assert result.charge == money.format(micros * money.PICOS_PER_DOLLAR // 10**8 // 2)


@pytest.mark.parametrize(("policy", "billed"), [("reported", 5), ("counted", HELLO_TOKENS), ("lower", 5)])
async def test_a_policy_says_what_a_low_report_bills(
    pool: Pool, settings: Settings, account: str, policy: Any, billed: int
) -> None:
    taking = Intake(pool, TermsKeeper(book.load(), "0.5", policy), settings)
    result = await one(taking, account, usage={"prompt_tokens": 5, "completion_tokens": ANSWER_TOKENS})
    assert result.verification is not None
    assert result.verification.verdict == "under_reported"
    assert result.verification.policy == policy
    assert result.charge == gpt_4(billed, ANSWER_TOKENS)
    await taking.close()


async def test_pictures_that_were_not_delivered_cost_nothing_whatever_is_reported(intake: Intake, account: str) -> None:
    content = {"request": {"prompt": "a cat"}, "response": {"data": []}}
    images = {"model": "dall-e-3", "endpoint": "/v1/images/generations", "usage": {"n": 1}, "content": content}
    result = await one(intake, account, **images)
    assert (result.status, result.charge) == ("accepted", "0")
    assert result.verification is not None
    assert result.verification.verdict == "over_reported"


async def test_the_lower_number_is_the_report_where_nothing_bounds_the_count(
    pool: Pool, settings: Settings, account: str
) -> None:
    taking = Intake(pool, TermsKeeper(book.load(), "0.5", "lower"), settings)
    left_out = {"request": {"messages": [{"role": "user", "content": "<elided base64 9 chars>"}]}, "response": ANSWER}
    result = await one(
        taking, account, usage={"prompt_tokens": 900, "completion_tokens": ANSWER_TOKENS}, content=left_out
    )
    assert result.charge == gpt_4(900, ANSWER_TOKENS)
    await taking.close()


@pytest.mark.parametrize("usage", [..., None, {"prompt_tokens": 0, "completion_tokens": 0}])
async def test_without_usage_the_count_is_billed(intake: Intake, account: str, usage: Any) -> None:
    result = await one(intake, account, usage=usage)
    assert (result.status, result.charge) == ("accepted", gpt_4(HELLO_TOKENS, ANSWER_TOKENS))
    assert result.verification is not None
    assert result.verification.verdict == "counted"


@pytest.mark.parametrize("ended", ["client_aborted", "upstream_cut"])
async def test_a_stream_that_was_cut_is_billed_for_what_was_delivered(intake: Intake, account: str, ended: str) -> None:
    delivered = {"request": HELLO, "response": CHUNKS[:2]}
    result = await one(intake, account, usage=..., content=delivered, ended=ended, stream=True)
    assert (result.status, result.charge) == ("accepted", gpt_4(HELLO_TOKENS, 3))  # Hello ! How
    nothing = {"request": HELLO, "response": []}
    result = await one(intake, account, "nothing", usage=..., content=nothing, ended=ended, stream=True)
    assert (result.status, result.charge) == ("accepted", gpt_4(HELLO_TOKENS, 0))


async def test_an_answer_that_is_missing_is_not_guessed(intake: Intake, account: str) -> None:
    result = await one(intake, account, usage=..., content={"request": HELLO})
    assert (result.status, result.charge) == ("unpriced", "0")
    assert result.verification is not None
    assert "response" in result.verification.reason


async def test_a_failed_request_costs_nothing_whatever_text_came_along(intake: Intake, account: str) -> None:
    failed = {"request": HELLO, "response": {"error": {"message": "overloaded"}}}
    result = await one(intake, account, usage=..., content=failed, status=503, ended="failed")
    assert (result.status, result.charge, result.verification) == ("accepted", "0", None)


@pytest.mark.parametrize(
    ("model", "endpoint", "content", "charge"),
    [
        ("tts-1", "/v1/audio/speech", {"request": {"input": "你好 world"}}, "0.00006"),  # 8 × $15/1M × 0.5
        ("text-embedding-ada-002", "/v1/embeddings", {"request": {"input": ["Hello!", "Hello!"]}}, "0.0000002"),
        (
            "dall-e-3",
            "/v1/images/generations",
            {"request": {"prompt": "a cat", "quality": "hd"}, "response": {"data": [{"url": "x"}]}},
            "0.04",
        ),
    ],
)
async def test_other_endpoints_are_counted_in_their_own_unit(
    intake: Intake, account: str, model: str, endpoint: str, content: Any, charge: str
) -> None:
    result = await one(intake, account, model=model, endpoint=endpoint, usage=..., content=content)
    assert (result.status, result.charge) == ("accepted", charge)


async def test_a_usage_in_another_unit_is_billed_as_reported(intake: Intake, account: str) -> None:
    result = await one(intake, account, usage=..., model="no-such-model")
    assert (result.status, result.verification and result.verification.verdict) == ("unpriced", "unverifiable")
    other = {"request": {"input": "hello"}}
    result = await one(intake, account, "2", model="tts-1", endpoint="/v1/audio/speech", content=other, usage=TRUE)
    assert result.verification is not None
    assert result.verification.reason == "the usage is given in tokens, the text counts in characters"


async def test_the_same_event_is_a_duplicate_with_its_text_and_without(intake: Intake, account: str) -> None:
    await one(intake, account)
    assert (await one(intake, account)).status == "duplicate"
    assert (await one(intake, account, content=...)).status == "duplicate"
    assert (await one(intake, account, usage={"prompt_tokens": 8})).status == "conflict"


@pytest.mark.parametrize(
    "odd",
    [
        b'{"request":{"messages":[{"role":"user","content":"'
        + rb"\ud800 \udc00\ud800 \\ud800"
        + b'"}]},"response":{}}',
        b'{"request":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"request":' + b'{"a":[' * 3_000 + b"]}" * 3_000 + b"}",
        b'{"request":"\xff\xfe"}',
        b'"text"',
        b"[1,2]",
        b"5",
    ],
    ids=["surrogates", "deep", "deep-mixed", "not-utf-8", "string", "array", "number"],
)
async def test_no_event_is_lost_over_an_odd_text(intake: Intake, account: str, odd: bytes) -> None:
    plain = msgspec.json.encode(event(account, "odd", usage=TRUE, content={"o": 1}))
    body = b"[" + plain.replace(b'{"o":1}', odd) + b"," + msgspec.json.encode(event(account, "other")) + b"]"
    results = await intake.post(read(body, JSON, 10))
    assert [result.status for result in results] == ["accepted", "accepted"]
    assert results[0].verification is not None
    assert results[0].charge == gpt_4(HELLO_TOKENS, ANSWER_TOKENS)


async def test_text_is_in_no_table_and_no_log(
    intake: Intake, conn: Connection, account: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret = {"messages": [{"role": "user", "content": "kingfisher", "name": "kingfisher"}], "tools": "kingfisher"}
    for number, content in enumerate([{"request": secret, "response": {"choices": "kingfisher"}}, ["kingfisher"]]):
        result = await one(intake, account, f"e{number}", content=content)
        assert "kingfisher" not in repr(result)
    await one(intake, account, "none", content={"request": secret, "response": ANSWER}, usage=..., model="kingfisher-1")
    for table in metadata.tables:
        query = sql.SQL("SELECT count(*) AS n FROM {} AS t WHERE t::text LIKE '%kingfisher%'")
        row = await (await conn.execute(query.format(sql.Identifier(table)))).fetchone()
        expected = 1 if table == "events" else 0  # the model's name, which the last event gives
        assert row is not None
        assert row["n"] == expected, table
    assert "kingfisher" not in caplog.text


async def test_mismatches_are_listed_without_being_asked_for(intake: Intake, account: str) -> None:
    good = [event(account, f"good{number}", usage=TRUE, content=CONTENT) for number in range(3)]
    bad = event(account, "bad", usage={"prompt_tokens": 10**6, "completion_tokens": 1}, content=CONTENT)
    told = answer(await intake.post(batch(*good, bad)), everything=False)
    assert [result.id for result in told.results] == ["bad"]


async def test_a_counted_event_that_waited_for_a_price_is_billed_by_its_count(
    relay_pool: Pool, settings: Settings
) -> None:
    async with relay_pool.connection() as conn:
        account = await factories.account(conn)
    taking = Intake(relay_pool, TermsKeeper(book.load(), "0.5"), settings)
    new = {"model": "gpt-4-turbo-2031-01-01", "content": CONTENT}
    assert (await one(taking, account, "counted", usage=..., **new)).status == "unpriced"
    assert (await one(taking, account, "cut", usage={"prompt_tokens": 999, "completion_tokens": 1}, **new)).status == (
        "unpriced"
    )
    await taking.close()
    rows = "".join(
        f"gpt-4-turbo-2031-01-01,{name},,,1M_tokens,{price},2020-01-01,,A,x,2026-01-01,\n"
        for name, price in (("input", 30), ("output", 60))
    )
    columns = "model,dimension,tier,context,unit,price,effective_from,effective_to,confidence,source,checked,note\n"
    priced = Intake(relay_pool, TermsKeeper(book.load().overlaid(columns + rows), "0.5"), settings)
    done = await rerate(relay_pool, priced.large, account)
    assert done.billed == 2
    async with relay_pool.connection() as conn:
        [counted] = await reads.find(conn, event_id="counted~rerated", source=None, account_id=account)
        [cut] = await reads.find(conn, event_id="cut~rerated", source=None, account_id=account)
        assert counted.charge == gpt_4(HELLO_TOKENS, ANSWER_TOKENS)
        assert money.parse(cut.charge) < money.parse(gpt_4(100, 1))
        assert await proof.differences(conn) == []


async def test_the_proof_knows_verdicts(relay_pool: Pool, settings: Settings) -> None:
    async with relay_pool.connection() as conn:
        account = await factories.account(conn)
    taking = Intake(relay_pool, TermsKeeper(book.load(), "0.5"), settings)
    await one(taking, account, "over", usage={"prompt_tokens": 1_000, "completion_tokens": 500})
    await one(taking, account, "none", usage=...)
    await one(taking, account, "true")
    await taking.close()
    async with relay_pool.connection() as conn:
        assert await proof.differences(conn) == []
        await conn.execute("UPDATE verdict_rollups SET excess = excess + 1 WHERE verdict = 'over_reported'")
        await conn.execute("ALTER TABLE verdicts DISABLE TRIGGER USER")
        await conn.execute("UPDATE verdicts SET billed_input = 999 WHERE id = 'over'")
        found = await proof.differences(conn)
    assert any("sum up to" in difference for difference in found)
    assert any("Event over" in difference and "another usage" in difference for difference in found)


async def test_over_http(client: Any, conn: Connection, account: str) -> None:
    gateway = await factories.key(conn, "gateway")
    sent = event(account, usage={"prompt_tokens": 900, "completion_tokens": ANSWER_TOKENS}, content=CONTENT)
    headers = {"Authorization": f"Bearer {gateway}"}
    response = await client.post("/v1/events", content=json.dumps(sent), headers=headers | {"Content-Type": JSON})
    [result] = response.json()["results"]
    assert result["verification"]["verdict"] == "over_reported"
    assert result["verification"]["reported"] == {"input": 900, "output": ANSWER_TOKENS}
    secret = await factories.key(conn, "customer", account)
    told = (await client.get("/v1/events/chatcmpl-1", headers={"Authorization": f"Bearer {secret}"})).json()
    assert told["verification"] == result["verification"]
    assert keys.hash_of(secret).hex() not in json.dumps(told)


async def test_a_verdict_that_is_taken_back_is_not_counted(intake: Intake, account: str) -> None:
    exact = VERIFICATIONS.labels("exact")._value
    assert (await one(intake, account, "booked")).status == "accepted"
    before = exact.get()
    judged = event(account, "judged", usage=TRUE, content=CONTENT)
    other = event(account, "booked", usage={"prompt_tokens": 1, "completion_tokens": 1})
    results = await intake.post(batch(judged, other), all_or_nothing=True)
    assert [result.status for result in results] == ["rejected", "conflict"]
    assert exact.get() == before
    for _ in range(2):
        await intake.post(batch(judged), all_or_nothing=True)
        assert exact.get() == before + 1
