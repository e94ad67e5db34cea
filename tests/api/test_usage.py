"""Usage over HTTP: what a gateway posts and what is answered, and the sums a customer reads."""

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from billing.db.pool import Connection
from billing.metering import reads
from tests.api.test_accounts import issued, made
from tests.house.test_imports import ROOT
from tests.metering.contents import HELLO
from tests.metering.events import GPT_4_CHARGE, event

pytestmark = pytest.mark.anyio

SPAN = {"start": "2026-10-01", "end": "2026-11-01"}


async def test_the_answer_counts_every_event_and_explains_the_odd_ones(client: httpx.AsyncClient) -> None:
    account = await made(client)
    await client.post("/v1/events", json=event(account, "known"))
    events = [
        event(account, "new"),
        event(account, "known"),
        event(account, "known", model="gpt-4o"),
        event(account, "odd", model="no-such-model"),
        event(account, "bad", usage={"prompt_tokens": -1}),
    ]
    answer = await client.post("/v1/events", json=events)
    body = answer.json()
    assert answer.status_code == 200
    counts = ("accepted", "duplicates", "rejected", "unpriced", "conflicts")
    assert [body[name] for name in counts] == [2, 1, 2, 1, 1]
    assert [result["status"] for result in body["results"]] == [
        "accepted",
        "duplicate",
        "conflict",
        "unpriced",
        "rejected",
    ]
    notable = (await client.post("/v1/events", json=events, params={"results": "notable"})).json()
    assert [result["index"] for result in notable["results"]] == [2, 4]


async def test_big_batches_list_only_what_needs_looking_at(client: httpx.AsyncClient) -> None:
    account = await made(client)
    events = [event(account, str(number)) for number in range(101)]
    events[50]["status"] = 1000
    assert [result["index"] for result in (await client.post("/v1/events", json=events)).json()["results"]] == [50]
    everything = await client.post("/v1/events", json=events, params={"results": "all"})
    assert len(everything.json()["results"]) == 101


async def test_lines_of_json_are_taken(client: httpx.AsyncClient) -> None:
    account = await made(client)
    lines = b"\n".join(msgspec.json.encode(event(account, str(number))) for number in range(3))
    answer = await client.post("/v1/events", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.json()["accepted"] == 3


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "nothing_accepted"),
        (b"[{", "application/json", 400, "malformed_json"),
        (b"[]", "application/json", 400, "empty_batch"),
        (b"", "application/json", 400, "nothing_accepted"),
        (b"", "application/x-ndjson", 400, "empty_batch"),
        (b"[" + b"{}," * 10_000 + b"{}]", "application/json", 413, "too_many_events"),
        (b"{}\n" * 10_001, "application/x-ndjson", 413, "too_many_events"),
        (b"id=1", "application/x-www-form-urlencoded", 415, "content_type"),
        (b"<event/>", "application/xml", 415, "content_type"),
    ],
)
async def test_bodies_that_are_no_events_are_refused(
    client: httpx.AsyncClient, content: bytes, kind: str, status: int, code: str
) -> None:
    answer = await client.post("/v1/events", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_an_event_of_more_than_nine_million_dollars_is_refused(client: httpx.AsyncClient) -> None:
    account = await made(client)
    used = [{"prompt_tokens": millions * 10**6} for millions in (600_000, 600_001)]  # at $30 × 0.5 a million
    posted = [event(account, str(index), usage=usage) for index, usage in enumerate(used)]
    answer = (await client.post("/v1/events", json=posted)).json()
    first, second = answer["results"]
    assert (first["status"], first["charge"]) == ("accepted", "9000000")
    assert (second["status"], [error["code"] for error in second["errors"]]) == ("rejected", ["absurd_usage"])


@pytest.mark.parametrize(
    ("absurd", "code", "path"),
    [
        ({"upstream": {"name": "azure", "cost": "9000000.000000000001"}}, "absurd_cost", "$.upstream.cost"),
        ({"usage": {"prompt_tokens": 10**12}, "content": {"request": HELLO}}, "absurd_usage", "$.usage"),
    ],
)
async def test_what_else_is_above_nine_million_dollars_costs_no_other_event(
    client: httpx.AsyncClient, absurd: dict[str, Any], code: str, path: str
) -> None:
    account = await made(client)
    answer = (await client.post("/v1/events", json=[event(account, "good"), event(account, "bad", **absurd)])).json()
    good, bad = answer["results"]
    assert good["status"] == "accepted"
    assert [(error["code"], error["path"]) for error in bad["errors"]] == [(code, path)]


async def test_one_event_is_explained_to_the_last_digit(client: httpx.AsyncClient) -> None:
    account = await made(client)
    await client.post("/v1/events", json=event(account, account))
    told = (await client.get(f"/v1/events/{account}")).json()
    assert (told["charge"], told["status"], told["model"]) == (GPT_4_CHARGE, "accepted", "gpt-4")
    lines = [
        (line["quantity"], line["official_unit_price"], line["multiplier"], line["amount"]) for line in told["lines"]
    ]
    assert lines == [(19, "30", "0.5", "0.000285"), (10, "60", "0.5", "0.0003")]
    assert told["event"]["usage"] == {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}
    assert [(posting["kind"], posting["amount"]) for posting in told["postings"]] == [("usage", GPT_4_CHARGE)]
    assert (await client.get("/v1/events/nobody")).status_code == 404


async def test_a_customer_is_not_told_what_the_upstream_cost(client: httpx.AsyncClient) -> None:
    account = await made(client)
    _, customer = await issued(client, account)
    await client.post("/v1/events", json=event(account, account, upstream={"name": "openai-1", "cost": "0.0001"}))
    assert "upstream" not in (await client.get(f"/v1/events/{account}", headers=customer)).json()["event"]
    assert (await client.get(f"/v1/events/{account}")).json()["event"]["upstream"]["cost"] == "0.0001"


ORDER = re.findall("`([a-z_]+)`", (ROOT / "docs/evidence.md").read_text().split("in the order ")[1].split(", those")[0])


async def test_a_customer_computes_the_digest_of_an_event_and_learns_nothing_else_by_it(
    client: httpx.AsyncClient,
) -> None:
    """docs/evidence.md, from the answer alone."""
    account = await made(client)
    _, customer = await issued(client, account)
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 2}}
    said = {"usage": usage, "user": "Zoë/“7”", "stream": True, "status": 201, "ended": "client_aborted"}
    said |= {"served_model": "gpt-4-0613", "endpoint": "/v1/chat/completions", "latency_ms": 7, "first_token_ms": 3}
    said |= {"service_tier": "default", "batch": False, "authorization": "auth_x"}
    await client.post("/v1/events", json=event(account, account, **said, upstream={"name": "azure", "cost": "0.0001"}))
    told = (await client.get(f"/v1/events/{account}", headers=customer)).json()
    assert told["event"].keys() <= set(ORDER)
    ordered = {name: told["event"][name] for name in ORDER if name in told["event"]}
    ordered["usage"] = json.loads(json.dumps(ordered["usage"], sort_keys=True))
    text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False)
    assert told["digest"] == hashlib.sha256(text.encode()).hexdigest()


async def test_an_event_that_is_not_the_only_one_of_its_name_must_be_told_apart(client: httpx.AsyncClient) -> None:
    account = await made(client)
    await client.post("/v1/events", json=[event(account, account), event(account, account, source="gateway-2")])
    several = await client.get(f"/v1/events/{account}")
    assert (several.status_code, several.json()["code"]) == (409, "ambiguous_event")
    one = await client.get(f"/v1/events/{account}", params={"source": "gateway-2"})
    assert one.json()["source"] == "gateway-2"


async def test_what_waits_for_review_is_listed(client: httpx.AsyncClient) -> None:
    account = await made(client)
    await client.post(
        "/v1/events", json=[event(account, str(n), model="no-such-model") for n in range(3)] + [event(account)]
    )
    first = (await client.get("/v1/events", params={"account": account, "limit": 2})).json()
    rest = {"account": account, "starting_after": first["data"][-1]["ref"]}
    second = (await client.get("/v1/events", params=rest)).json()
    assert first["has_more"]
    assert {row["review"] for row in first["data"] + second["data"]} == {"unpriced_model"}
    assert len({row["id"] for row in first["data"] + second["data"]}) == 3


async def test_usage_is_summed_by_local_day_and_model(client: httpx.AsyncClient) -> None:
    account = await made(client, time_zone="Asia/Shanghai")
    events = [
        event(account, "1", time="2026-10-01T15:59:59Z"),
        event(account, "2", time="2026-10-01T16:00:00Z"),  # midnight in Shanghai
        event(account, "3", time="2026-10-01T16:00:01Z", model="gpt-4o"),
        event(account, "before", time="2026-09-30T15:59:59Z"),
    ]
    await client.post("/v1/events", json=events)
    report = (await client.get("/v1/usage", params={"account": account, **SPAN})).json()
    assert [(row["day"], row["model"], row["requests"]) for row in report["data"]] == [
        ("2026-10-01", "gpt-4", 1),
        ("2026-10-02", "gpt-4", 1),
        ("2026-10-02", "gpt-4o", 1),
    ]
    assert report["requests"] == 3
    assert report["start"] == "2026-10-01T00:00:00+08:00"
    by_model = (await client.get("/v1/usage", params={"account": account, **SPAN, "group_by": "model"})).json()
    assert [row["quantities"] for row in by_model["data"]] == [{"input": 38, "output": 20}, {"input": 19, "output": 10}]
    assert by_model["amount"] == report["amount"]


@pytest.mark.parametrize(
    "params",
    [{"start": "soon"}, {"start": "2026-11-01", "end": "2026-10-01"}, {"group_by": "colour"}, {"end": "2026-13-01"}],
)
async def test_a_span_that_is_none_is_refused(client: httpx.AsyncClient, params: dict[str, Any]) -> None:
    account = await made(client)
    answer = await client.get("/v1/usage", params={"account": account, **params})
    assert answer.status_code == 400


async def test_a_quote_books_nothing(client: httpx.AsyncClient) -> None:
    request = {"model": "gpt-4-1106-preview", "usage": {"prompt_tokens": 1000, "completion_tokens": 1000}}
    quote = (await client.post("/v1/quote", json=request)).json()
    assert quote["amount"] == "0.015"  # as published: $0.005 + $0.010 for 1K + 1K
    assert [line["entry"].split(":")[0] for line in quote["lines"]] == ["published", "published"]
    unknown = await client.post("/v1/quote", json={**request, "model": "gpt-4-1106-previw"})
    assert unknown.status_code == 422
    assert "gpt-4-1106-preview" in unknown.json()["detail"]
    wrong = await client.post("/v1/quote", json={"model": "gpt-4", "usage": {"prompt_tokens": 1, "cached": 1}})
    assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (400, "$.usage.cached")


ODD_IDS = ["a/b", "/a", "a//b", "..", ".", "rerate", "a b?c#d", "100%", "%2F", "é中"]


@pytest.mark.parametrize("odd", ODD_IDS)
async def test_an_event_of_any_name_can_be_read_back(client: httpx.AsyncClient, odd: str) -> None:
    account = await made(client)
    assert (await client.post("/v1/events", json=event(account, odd))).json()["accepted"] == 1
    told = await client.get("/v1/event", params={"id": odd, "account": account})
    assert (told.status_code, told.json()["id"]) == (200, odd)
    if odd in ("a/b", "a b?c#d", "100%", "%2F", "é中"):
        by_path = await client.get(f"/v1/events/{quote(odd, safe='')}", params={"account": account})
        assert by_path.json() == told.json()


async def test_refs_are_told_apart_whatever_sources_and_ids_are_called(client: httpx.AsyncClient) -> None:
    account = await made(client)
    waiting = {"model": "no-such-model"}
    events = [event(account, "b/c", source="a", **waiting), event(account, "c", source="a/b", **waiting)]
    await client.post("/v1/events", json=events)
    listed = (await client.get("/v1/events", params={"account": account})).json()["data"]
    assert len({row["ref"] for row in listed}) == 2
    page = {"account": account, "limit": 1, "starting_after": listed[0]["ref"]}
    rest = await client.get("/v1/events", params=page)
    assert (rest.status_code, rest.json()["data"]) == (200, listed[1:])


async def test_all_or_nothing_tells_a_conflict_from_a_fault(client: httpx.AsyncClient) -> None:
    account = await made(client)
    await client.post("/v1/events", json=event(account, "known"))
    good, odd = event(account, "good"), event(account, "known", model="gpt-4o")
    conflict = await client.post("/v1/events", json=[good, odd], params={"all_or_nothing": True})
    assert (conflict.status_code, conflict.json()["code"]) == (409, "conflicting_events")
    assert [error["index"] for error in conflict.json()["errors"]] == [1]
    fault = await client.post(
        "/v1/events", json=[good, event(account, "bad", status=1)], params={"all_or_nothing": True}
    )
    assert (fault.status_code, fault.json()["code"]) == (400, "nothing_accepted")
    assert "$.status" in fault.json()["detail"]
    assert (await client.get("/v1/event", params={"id": "good", "account": account})).status_code == 404


async def test_sums_of_usage_are_found_by_the_primary_key(client: httpx.AsyncClient, conn: Connection) -> None:
    account = await made(client)
    await client.post("/v1/events", json=event(account))
    await conn.execute("SET enable_seqscan = off")
    seen: list[str] = []

    class Explained:
        async def execute(self, query: Any, parameters: Any) -> Any:
            plan = await conn.execute("EXPLAIN " + query.as_string(conn), parameters)
            seen.extend(row["QUERY PLAN"] for row in await plan.fetchall())
            return await conn.execute(query, parameters)

    rows = await reads.usage(
        Explained(),  # type: ignore[arg-type]
        account_id=account,
        start=datetime(2026, 10, 1, tzinfo=UTC),
        end=datetime(2026, 11, 1, tzinfo=UTC),
        time_zone="UTC",
        group_by=["day"],
    )
    await conn.execute("RESET enable_seqscan")
    assert [row.requests for row in rows] == [1]
    [condition] = [line for line in seen if "Index Cond" in line and "billed" in line]
    assert "account_id" in condition
