"""Streams put together: deltas → the response that the same request would have had without `stream`.

A stream that was cut gives what was delivered; its choices have no finish reason, which `answers` takes into account.
Time and memory are linear in the size of the chunks, whatever their order.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pricing.tokens.typescript import Schema

CHOICES_MAX: Final = 1_000  # choices, calls or output items; a higher index is ignored
_KEPT: Final = ("id", "model", "usage", "service_tier")
_DONE: Final = ("response.completed", "response.incomplete", "response.failed")


def assemble(chunks: Iterable[Any]) -> Schema:
    """Chunks of a chat completion, completion or Responses stream, decoded from JSON, in order → one response object.

    What is not a chunk is ignored. Never raises.
    """
    whole: Schema = {}
    choices: dict[int, _Text] = {}
    items: dict[int, _Text] = {}
    for chunk in chunks:
        if not isinstance(chunk, dict):
            continue
        kind = chunk.get("type")
        if isinstance(kind, str) and kind.startswith("response."):
            _responses_event(kind, chunk, whole, items)
            continue
        whole.update({key: chunk[key] for key in _KEPT if chunk.get(key) is not None})
        for choice in _dicts(chunk.get("choices")):
            _at(choices, choice.get("index", 0)).add_choice(choice)
    if choices:
        whole["choices"] = [{"index": index, **choices[index].as_choice()} for index in sorted(choices)]
    if items and "output" not in whole:
        whole["output"] = [items[index].as_item() for index in sorted(items)]
    return whole


def server_sent(lines: Iterable[str]) -> Iterator[Any]:
    """The JSON of each `data:` line of an event stream; `[DONE]`, comments and torn lines are skipped."""
    for line in lines:
        if line.startswith("data:"):
            try:
                yield json.loads(line[5:])
            except (ValueError, RecursionError):
                continue


class _Text:
    """Grows a choice or an output item: strings are appended under their key, calls under theirs by index."""

    def __init__(self) -> None:
        self.parts: dict[str, list[str]] = {}
        self.calls: dict[int, _Text] = {}
        self.fixed: Schema = {}

    def append(self, source: Schema, *keys: str) -> None:
        for key in keys:
            if isinstance(source.get(key), str):
                self.parts.setdefault(key, []).append(source[key])

    def joined(self) -> Schema:
        return {key: "".join(parts) for key, parts in self.parts.items()}

    # ── chat completions and completions ──
    def add_choice(self, choice: Schema) -> None:
        self.append(choice, "text")
        if choice.get("finish_reason") is not None:
            self.fixed["finish_reason"] = choice["finish_reason"]
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        self.append(delta, "content", "refusal", "reasoning_content")
        if delta.get("audio"):
            self.fixed["audio"] = True
        if isinstance(delta.get("function_call"), dict):
            _at(self.calls, -1).append(delta["function_call"], "name", "arguments")
        for call in _dicts(delta.get("tool_calls")):
            for kind in ("function", "custom"):
                if isinstance(call.get(kind), dict):
                    _at(self.calls, call.get("index", 0)).append(call[kind], "name", "arguments", "input")

    def as_choice(self) -> Schema:
        texts = self.joined()
        finish = self.fixed.get("finish_reason")
        if "text" in texts:
            return {"text": texts["text"], "finish_reason": finish}
        message: Schema = {"role": "assistant", "content": None, **texts}
        calls = [{"type": "function", "function": self.calls[i].joined()} for i in sorted(self.calls) if i >= 0]
        message |= {"tool_calls": calls} if calls else {}
        message |= {"function_call": self.calls[-1].joined()} if -1 in self.calls else {}
        message |= {"audio": True} if "audio" in self.fixed else {}
        return {"message": message, "finish_reason": finish}

    # ── Responses ──
    def as_item(self) -> Schema:
        """A finished item as it was sent; an unfinished one as far as its deltas go."""
        texts = self.joined()
        if self.fixed.get("type") != "message":
            return {**self.fixed, **texts}
        kinds = {"text": "output_text", "refusal": "refusal"}
        parts = [{"type": kinds[key], key: texts[key]} for key in kinds if key in texts]
        return {**self.fixed, "content": parts or self.fixed.get("content", [])}


def _responses_event(kind: str, event: Schema, whole: Schema, items: dict[int, _Text]) -> None:
    response = event.get("response")
    if isinstance(response, dict):
        keep = (*_KEPT, "status", "output") if kind in _DONE else (*_KEPT, "status")
        whole.update({key: response[key] for key in keep if response.get(key)})
    item = event.get("item")
    at = _at(items, event.get("output_index")) if "output_index" in event else _Text()
    if isinstance(item, dict) and kind in ("response.output_item.added", "response.output_item.done"):
        at.fixed = item
        at.parts = {} if kind.endswith("done") else at.parts
    elif kind == "response.output_text.delta":
        at.append({"text": event.get("delta")}, "text")
        at.fixed.setdefault("type", "message")
    elif kind == "response.refusal.delta":
        at.append({"refusal": event.get("delta")}, "refusal")
        at.fixed.setdefault("type", "message")
    elif kind == "response.function_call_arguments.delta":
        at.append({"arguments": event.get("delta")}, "arguments")
        at.fixed.setdefault("type", "function_call")
    elif kind == "response.custom_tool_call_input.delta":
        at.append({"input": event.get("delta")}, "input")
        at.fixed.setdefault("type", "custom_tool_call")


def _at(found: dict[int, _Text], index: Any) -> _Text:
    """The text at an index, made on first use; an index that is none, or absurd, gives a text nobody reads."""
    if not isinstance(index, int) or not -1 <= index < CHOICES_MAX:
        return _Text()
    return found.setdefault(index, _Text())


def _dicts(value: Any) -> list[Schema]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
