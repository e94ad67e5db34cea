"""Bodies of events, good and bad: nothing is lost beside a fault, and every fault is named by index and path."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import Invalid, TooLarge
from billing.metering.events import JSON, NDJSON, Batch, read
from tests.metering.events import event


def faults(batch: Batch) -> list[tuple[int | None, str, str]]:
    return [(fault.index, fault.path, fault.code) for fault in batch.faults]


def read_one(**changes: Any) -> Batch:
    return read(msgspec.json.encode(event("acct_a", **changes)), JSON, 10)


def test_an_object_an_array_and_lines_are_read_alike() -> None:
    one, two = event("acct_a", "1"), event("acct_a", "2")
    lines = msgspec.json.encode(one) + b"\n\n" + msgspec.json.encode(two) + b"\r\n"
    for body, kind in ((msgspec.json.encode([one, two]), JSON), (lines, NDJSON)):
        assert [(index, found.id) for index, found in read(body, kind, 10).events] == [(0, "1"), (1, "2")]
    assert read(msgspec.json.encode(one), JSON, 10).single


def test_good_events_are_read_beside_bad_ones() -> None:
    body = msgspec.json.encode([event("acct_a", "1"), event("acct_a", 7), event("acct_a", "3", stream="yes")])
    batch = read(body, JSON, 10)
    assert [index for index, _ in batch.events] == [0]
    assert faults(batch) == [(1, "$.id", "invalid_value"), (2, "$.stream", "invalid_value")]


def test_every_fault_of_an_event_is_named_at_once() -> None:
    bad = event("acct_a", source=..., model=3, time="2026-10-05T08:00:00", extra=1)
    bad["usage"] = {"prompt_tokens": -1}
    bad["upstream"] = {"nme": "x", "cost": "1e3"}
    found = {(fault.path, fault.code) for fault in read(msgspec.json.encode([bad]), JSON, 10).faults}
    assert found == {
        ("$.source", "missing_field"),
        ("$.model", "invalid_value"),
        ("$.time", "invalid_value"),
        ("$.extra", "unknown_field"),
        ("$.upstream.nme", "unknown_field"),
        ("$.upstream.name", "missing_field"),
        ("$.upstream.cost", "invalid_value"),
        ("$.usage.prompt_tokens", "invalid_usage"),
    }


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"id": ""}, "$.id"),
        ({"id": "x" * 201}, "$.id"),
        ({"id": "a\x00b"}, "$.id"),
        ({"id": "a\n"}, "$.id"),
        ({"model": "a\u2028b"}, "$.model"),
        ({"id": 1}, "$.id"),
        ({"id": None}, "$.id"),
        ({"time": "yesterday"}, "$.time"),
        ({"time": 1759651200}, "$.time"),
        ({"time": "2026-10-05T08:00:00"}, "$.time"),
        ({"status": 99}, "$.status"),
        ({"status": True}, "$.status"),
        ({"status": "200"}, "$.status"),
        ({"ended": "exploded"}, "$.ended"),
        ({"latency_ms": -1}, "$.latency_ms"),
        ({"latency_ms": 1.5}, "$.latency_ms"),
        ({"batch": 1}, "$.batch"),
        ({"model": []}, "$.model"),
        ({"upstream": "openai"}, "$.upstream"),
        ({"unknown": None}, "$.unknown"),
        ({"account": ...}, "$"),
        ({"api_key": "idr_x"}, "$"),
    ],
)
def test_what_is_not_an_event_is_refused_at_its_place(changes: dict[str, Any], path: str) -> None:
    batch = read_one(**changes)
    assert batch.events == []
    assert [fault.path for fault in batch.faults] == [path]
    assert batch.faults[0].index == 0


@pytest.mark.parametrize("body", [b"[{]", b"[1,", b"[\xff]", b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused_whole(body: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        read(body, JSON, 10)
    assert refused.value.code == "malformed_json"


@pytest.mark.parametrize("body", [b"", b"{", b"null", b'"x"', b"17", b'{"id":"'])
def test_a_single_event_that_is_none_is_a_fault(body: bytes) -> None:
    batch = read(body, JSON, 10)
    assert batch.events == []
    assert batch.faults[0].path == "$"


def test_a_bad_line_does_not_hide_the_others() -> None:
    good = msgspec.json.encode(event("acct_a"))
    batch = read(b"not json\n" + good + b"\n[1]\n", NDJSON, 10)
    assert [index for index, _ in batch.events] == [1]
    assert [(fault.index, fault.code) for fault in batch.faults] == [(0, "malformed_json"), (2, "invalid_value")]


@pytest.mark.parametrize("body", [b"[]", b"  [ ] "])
def test_an_empty_batch_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid, match="no event"):
        read(body, JSON, 10)


def test_too_many_events_are_refused_with_the_limit() -> None:
    body = msgspec.json.encode([event("acct_a", str(number)) for number in range(11)])
    with pytest.raises(TooLarge, match="at most 10"):
        read(body, JSON, 10)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values, min_size=1, max_size=4))
def test_any_json_array_is_read_or_refused_by_place(values: list[Any]) -> None:
    batch = read(json.dumps(values).encode(), JSON, 10)
    assert {fault.index for fault in batch.faults} == set(range(len(values)))


@given(st.dictionaries(st.sampled_from(list(event("a"))), json_values), st.sampled_from([JSON, NDJSON]))
def test_any_field_with_any_value_is_read_or_refused_by_place(changes: dict[str, Any], kind: str) -> None:
    batch = read(json.dumps(event("acct_a") | changes).encode(), kind, 10)
    assert len(batch.events) == (0 if batch.faults else 1)


@given(st.binary(max_size=200), st.sampled_from([JSON, NDJSON]))
def test_any_bytes_are_answered(body: bytes, kind: str) -> None:
    try:
        batch = read(body, kind, 10)
    except Invalid:
        return
    assert batch.events or batch.faults
