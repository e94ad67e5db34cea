"""Prompts of chat completions: published counts, and each rule of the layout as arithmetic over the texts' tokens."""

import json
from typing import Any

import pytest

from pricing.tokens import Count, count, tokens
from tests.pricing.tokens import examples

PATH = "/v1/chat/completions"


def prompt(model: str, request: dict[str, Any]) -> Count:
    found = count(PATH, model, request).input
    assert isinstance(found, Count)
    assert found.holds(found.likely)
    return found


def n(text: str, encoding: str = "o200k_base") -> int:
    return tokens(encoding, text)[0]


@pytest.mark.parametrize(("model", "expected"), examples.COOKBOOK_MESSAGE_COUNTS.items())
def test_the_cookbooks_messages(model: str, expected: int) -> None:
    found = prompt(model, examples.COOKBOOK_MESSAGES)
    least = expected - 1 if model == "gpt-3.5-turbo-0301" else expected  # primed with 2 tokens at first
    assert (found.low, found.likely, found.high) == (least, expected, expected)


@pytest.mark.parametrize("content", ["hello world", ["hello", " world"], {"type": "text", "text": "hello world"}])
def test_a_text_is_read_in_every_shape(content: Any) -> None:
    assert prompt("gpt-4o", {"messages": [{"role": "user", "content": content}]}) == Count(9, 9, 9)


UNREADABLE: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": 5}]},
    {"messages": [{"role": "user", "content": [["hello"]]}]},
    {"tools": {"name": "f"}},
    {"tools": ["f"]},
    {"tools": [{"type": "function", "function": {"name": 5}}]},
    {"tools": [{"type": "function", "function": {"name": "f", "parameters": "{}"}}]},
    {"functions": "f"},
    {"functions": [{"parameters": {}}]},
    {"response_format": "json"},
    {"response_format": {"type": "grammar"}},
    {"response_format": {"type": "json_schema", "json_schema": "x"}},
    {"data_sources": [{"type": "azure_search"}]},
    {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "<cut>"}}]}]},
]


@pytest.mark.parametrize("odd", UNREADABLE)
def test_what_cannot_be_read_has_no_upper_bound(odd: dict[str, Any]) -> None:
    assert prompt("gpt-4o", {"messages": [{"role": "user", "content": "hello"}], **odd}).high is None


def test_a_name_without_a_date_may_be_either_generation() -> None:
    dated, undated = (prompt(name, examples.COOKBOOK_TOOLS) for name in ("gpt-4-0613", "gpt-4"))
    later = prompt("gpt-4-turbo", examples.COOKBOOK_TOOLS)
    assert dated.likely == undated.likely
    assert undated.holds(later.likely)
    assert prompt("gpt-35-turbo", examples.COOKBOOK_MESSAGES).holds(127)
    assert prompt("gpt-35-turbo", examples.COOKBOOK_MESSAGES).likely == 129
    assert prompt("gpt-3.5-turbo", examples.COOKBOOK_MESSAGES) == Count(129, 129, 129)  # OpenAI's own: the last one


@pytest.mark.parametrize(("model", "expected"), examples.COOKBOOK_TOOL_COUNTS.items())
def test_the_cookbooks_tools(model: str, expected: int) -> None:
    assert prompt(model, examples.COOKBOOK_TOOLS).likely == expected


@pytest.mark.parametrize(("request_", "expected"), examples.FUNCTIONS)
def test_functions_of_the_2023_snapshots(request_: dict[str, Any], expected: int) -> None:
    assert prompt("gpt-3.5-turbo-0613", request_).likely == expected


@pytest.mark.parametrize(
    ("model", "base"), [("gpt-4o", 3), ("gpt-4.1-mini", 3), ("o3-mini", 2), ("gpt-5", 2), ("gpt-4", 3)]
)
def test_a_message_costs_its_frame_role_and_text(model: str, base: int) -> None:
    text = "Count the moons of Jupiter."
    encoding = "cl100k_base" if model == "gpt-4" else "o200k_base"
    assert prompt(model, {"messages": [{"role": "user", "content": text}]}).likely == base + 3 + 1 + n(text, encoding)


def test_text_parts_are_joined_before_they_are_tokenised() -> None:
    parts = [{"type": "text", "text": "foot"}, {"type": "text", "text": "ball"}]
    assert prompt("gpt-4o", {"messages": [{"role": "user", "content": parts}]}).likely == 7 + n("football")


def test_gpt_5_names_a_channel_in_every_assistant_turn() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert prompt("gpt-5-mini", {"messages": turns}).likely == 2 + 3 * 5 + 2


def test_n_choices_share_one_prompt() -> None:
    request = {"messages": [{"role": "user", "content": "hi"}]}
    assert prompt("gpt-4o", request) == prompt("gpt-4o", {**request, "n": 5})


def history(calls: list[tuple[str, str]], outputs: list[str]) -> dict[str, Any]:
    made = [
        {"id": str(i), "type": "function", "function": {"name": f, "arguments": a}} for i, (f, a) in enumerate(calls)
    ]
    results = [{"role": "tool", "tool_call_id": str(i), "content": output} for i, output in enumerate(outputs)]
    return {"messages": [{"role": "user", "content": "go"}, {"role": "assistant", "tool_calls": made}, *results]}


def test_one_call_and_its_result() -> None:
    request = history([("get_weather", '{"city": "Rome"}')], ["sunny"])
    expected = 3 + 5 + 9 + n("get_weather") + n('{"city":"Rome"}') + 3 + n("functions.get_weather") + n("sunny")
    assert prompt("gpt-4o", request).likely == expected
    assert prompt("gpt-5", request).likely == expected - 1 + 6


def test_parallel_calls_are_one_call_that_lists_them() -> None:
    request = history([("f", '{"a": 1}'), ("g", "{}")], ["one", '{"b":2}'])
    uses = [
        {"recipient_name": "functions.f", "parameters": {"a": 1}},
        {"recipient_name": "functions.g", "parameters": {}},
    ]
    made = json.dumps({"tool_uses": uses}, separators=(",", ":"))
    expected = 3 + 5 + 20 + n(made) + n('["one", {"b": 2}]')
    assert prompt("gpt-4o", request).likely == expected
    assert prompt("gpt-5", request).likely == expected - 1 + 6


def test_results_of_parallel_calls_may_be_escaped() -> None:
    found = prompt("gpt-4o", history([("f", "{}"), ("g", "{}")], ["20°", "21°"]))
    plain = prompt("gpt-4o", history([("f", "{}"), ("g", "{}")], ["20x", "21x"]))
    more = n('["20\\u00b0", "21\\u00b0"]') - n('["20°", "21°"]')
    assert (found.high or 0) - found.likely == (plain.high or 0) - plain.likely + more


SCHEMA = {
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "type": "object",
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "Person", "schema": SCHEMA, "strict": True}}


def test_a_response_schema_is_shown_without_what_strictness_implies() -> None:
    shown = '# Response Formats\n\n## Person\n\n{"properties":{"name":{"type":"string"}},"type":"object"}'
    request = {"messages": [{"role": "user", "content": "go"}], "response_format": FORMAT}
    assert prompt("gpt-4o", request).likely == 3 + 5 + 4 + n(shown) + 2 + n("Person")
    assert prompt("gpt-5", request).likely == 2 + 5 + 4 + n(shown)
    instructed = {"messages": [{"role": "developer", "content": "Be brief."}], "response_format": FORMAT}
    assert prompt("gpt-5", instructed).likely == 2 + 4 + n(f"# Instructions\n\nBe brief.\n\n{shown}")


def test_a_json_object_costs_nothing() -> None:
    request = {"messages": [{"role": "user", "content": "json"}]}
    assert prompt("gpt-4o", request) == prompt("gpt-4o", {**request, "response_format": {"type": "json_object"}})


def test_what_cannot_be_known_says_why() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA" * 1000, "format": "wav"}}
    for part, bounded in (({"type": "file", "file": {"file_id": "f"}}, False), (audio, True)):
        found = prompt("gpt-4o-audio-preview", {"messages": [{"role": "user", "content": [part]}]})
        assert found.reason
        assert (found.high is not None) == bounded
    assert prompt("o1-preview", {"messages": [{"role": "user", "content": "hi"}]}).high is None


def test_a_text_that_was_left_out_has_no_upper_bound() -> None:
    found = prompt("gpt-4o", {"messages": [{"role": "user", "content": "<elided base64 8000 chars>"}]})
    assert found.high is None
    assert found.low <= 10
    assert "left out" in found.reason
    assert prompt("gpt-4o", {"messages": [{"role": "user", "content": "say <elided it>"}]}).high is not None


HELLO = [{"role": "user", "content": "hello"}]


def test_an_o1_mini_prompt_has_no_upper_bound() -> None:
    """Recorded in August 2025: 30 tokens of two messages that are 23."""
    said = ["You are a helpful assistant.", "What's the capital of France?"]
    found = prompt("o1-mini-2024-09-12", {"messages": [{"role": "user", "content": text} for text in said]})
    assert (found.low, found.high) == (23, None)


@pytest.mark.parametrize("name", ["data_sources", "dataSources", "enhancements"])
def test_what_azure_retrieves_has_no_upper_bound(name: str) -> None:
    assert prompt("gpt-4", {"messages": HELLO, name: [{"type": "AzureCognitiveSearch"}]}).high is None


def test_a_prediction_may_be_input_too() -> None:
    found = prompt("gpt-4o", {"messages": HELLO, "prediction": {"type": "content", "content": "hello world"}})
    assert (found.low, found.likely, found.high) == (8, 8, 10)


def test_a_prompt_for_a_spoken_answer_is_bounded() -> None:
    found = prompt("gpt-4o-audio-preview", {"messages": HELLO, "modalities": ["text", "audio"]})
    assert (found.low, found.likely, found.high) == (4, 8, 20)
    assert prompt("gpt-4o-audio-preview", {"messages": HELLO, "modalities": ["text"]}) == Count(8, 8, 8)
