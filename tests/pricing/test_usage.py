"""Every spelling of usage becomes disjoint quantities; what contradicts itself is refused with both numbers."""

import json
import lzma
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing import units, usage
from pricing.errors import ImpossibleUsage, MalformedUsage, UsageError
from pricing.nesting import COUNT_MAX


def quantities(report: dict[str, Any]) -> dict[str, int]:
    used = usage.read(json.dumps(report))
    return dict(zip(used.dimensions, used.quantities, strict=True))


def test_chat() -> None:
    used = usage.read(b'{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}')
    assert used == usage.Usage(("input", "output"), (19, 10), 19, 10, 0)


def test_the_specific_is_subtracted_from_the_general() -> None:
    report = {
        "prompt_tokens": 1_000,
        "completion_tokens": 500,
        "total_tokens": 1_500,
        "prompt_tokens_details": {
            "cached_tokens": 100,
            "audio_tokens": 200,
            "image_tokens": 50,
            "cache_write_tokens": 25,
        },
        "completion_tokens_details": {"reasoning_tokens": 300, "audio_tokens": 40, "accepted_prediction_tokens": 0},
    }
    assert quantities(report) == {
        "input": 1_000 - 100 - 200 - 50 - 25,
        "cached_input": 100,
        "cache_write": 25,
        "input_audio": 200,
        "input_image": 50,
        "output": 500 - 40,  # reasoning is output, never added to it
        "output_audio": 40,
    }
    used = usage.read(json.dumps(report))
    assert (used.input_tokens, used.output_tokens, used.reasoning_tokens) == (1_000, 500, 300)


def test_nulls_and_absent_details_are_zero() -> None:
    report = {
        "prompt_tokens": 7,
        "completion_tokens": 0,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": None, "audio_tokens": None},
        "completion_tokens_details": None,
    }
    assert quantities(report) == {"input": 7}
    assert quantities({"prompt_tokens": 7, "total_tokens": 7}) == {"input": 7}


def test_responses() -> None:
    report = {
        "input_tokens": 5405,
        "input_tokens_details": {"cache_write_tokens": 10, "cached_tokens": 5392},
        "output_tokens": 179,
        "output_tokens_details": {"reasoning_tokens": 32},
        "total_tokens": 5584,
    }
    assert quantities(report) == {"input": 5405 - 10 - 5392, "cached_input": 5392, "cache_write": 10, "output": 179}


def test_writes_kept_for_twelve_hours_are_their_own_dimension() -> None:
    details = {
        "cached_tokens": 0,
        "cache_write_tokens": 100,
        "cache_write_tokens_details": {"ttl_12h_tokens": 60, "ttl_30m_tokens": 40},
    }
    report = {"input_tokens": 150, "input_tokens_details": details, "output_tokens": 1}
    assert quantities(report) == {"input": 50, "cache_write": 40, "cache_write_12h": 60, "output": 1}


def test_realtime_splits_its_cached_tokens() -> None:
    report = {
        "input_tokens": 100,
        "input_token_details": {
            "text_tokens": 40,
            "audio_tokens": 50,
            "image_tokens": 10,
            "cached_tokens": 60,
            "cached_tokens_details": {"text_tokens": 20, "audio_tokens": 35, "image_tokens": 5},
        },
        "output_tokens": 30,
        "output_token_details": {"text_tokens": 10, "audio_tokens": 20},
        "total_tokens": 130,
    }
    assert quantities(report) == {
        "input": 40 - 20,
        "cached_input": 20,
        "input_audio": 50 - 35,
        "cached_input_audio": 35,
        "input_image": 10 - 5,
        "cached_input_image": 5,
        "output": 10,
        "output_audio": 20,
    }


def test_images_by_tokens() -> None:
    details = {"image_tokens": 388, "text_tokens": 44}
    report = {"input_tokens": 432, "input_tokens_details": details, "output_tokens": 4160, "total_tokens": 4592}
    assert quantities(report) == {"input": 44, "input_image": 388, "output_image": 4160}
    mixed = report | {"output_tokens_details": {"image_tokens": 4100, "text_tokens": 60}}
    assert quantities(mixed) == {"input": 44, "input_image": 388, "output": 60, "output_image": 4100}


def test_images_by_number() -> None:
    assert quantities({"n": 2, "size": "1024x1792", "quality": "hd"}) == {"image:hd:1024x1792": 2}
    assert quantities({"n": 1}) == {"image:standard:1024x1024": 1}
    assert quantities({"n": 1, "size": None, "quality": None}) == {"image:standard:1024x1024": 1}


def test_speech_and_transcription() -> None:
    assert quantities({"characters": 4096}) == {"input_characters": 4096}
    tokens = {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
        "output_tokens": 5,
        "total_tokens": 19,
    }
    assert quantities(tokens) == {"input_audio": 14, "output": 5}


@pytest.mark.parametrize(
    ("seconds", "billed"), [("2", 2), ("1.13", 2), ("1.0", 1), ("0.000000000000000000001", 1), ("59.0000001", 60)]
)
def test_seconds_are_rounded_up_without_floats(seconds: str, billed: int) -> None:
    used = usage.read(f'{{"type":"duration","seconds":{seconds}}}')
    assert (used.dimensions, used.quantities) == (("duration",), (billed,))


def test_tools_come_along_or_alone() -> None:
    tools = {"web_search": 2, "file_search": 1, "web_search_preview:high": 1, "code_interpreter": 0}
    expected = {"tool:file_search": 1, "tool:web_search": 2, "tool:web_search_preview:high": 1}
    assert quantities({"tool_calls": tools}) == expected
    assert quantities({"prompt_tokens": 1, "tool_calls": tools}) == {"input": 1} | expected
    assert quantities({"input_tokens": 1, "tool_calls": tools}) == {"input": 1} | expected


def test_telemetry() -> None:
    report = {
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 30,
        "gen_ai.usage.cache_creation.input_tokens": 20,
        "gen_ai.usage.reasoning.output_tokens": 40,
        "openai.response.service_tier": "flex",
    }
    assert quantities(report) == {"input": 50, "cached_input": 30, "cache_write": 20, "output": 50}


def test_the_canonical_form_is_a_spelling_too() -> None:
    report = {"quantities": {"video_second": 8, "input": 3, "cached_input": 4, "image:hd:1024x1024": 0}}
    used = usage.read(json.dumps(report))
    assert used == usage.Usage(("cached_input", "input", "video_second"), (4, 3, 8), 7, 0, 0)


def test_nothing_used() -> None:
    assert usage.read('{"prompt_tokens":0,"completion_tokens":0}').is_zero
    assert usage.read('{"n":0}').is_zero


@pytest.mark.parametrize(
    ("report", "path"),
    [
        ('{"prompt_tokens":1.0}', "$.prompt_tokens"),
        ('{"prompt_tokens":1.5}', "$.prompt_tokens"),
        ('{"prompt_tokens":"7"}', "$.prompt_tokens"),
        ('{"prompt_tokens":true}', "$.prompt_tokens"),
        ('{"prompt_tokens":null}', "$.prompt_tokens"),
        ('{"prompt_tokens":-1}', "$.prompt_tokens"),
        ('{"prompt_tokens":1000000000001}', "$.prompt_tokens"),
        ('{"prompt_tokens":1e5}', "$.prompt_tokens"),
        ('{"prompt_tokens":NaN}', "$"),
        ('{"prompt_tokens":1,"prompt_cache_hit_tokens":1}', "$"),
        ('{"prompt_tokens":1,"prompt_tokens_details":{"cached":1}}', "$.prompt_tokens_details"),
        ('{"prompt_tokens":1,"prompt_tokens_details":[]}', "$.prompt_tokens_details"),
        ('{"prompt_tokens":1,"completion_tokens_details":{"reasoning_tokens":-1}}', "$.completion_tokens_details"),
        ('{"input_tokens":1,"prompt_tokens_details":{}}', "$"),
        ('{"input_tokens":1,"input_tokens_details":{},"input_token_details":{}}', "$.input_token_details"),
        ('{"input_tokens":1,"output_tokens_details":{},"output_token_details":{}}', "$.output_token_details"),
        ('{"seconds":"5"}', "$.seconds"),
        ('{"seconds":-1}', "$.seconds"),
        ('{"seconds":1e999999999}', "$.seconds"),
        ('{"seconds":null}', "$.seconds"),
        ('{"type":"tokens","seconds":1}', "$.type"),
        ('{"n":1,"size":"huge"}', "$.size"),
        ('{"n":1,"quality":"HD!"}', "$.quality"),
        ('{"size":"1024x1024"}', "$"),
        ('{"tool_calls":{"web search":1}}', "key"),
        ('{"quantities":{"request":1}}', "$.quantities.request"),
        ('{"quantities":{"image_estimate:high:1024x1024":1}}', "$.quantities.image_estimate:high:1024x1024"),
        ('{"quantities":{"nonsense":1}}', "$.quantities.nonsense"),
        ("{}", "$"),
        ("[]", "$"),
        ("null", "$"),
        ("{", "$"),
        ("", "$"),
    ],
)
def test_the_malformed_is_refused_by_path(report: str, path: str) -> None:
    with pytest.raises(MalformedUsage) as refusal:
        usage.read(report)
    assert path in refusal.value.path
    assert refusal.value.detail.endswith(".")


def test_an_object_already_decoded_must_not_hold_floats() -> None:
    assert usage.convert({"seconds": Decimal("1.5")}).quantities == (2,)
    for forgetful in (1.5, float("nan"), Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(MalformedUsage):
            usage.convert({"seconds": forgetful})


@pytest.mark.parametrize(
    ("report", "path", "numbers"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 16}, "$.total_tokens", (16, 10, 5)),
        (
            {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 101}},
            "$.prompt_tokens_details.cached_tokens",
            (101, 100),
        ),
        (
            {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 70}},
            "$.prompt_tokens_details.cached_tokens",
            (60, 70, 130, 100),
        ),
        (
            {"prompt_tokens": 100, "prompt_tokens_details": {"text_tokens": 80, "audio_tokens": 21}},
            "$.prompt_tokens_details.audio_tokens",
            (80, 21, 100),
        ),
        (
            {"prompt_tokens": 1, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 10}},
            "$.completion_tokens_details.reasoning_tokens",
            (10, 9),
        ),
        (
            {
                "prompt_tokens": 1,
                "completion_tokens": 9,
                "completion_tokens_details": {"accepted_prediction_tokens": 5, "rejected_prediction_tokens": 5},
            },
            "$.completion_tokens_details.rejected_prediction_tokens",
            (5, 10, 9),
        ),
        (
            {
                "input_tokens": 100,
                "input_token_details": {
                    "audio_tokens": 10,
                    "cached_tokens": 30,
                    "cached_tokens_details": {"audio_tokens": 11},
                },
            },
            "$.input_token_details.cached_tokens_details.audio_tokens",
            (11, 10),
        ),
        (
            {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.cache_read.input_tokens": 6},
            "$.gen_ai.usage.cache_read.input_tokens",
            (6, 5),
        ),
    ],
    ids=("total", "cached", "cached+audio", "text+audio", "reasoning", "predictions", "cached audio", "telemetry"),
)
def test_the_impossible_is_refused_with_both_numbers(
    report: dict[str, Any], path: str, numbers: tuple[int, ...]
) -> None:
    with pytest.raises(ImpossibleUsage) as refusal:
        usage.read(json.dumps(report))
    assert refusal.value.path == path
    assert all(str(number) in refusal.value.detail for number in numbers)


counts = st.integers(0, COUNT_MAX)
small = st.integers(0, 50)


@given(total=small, cached=small, audio=small, image=small, written=small)
def test_the_parts_always_make_the_whole_or_are_refused(
    total: int, cached: int, audio: int, image: int, written: int
) -> None:
    details = {
        "cached_tokens": cached,
        "audio_tokens": audio,
        "image_tokens": image,
        "cache_write_tokens": written,
    }
    report = {"prompt_tokens": total, "prompt_tokens_details": details}
    if cached + audio + image + written > total:
        with pytest.raises(ImpossibleUsage):
            usage.convert(report)
    else:
        used = usage.convert(report)
        assert sum(used.quantities) == total
        assert min(used.quantities, default=1) > 0
        assert set(used.dimensions) <= set(units.INPUT_DIMENSIONS)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_garbage_is_refused_and_nothing_else_happens(raw: bytes) -> None:
    with pytest.raises(UsageError):
        usage.read(raw)


def test_it_reads_what_was_left_raw() -> None:
    class Event(msgspec.Struct):
        usage: msgspec.Raw

    event = msgspec.json.decode(b'{"usage": {"prompt_tokens": 3}}', type=Event)
    assert usage.read(event.usage).quantities == (3,)


def test_every_recorded_usage_is_read(research: Path) -> None:
    """Two thousand answers of the real API; one was edited by hand until it contradicted itself."""
    refused = []
    seen = 0
    with lzma.open(research / "tokens" / "vectors.jsonl.xz", "rt", encoding="utf-8") as lines:
        for line in lines:
            vector = json.loads(line)
            if not vector.get("usage"):
                continue
            seen += 1
            try:
                used = usage.read(json.dumps(vector["usage"]))
            except ImpossibleUsage:
                refused.append(vector["usage"])
                continue
            assert sum(used.quantities) == vector["usage"]["total_tokens"]
    assert seen > 1_900
    assert [report["prompt_tokens_details"] for report in refused] == [{"cached_tokens": 5, "audio_tokens": 16}]
