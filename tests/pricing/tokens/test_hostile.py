"""Nothing a customer sends raises, panics or takes time without bound."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.tokens import Count, Limits, Uncounted, count, preload, verify

CHAT, SECONDS_MAX = "/v1/chat/completions", 8.0
PATHS = [
    CHAT,
    "/v1/responses",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/audio/speech",
    "/v1/images/generations",
    "/v1/x",
]
MODELS = [
    "gpt-4o",
    "gpt-4",
    "gpt-3.5-turbo-0301",
    "o3",
    "gpt-5",
    "gpt-image-1",
    "tts-1",
    "whisper-1",
    "text-embedding-3-small",
    "?",
]
KEYS = [
    "messages",
    "role",
    "content",
    "name",
    "tool_calls",
    "function_call",
    "function",
    "arguments",
    "tools",
    "functions",
    "type",
    "text",
    "image_url",
    "url",
    "detail",
    "parameters",
    "properties",
    "items",
    "enum",
    "anyOf",
    "$ref",
    "required",
    "description",
    "title",
    "default",
    "input",
    "instructions",
    "prompt",
    "output",
    "call_id",
    "n",
    "best_of",
    "response_format",
    "json_schema",
    "schema",
    "choices",
    "message",
    "finish_reason",
    "refusal",
    "audio",
    "tool_choice",
    "input_audio",
    "data",
    "encrypted_content",
    "suffix",
    "duration",
    "size",
    "quality",
    "model",
    "stream",
    "json_object",
    "const",
    "examples",
]
TEXT = st.text(st.characters(codec=None, exclude_categories=[]), max_size=12) | st.sampled_from(
    [
        *KEYS,
        "user",
        "system",
        "assistant",
        "tool",
        "object",
        "array",
        "string",
        "function",
        "#/properties",
        "<|endoftext|>",
        "{}",
        "[[[",
    ]
)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | TEXT, inner, max_size=6),
    max_leaves=40,
)
BODY = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8)
MESSAGE = st.dictionaries(st.sampled_from(["role", "content", "name", "tool_calls", "function_call", "refusal"]), JSON)
CHAT_BODY = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, min_size=1, max_size=4)}, optional={"tools": JSON, "functions": JSON}
)


@given(st.sampled_from(PATHS), st.sampled_from(MODELS), BODY | CHAT_BODY | JSON, BODY | JSON, BODY | JSON)
@settings(max_examples=400, deadline=None)
def test_any_json_is_answered(path: str, model: str, request: Any, response: Any, usage: Any) -> None:
    found = verify(path, model, request, response, usage)
    for side in (found.input, found.output):
        if side.counted is not None:
            assert 0 <= side.counted.low <= side.counted.likely
            assert side.counted.high is None or side.counted.likely <= side.counted.high


def chat(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
@pytest.mark.parametrize(
    "content",
    [
        "a" * 1_000_000,
        " " * 1_500_000,
        "\n" * 1_500_000 + "x",
        "🌞" * 100_000,
        "<|endoftext|><|im_start|>" * 20_000,
        "\ud800" * 200_000,
        "'s" * 300_000,
        "1" * 1_000_000,
        "a\u0301" * 200_000,
    ],
    ids=lambda text: repr(text[:4]),
)
def test_a_megabyte_of_nonsense_is_counted_in_bounded_time(model: str, content: str) -> None:
    preload()
    started = time.process_time()
    found = count(CHAT, model, chat(content)).input
    assert time.process_time() - started < SECONDS_MAX
    assert isinstance(found, Count)
    assert found.high is not None
    assert 0 < found.low <= found.high <= 4 * len(content) + 100


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


OVER_A_LIMIT: dict[str, tuple[dict[str, Any], str]] = {
    "text": (chat("x" * 4_000_001), "more than 4000000 bytes of text"),
    "surrogates": (chat("\ud800" * 1_400_000), "more than 4000000 bytes of text"),
    "nested": (chat(nested(200)), "nested deeper than 100 levels"),
    "nested beyond recursion": (chat(nested(100_000)), "nested deeper than 100 levels"),
    "parts": (chat([{"type": "text", "text": "x"}] * 100_000), "more than 100000 values"),
    "messages": ({"messages": [{"role": "user", "content": "x"}] * 10_001}, "more than 10000 messages"),
    "images": (chat([{"type": "image_url", "image_url": {"url": "https://x"}}] * 2_001), "more than 2000 images"),
    "no messages": ({"messages": []}, "the request has no messages"),
    "not messages": ({"messages": "x"}, "the request has no messages"),
}


@pytest.mark.parametrize("case", OVER_A_LIMIT)
def test_what_is_over_a_limit_is_unverifiable_with_the_reason(case: str) -> None:
    body, reason = OVER_A_LIMIT[case]
    assert count(CHAT, "gpt-4o", body).input == Uncounted(reason)
    found = verify(CHAT, "gpt-4o", body, None, {"prompt_tokens": 7})
    assert (found.verdict, found.input.reported) == ("unverifiable", 7)


def test_limits_are_the_callers() -> None:
    small = Limits(text_bytes=200)
    assert isinstance(count(CHAT, "gpt-4o", chat("x" * 170), limits=small).input, Count)
    assert isinstance(count(CHAT, "gpt-4o", chat("x" * 201), limits=small).input, Uncounted)


def test_a_thousand_images_are_priced() -> None:
    found = count(
        CHAT, "gpt-4o", chat([{"type": "image_url", "image_url": {"url": f"https://x/{i}"}} for i in range(1000)])
    ).input
    assert isinstance(found, Count)
    assert found.high == 7 + 1000 * (85 + 8 * 170)


def test_a_huge_data_url_is_read_only_at_its_head() -> None:
    url = "data:image/jpeg;base64," + "/9j/" + "A" * 20_000_000
    started = time.process_time()
    assert isinstance(count(CHAT, "gpt-4o", chat([{"type": "image_url", "image_url": {"url": url}}])).input, Count)
    assert time.process_time() - started < 1


def test_arguments_that_are_deep_or_not_json_are_counted_as_text() -> None:
    for arguments in ("[" * 100_000, '{"a":' * 5_000, "{torn", '{"a": 1e999, "b": NaN}', "9" * 10_000):
        call = {"id": "1", "function": {"name": "f", "arguments": arguments}}
        for calls in ([call], [call, call]):
            messages = [{"role": "assistant", "content": None, "tool_calls": calls}]
            assert isinstance(count(CHAT, "gpt-4o", {"messages": messages}).input, Count)


def test_a_value_that_is_not_json_is_refused() -> None:
    tools = [{"function": {"name": "f", "parameters": {"properties": {"x": {"default": 10**5000}}}}}]
    assert isinstance(count(CHAT, "gpt-4o", {**chat("x"), "tools": tools}).input, Uncounted)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    for text in (" " * 1_200_000 + "x", "\ud800", "<|endoftext|>"):
        verify(CHAT, "gpt-4o", chat(text), {"choices": [{"message": {"content": text}}]}, {"prompt_tokens": 1})
    assert capfd.readouterr() == ("", "")
    assert json.dumps(text)
