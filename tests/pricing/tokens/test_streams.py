"""A stream put together is the response that came in one piece."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.tokens import assemble, count, server_sent

TEXT = st.text(max_size=30)
CALLS = st.lists(st.fixed_dictionaries({"name": TEXT.filter(bool), "arguments": TEXT}), max_size=3)
CHOICE = st.fixed_dictionaries(
    {"content": TEXT, "calls": CALLS, "finish": st.sampled_from(["stop", "tool_calls", None])}
)


def whole(choices: list[dict[str, Any]]) -> dict[str, Any]:
    def message(choice: dict[str, Any]) -> dict[str, Any]:
        calls = [{"type": "function", "function": call} for call in choice["calls"]]
        return {"role": "assistant", "content": choice["content"], **({"tool_calls": calls} if calls else {})}

    made = [{"index": i, "message": message(c), "finish_reason": c["finish"]} for i, c in enumerate(choices)]
    return {"id": "chatcmpl-1", "model": "gpt-4o", "choices": made, "usage": {"total_tokens": 3}}


def chunks(choices: list[dict[str, Any]], size: int) -> list[Any]:
    """Deltas of `size` characters, the choices interleaved."""
    made: list[Any] = []
    for index, choice in enumerate(choices):
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": choice["content"][i : i + size]} for i in range(0, len(choice["content"]), size)]
        for at, call in enumerate(choice["calls"]):
            deltas.append({"tool_calls": [{"index": at, "function": {"name": call["name"], "arguments": ""}}]})
            cut = [call["arguments"][i : i + size] for i in range(0, len(call["arguments"]), size)]
            deltas += [{"tool_calls": [{"index": at, "function": {"arguments": part}}]} for part in cut]
        made += [{"choices": [{"index": index, "delta": delta, "finish_reason": None}]} for delta in deltas]
        made.append({"choices": [{"index": index, "delta": {}, "finish_reason": choice["finish"]}]})
    made.sort(key=lambda chunk: len(json.dumps(chunk)) % 3 if len(choices) > 1 and size > 100 else 0)
    return [{"id": "chatcmpl-1", "model": "gpt-4o", **chunk} for chunk in made] + [
        {"choices": [], "usage": {"total_tokens": 3}}
    ]


@given(st.lists(CHOICE, min_size=1, max_size=3), st.integers(1, 40))
@settings(deadline=None)
def test_a_chat_stream_equals_the_answer_in_one_piece(choices: list[dict[str, Any]], size: int) -> None:
    assembled = assemble(chunks(choices, size))
    assert assembled == whole(choices)
    path, request = "/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}
    assert count(path, "gpt-4o", request, assembled) == count(path, "gpt-4o", request, whole(choices))


def test_a_cut_stream_is_what_was_delivered() -> None:
    assembled = assemble(chunks([{"content": "hello world", "calls": [], "finish": "stop"}], 5)[:3])
    assert assembled["choices"][0]["message"]["content"] == "hello worl"
    assert assembled["choices"][0]["finish_reason"] is None


def test_completion_and_legacy_streams() -> None:
    assert assemble([{"choices": [{"index": 0, "text": part}]} for part in "abc"])["choices"][0]["text"] == "abc"
    legacy = [
        {"choices": [{"index": 0, "delta": {"function_call": {"name": "f", "arguments": part}}}]} for part in ("{", "}")
    ]
    assert assemble(legacy)["choices"][0]["message"]["function_call"] == {"name": "ff", "arguments": "{}"}


ITEMS: list[dict[str, Any]] = [
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
    {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
]
EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "r", "model": "gpt-4o", "output": [], "status": "in_progress"}},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "hel"},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "lo"},
    {"type": "response.output_item.done", "output_index": 0, "item": ITEMS[0]},
    {"type": "response.output_item.added", "output_index": 1, "item": {**ITEMS[1], "arguments": ""}},
    {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{}"},
    {"type": "response.output_item.done", "output_index": 1, "item": ITEMS[1]},
    {"type": "response.completed", "response": {"id": "r", "model": "gpt-4o", "output": ITEMS, "status": "completed"}},
]


def test_a_responses_stream_ends_in_its_response() -> None:
    assert assemble(EVENTS) == EVENTS[-1]["response"]


def test_a_cut_responses_stream_is_what_was_delivered() -> None:
    assert assemble(EVENTS[:8])["output"] == ITEMS
    assert assemble(EVENTS[:3])["output"][0]["content"] == [{"type": "output_text", "text": "hel"}]
    assert assemble(EVENTS[:7])["output"][1]["arguments"] == "{}"


def test_lines_of_an_event_stream() -> None:
    lines = [": ping", 'data: {"a": 1}', "", "data: [DONE]", 'data: {"torn', "event: x"]
    assert list(server_sent(lines)) == [{"a": 1}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT, lambda v: st.lists(v) | st.dictionaries(TEXT, v), max_leaves=20
)
KEYS = st.sampled_from(
    ["choices", "delta", "index", "tool_calls", "function", "type", "item", "output_index", "response", "delta"]
)


@given(st.lists(JSON | st.dictionaries(KEYS, JSON | st.sampled_from(["response.output_item.added", "response.x"]))))
def test_anything_is_assembled(given_chunks: list[Any]) -> None:
    assemble(given_chunks)


def test_a_custom_tool_is_called_in_pieces() -> None:
    head = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "run", "input": "print"}}
    deltas = [{"tool_calls": [head]}, {"tool_calls": [{"index": 0, "custom": {"input": "(1)"}}]}]
    made = assemble([{"choices": [{"index": 0, "delta": delta}]} for delta in deltas])
    assert made["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "run", "input": "print(1)"}
    item = {"type": "custom_tool_call", "name": "run", "input": ""}
    events = [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "print"},
        {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "(1)"},
    ]
    assert assemble(events)["output"] == [{**item, "input": "print(1)"}]
