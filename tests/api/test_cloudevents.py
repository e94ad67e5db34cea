"""CloudEvents over HTTP, and every spelling of usage as gateways post it."""

from typing import Any

import httpx
import msgspec
import pytest

from billing.db.pool import Connection
from tests.api.test_accounts import made
from tests.metering.events import GPT_4, GPT_4_CHARGE, event
from tests.metering.test_cloudevents import ATTRIBUTES, TIME, cloudevent

pytestmark = pytest.mark.anyio

STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}


async def posted(client: httpx.AsyncClient, body: Any, headers: dict[str, str]) -> httpx.Response:
    return await client.post("/v1/events", content=msgspec.json.encode(body), headers=headers)


def binary(account: str, **headers: str) -> dict[str, str]:
    named = {"specversion": "1.0", "id": "e1", "source": "/gw/1", "type": "usage", "time": TIME, "subject": account}
    return {"Content-Type": "application/json", **{f"CE-{name}": value for name, value in {**named, **headers}.items()}}


async def test_each_mode_posts_the_same_event(client: httpx.AsyncClient) -> None:
    account = await made(client)
    first = await posted(client, cloudevent(subject=account), STRUCTURED)
    assert (first.status_code, first.json()["accepted"]) == (200, 1)
    assert first.json()["results"][0]["charge"] == GPT_4_CHARGE
    batch = await posted(client, [cloudevent(subject=account), cloudevent(subject=account, id="e2")], BATCH)
    assert [result["status"] for result in batch.json()["results"]] == ["duplicate", "accepted"]
    again = await posted(client, {"model": "gpt-4", "usage": GPT_4}, binary(account))
    assert again.json()["duplicates"] == 1
    plain = event(account, "e1", source="/gw/1", time=TIME)
    assert (await client.post("/v1/events", json=plain)).json()["duplicates"] == 1


async def test_faults_are_placed_where_they_were_sent_also_those_found_late(client: httpx.AsyncClient) -> None:
    account = await made(client)
    wrong_sum = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 5}
    events = [
        cloudevent(subject=account),
        cloudevent(subject="acct_nobody", id="e2"),
        cloudevent(subject=account, id="e3", data={"model": "gpt-4", "usage": wrong_sum}),
        cloudevent(subject=account, id="e4", time="2019-10-05T08:00:00Z"),
        cloudevent(subject=account, id="e5", data={**ATTRIBUTES, "gen_ai.usage.cache_read.input_tokens": 101}),
        cloudevent(subject=account, id="e6", type="com.example.login"),
        cloudevent(subject=None, id="e7", data={"model": "gpt-4", "api_key": "idr_unknown"}),
    ]
    answer = (await posted(client, events, BATCH)).json()
    assert (answer["accepted"], answer["rejected"]) == (1, 6)
    places = [result["errors"][0]["path"] for result in answer["results"][1:]]
    assert places == [
        "$.subject",
        "$.data.usage.total_tokens",
        "$.time",
        "$.data.gen_ai.usage.cache_read.input_tokens",
        "$.type",
        "$.data.api_key",
    ]
    assert answer["results"][1]["reason"].startswith("$.subject: ")
    refused = await posted(client, wrong_sum, binary(account, time="2019-10-05T08:00:00Z"))
    assert (refused.status_code, refused.json()["code"]) == (400, "nothing_accepted")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "application/cloudevents+xml"}, 415, "content_type"),
        ({**binary("acct_a"), "Content-Type": "application/x-ndjson"}, 415, "content_type"),
        ({**binary("acct_a"), "Content-Type": "text/plain"}, 415, "content_type"),
        (BATCH, 400, "malformed_json"),
        (STRUCTURED, 400, "nothing_accepted"),
    ],
)
async def test_other_bodies_are_refused(
    client: httpx.AsyncClient, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await posted(client, {}, headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_texts_in_cloudevents_are_counted_and_dropped(client: httpx.AsyncClient, conn: Connection) -> None:
    account = await made(client)
    text = {"request": {"model": "gpt-4", "messages": [{"role": "user", "content": "?"}]}}
    data = {"model": "gpt-4", "usage": {"prompt_tokens": 8, "completion_tokens": 0}, "content": text}
    body = msgspec.json.encode(cloudevent(subject=account, data=data)).replace(b'"?"', rb'"secret \ud800"')
    answer = (await client.post("/v1/events", content=b"[" + body + b"]", headers=BATCH)).json()
    assert answer["results"][0]["verification"]["verdict"] != "unverifiable"
    kept = await (await conn.execute("SELECT body::text FROM events WHERE account_id = %s", [account])).fetchall()
    assert len(kept) == 1
    assert "secret" not in str(kept)


async def test_the_description_shows_the_envelope(client: httpx.AsyncClient) -> None:
    described = (await client.get("/schema/openapi.json")).json()["paths"]["/v1/events"]["post"]["requestBody"]
    assert {"application/cloudevents+json", "application/cloudevents-batch+json"} < set(described["content"])


SPELLINGS = {
    "chat": ("gpt-4", GPT_4, GPT_4_CHARGE),
    "completions": ("gpt-3.5-turbo-instruct", {"prompt_tokens": 2000, "completion_tokens": 1000}, "0.0025"),
    "embeddings": ("text-embedding-ada-002", {"prompt_tokens": 2000, "total_tokens": 2000}, "0.0001"),
    "cached": (  # 60 × $2.5/1M × 0.5 + 40 × $1.25/1M × 0.5 + 9 × $10/1M × 0.5
        "gpt-4o-2024-08-06",
        {"prompt_tokens": 100, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 40}},
        "0.000145",
    ),
    "responses": (
        "gpt-4o-2024-08-06",
        {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 40},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 109,
        },
        "0.000145",
    ),
    "images": ("dall-e-3", {"n": 1, "size": "1024x1792", "quality": "hd"}, "0.06"),  # $0.12 × 0.5
    "images by tokens": (  # 50 × $5/1M × 0.5 + 10 × $10/1M × 0.5 + 1000 × $40/1M × 0.5
        "gpt-image-1",
        {
            "input_tokens": 60,
            "output_tokens": 1000,
            "total_tokens": 1060,
            "input_tokens_details": {"text_tokens": 50, "image_tokens": 10},
        },
        "0.020175",
    ),
    "speech": ("tts-1", {"characters": 1000}, "0.0075"),  # 1000 × $15/1M × 0.5
    "transcription": ("whisper-1", {"seconds": 59.2}, "0.003"),  # 60 s × $0.006/60 × 0.5
    "telemetry": (
        "gpt-4o-2024-08-06",
        {
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.cache_read.input_tokens": 40,
            "gen_ai.usage.output_tokens": 9,
            "gen_ai.usage.reasoning.output_tokens": 3,
        },
        "0.000145",
    ),
}


@pytest.mark.parametrize(("model", "usage", "charge"), SPELLINGS.values(), ids=list(SPELLINGS))
async def test_every_spelling_of_usage_is_billed_in_every_envelope(
    client: httpx.AsyncClient, model: str, usage: dict[str, Any], charge: str
) -> None:
    account = await made(client)
    data = {"model": model, "usage": usage}
    answers = [
        await client.post("/v1/events", json=event(account, "plain", **data)),
        await posted(client, cloudevent(subject=account, id="structured", data=data), STRUCTURED),
        await posted(client, [cloudevent(subject=account, id="batch", data=data)], BATCH),
        await posted(client, data, binary(account, id="binary")),
    ]
    assert [(one["status"], one["charge"]) for answer in answers for one in answer.json()["results"]] == [
        ("accepted", charge)
    ] * 4


@pytest.mark.parametrize(
    ("tier", "charge"),
    [
        ("default", "0.000106"),  # 60 × $2/1M × 0.5 + 40 × $0.5/1M × 0.5 + 9 × $8/1M × 0.5
        ("priority", "0.0001855"),  # 60 × $3.5/1M × 0.5 + 40 × $0.875/1M × 0.5 + 9 × $14/1M × 0.5
    ],
)
async def test_attributes_alone_are_billed_by_the_model_and_tier_they_name(
    client: httpx.AsyncClient, tier: str, charge: str
) -> None:
    account = await made(client)
    data = {
        **ATTRIBUTES,
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4.1",
        "openai.response.service_tier": tier,
    }
    sent = cloudevent(subject=account, time="2026-11-05T08:00:00Z", data=data)
    [result] = (await posted(client, sent, STRUCTURED)).json()["results"]
    assert (result["status"], result["charge"]) == ("accepted", charge)
