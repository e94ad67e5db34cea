"""Envelopes of CloudEvents: what becomes of their attributes, and where the faults of each event are named."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import Invalid, TooLarge
from billing.metering.cloudevents import CLOUDEVENT, CLOUDEVENTS, Places, read, read_binary
from billing.metering.events import Batch, UsageEvent
from tests.metering.events import GPT_4
from tests.metering.test_reading import json_values

HEADERS = {"ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/gw/1", "ce-type": "usage", "ce-subject": "acct_a"}
TIME = "2026-10-05T08:00:00Z"


def cloudevent(*, data: Any = ..., **changes: Any) -> dict[str, Any]:
    """A request to gpt-4; a change to `...` leaves an attribute out."""
    whole = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/gw/1",
        "type": "com.example.gateway.usage",
        "time": TIME,
        "subject": "acct_a",
        "data": {"model": "gpt-4", "usage": GPT_4} if data is ... else data,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def read_one(**changes: Any) -> tuple[Batch, Places]:
    return read(msgspec.json.encode(cloudevent(**changes)), CLOUDEVENT, 10)


def only(batch: Batch) -> UsageEvent:
    assert batch.faults == []
    [(_, event)] = batch.events
    return event


def faults(batch: Batch) -> set[tuple[str, str]]:
    assert batch.events == []
    return {(fault.path, fault.code) for fault in batch.faults}


def test_attributes_are_the_events_identity_time_and_account() -> None:
    batch, _ = read_one()
    event = only(batch)
    assert (event.id, event.source, event.account, event.model) == ("e1", "/gw/1", "acct_a", "gpt-4")
    assert event.time.isoformat() == "2026-10-05T08:00:00+00:00"
    assert msgspec.json.decode(event.usage) == GPT_4
    assert batch.single


def test_data_may_repeat_the_attributes_and_name_another_owner() -> None:
    data = {"id": "e1", "source": "/gw/1", "time": "2026-10-05T10:00:00+02:00", "model": "gpt-4", "api_key": "idr_x"}
    event = only(read_one(data=data, subject="chat/7")[0])
    assert (event.account, event.api_key) == (None, "idr_x")


def test_data_that_contradicts_its_envelope_is_refused() -> None:
    data = {"id": "e2", "source": "/gw/2", "time": "2026-10-05T08:00:01Z", "model": "gpt-4"}
    found = faults(read_one(data=data)[0])
    assert found == {(f"$.data.{name}", "contradiction") for name in ("id", "source", "time")}


def test_a_subject_that_is_no_account_names_none() -> None:
    assert faults(read_one(subject="idr_secret")[0]) == {("$.data", "invalid_value")}


@pytest.mark.parametrize("kind", ["usage", "com.example.usage", "usage.v1", "eu.relay.gateway.usage.v1"])
def test_types_of_usage_are_billed(kind: str) -> None:
    only(read_one(type=kind)[0])


@pytest.mark.parametrize("kind", ["com.example.user.created", "usages", "my-usage", "usage.v2", "usage.started"])
def test_other_types_are_refused(kind: str) -> None:
    assert faults(read_one(type=kind)[0]) == {("$.type", "unknown_type")}


def test_extension_attributes_are_not_read() -> None:
    only(read_one(traceparent="00-0af7651916cd43dd-b7ad-01", sampled=True, sequence=7, partitionkey=None)[0])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"specversion": "0.3"}, ("$.specversion", "invalid_value")),
        ({"specversion": ...}, ("$.specversion", "missing_field")),
        ({"id": ...}, ("$.id", "missing_field")),
        ({"id": ""}, ("$.id", "invalid_value")),
        ({"source": 1}, ("$.source", "invalid_value")),
        ({"type": ...}, ("$.type", "missing_field")),
        ({"time": ...}, ("$.time", "missing_field")),
        ({"time": "2026-10-05T08:00:00"}, ("$.time", "invalid_value")),
        ({"status": 500}, ("$.status", "unknown_field")),
        ({"Trace": "x"}, ("$.Trace", "unknown_field")),
        ({"extra": {"a": 1}}, ("$.extra", "unknown_field")),
        ({"datacontenttype": "application/xml"}, ("$.datacontenttype", "invalid_value")),
        ({"datacontenttype": "application/json; charset=latin1"}, ("$.datacontenttype", "invalid_value")),
        ({"data_base64": "e30="}, ("$.data_base64", "invalid_value")),
        ({"data": None}, ("$.data", "missing_field")),
        ({"data": '{"model":"gpt-4"}'}, ("$.data", "invalid_value")),
        ({"data": {"model": 4}}, ("$.data.model", "invalid_value")),
        ({"data": {"model": "m", "extra": 1}}, ("$.data.extra", "unknown_field")),
        ({"data": {"model": "m", "upstream": {"cost": "1"}}}, ("$.data.upstream.name", "missing_field")),
    ],
)
def test_each_fault_is_named_where_it_was_sent(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert faults(read_one(**changes)[0]) == {expected}


def test_all_faults_are_named_at_once() -> None:
    data = {"usage": {"prompt_tokens": -1}, "stream": "yes"}
    assert faults(read_one(specversion="0.3", type="x", status=1, data=data)[0]) == {
        ("$.specversion", "invalid_value"),
        ("$.type", "unknown_type"),
        ("$.status", "unknown_field"),
        ("$.data.model", "missing_field"),
        ("$.data.stream", "invalid_value"),
        ("$.data.usage.prompt_tokens", "invalid_usage"),
    }


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/vnd.x+json"])
def test_data_of_any_kind_of_json_is_read(kind: str) -> None:
    only(read_one(datacontenttype=kind, dataschema="https://example.com/usage.json")[0])


def test_good_events_are_read_beside_bad_ones() -> None:
    body = msgspec.json.encode([cloudevent(), 17, {}, cloudevent(id=3), cloudevent(id="e5")])
    batch, places = read(body, CLOUDEVENTS, 10)
    assert [index for index, _ in batch.events] == [0, 4] == list(places)
    assert {fault.index for fault in batch.faults} == {1, 2, 3}
    assert not batch.single


@pytest.mark.parametrize("body", [b"", b"[{", b"{}", b"17"])
def test_a_batch_that_is_no_array_is_refused_whole(body: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        read(body, CLOUDEVENTS, 10)
    assert refused.value.code == "malformed_json"


def test_batches_are_as_large_as_any() -> None:
    with pytest.raises(TooLarge):
        read(msgspec.json.encode([cloudevent()] * 11), CLOUDEVENTS, 10)
    with pytest.raises(Invalid, match="no event"):
        read(b"[]", CLOUDEVENTS, 10)


def test_a_body_that_is_no_json_is_a_fault_of_the_event() -> None:
    assert faults(read(b'{"id":', CLOUDEVENT, 10)[0]) == {("$", "malformed_json")}
    not_utf8 = msgspec.json.encode(cloudevent()).replace(b'"e1"', b'"\xff"')
    assert faults(read(not_utf8, CLOUDEVENT, 10)[0]) == {("$.id", "malformed_json")}


@given(st.dictionaries(st.sampled_from([*cloudevent(), "data_base64", "datacontenttype", "x", "model"]), json_values))
def test_whatever_is_in_an_envelope_is_read_or_refused_by_place(changes: dict[str, Any]) -> None:
    one = msgspec.json.encode({**cloudevent(), **changes})
    batch, places = read(b"[" + one + b"," + one + b"]", CLOUDEVENTS, 10)
    assert {index for index, _ in batch.events} == set(places)
    assert {0, 1} == set(places) | {fault.index for fault in batch.faults}
    assert all(fault.path.startswith("$") for fault in batch.faults)


ODD_TEXTS = {
    "surrogate": b'{"request":{"prompt":"\\ud800"}}',
    "deep": b'{"request":' + b"[" * 5000 + b"]" * 5000 + b"}",
}


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=list(ODD_TEXTS))
def test_odd_texts_cost_no_event(text: bytes) -> None:
    """In the envelope a text is one level deeper than in a plain event, and in a batch two."""
    one = msgspec.json.encode(cloudevent(data={"model": "gpt-4", "content": "?"})).replace(b'"?"', text)
    assert only(read(one, CLOUDEVENT, 10)[0]).content
    assert only(read(b"[" + one + b"]", CLOUDEVENTS, 10)[0]).content
    data = b'{"model":"gpt-4","content":' + text + b"}"
    assert only(read_binary([*HEADERS.items(), ("ce-time", TIME)], data)[0]).content


# ── OpenTelemetry ──
ATTRIBUTES = {
    "gen_ai.operation.name": "chat",
    "gen_ai.input.messages": "what a customer wrote",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "chatcmpl-7",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 9,
    "gen_ai.usage.cache_read.input_tokens": 40,
    "openai.response.service_tier": "priority",
}


def test_attributes_of_open_telemetry_are_the_event() -> None:
    event = only(read_one(data=ATTRIBUTES)[0])
    assert (event.model, event.served_model, event.service_tier) == ("gpt-4o", "gpt-4o-2024-08-06", "priority")
    assert msgspec.json.decode(event.usage) == {
        "gen_ai.response.id": "chatcmpl-7",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 9,
        "gen_ai.usage.cache_read.input_tokens": 40,
    }


def test_what_the_event_says_itself_goes_before_its_attributes() -> None:
    event = only(read_one(data={**ATTRIBUTES, "model": "gpt-4", "status": 200})[0])
    assert (event.model, event.served_model) == ("gpt-4", "gpt-4o-2024-08-06")


def test_attributes_at_fault_are_named_as_they_were_sent() -> None:
    odd = {**ATTRIBUTES, "gen_ai.request.model": 4, "gen_ai.usage.input_tokens": -1}
    assert faults(read_one(data=odd)[0]) == {
        ("$.data.gen_ai.request.model", "invalid_value"),
        ("$.data.gen_ai.usage.input_tokens", "invalid_usage"),
    }
    assert faults(read_one(data={**ATTRIBUTES, "usage": GPT_4})[0]) == {("$.data.usage", "contradiction")}


# ── binary ──
def binary(data: Any, **headers: str) -> Batch:
    named = {**HEADERS, "ce-time": TIME, **{f"ce-{name}": value for name, value in headers.items()}}
    return read_binary([("content-type", "application/json"), *named.items()], msgspec.json.encode(data))[0]


@pytest.mark.parametrize(
    ("sent", "meant"),
    [("e1", "e1"), ("a%20b", "a b"), ("%E4%BD%A0", "你"), ('"a \\"b\\""', 'a "b"'), ("50%", "50%"), ("Ã¤", "ä")],
)
def test_headers_are_attributes(sent: str, meant: str) -> None:
    event = only(binary({"model": "gpt-4", "usage": GPT_4}, id=sent))
    assert (event.id, event.account) == (meant, "acct_a")


def test_faults_of_headers_name_the_header_and_those_of_the_body_the_path() -> None:
    assert faults(binary({"model": 4}, specversion="2.0", id="", **{"foo-bar": "1"})) == {
        ("ce-specversion", "invalid_value"),
        ("ce-id", "invalid_value"),
        ("ce-foo-bar", "unknown_field"),
        ("$.model", "invalid_value"),
    }
    assert faults(binary({"model": "gpt-4"}, datacontenttype="text/xml")) == {("ce-datacontenttype", "unknown_field")}
    for not_utf8 in ("ä", "%E4"):
        assert ("ce-id", "invalid_value") in faults(binary({"model": "gpt-4"}, id=not_utf8))
    twice = [*HEADERS.items(), ("ce-time", TIME), ("ce-id", "e2")]
    assert faults(read_binary(twice, b'{"model":"gpt-4"}')[0]) == {("ce-id", "contradiction")}
    assert faults(read_binary(HEADERS.items(), b"")[0]) == {("$", "malformed_json")}
