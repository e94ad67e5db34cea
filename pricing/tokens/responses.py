"""Input tokens of the Responses API: its request is put into the shape of a chat completion and counted as one."""

from typing import Any, Final

from pricing.tokens.bounds import Count, Unverifiable
from pricing.tokens.chat import Conversation
from pricing.tokens.limits import DEFAULT, Limits
from pricing.tokens.models import Model
from pricing.tokens.typescript import Schema

_STORED: Final = ("previous_response_id", "conversation", "prompt")


def count_responses(model: Model, request: Schema, limits: Limits = DEFAULT) -> Count:
    """Tokens of the input. Raises `Unverifiable` when the request holds no input that can be read."""
    messages, reasoning, foreign = as_messages(request)
    conversation = Conversation(model, {**request, "messages": messages}, limits)
    tally = conversation.tally
    if any(request.get(key) for key in _STORED):
        tally.unbounded("the input continues something stored upstream")
    if foreign:
        tally.unbounded("input items of kinds whose tokens are not known")
    conversation.add_all(messages)
    return tally.count()


def as_messages(request: Schema) -> tuple[list[Schema], int, int]:
    """(chat messages, number of reasoning items, number of items that have no chat equivalent)."""
    messages: list[Schema] = []
    instructions = request.get("instructions")
    if isinstance(instructions, str) and instructions:
        messages.append({"role": "system", "content": instructions})
    given = request.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items and not messages:
        raise Unverifiable("the request has no input")
    reasoning = foreign = 0
    for item in items:
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "message":
            messages.append({"role": item.get("role"), "content": item.get("content")})
        elif kind == "function_call":
            _append_call(messages, item)
        elif kind == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")})
        elif kind == "reasoning":
            reasoning += 1
        else:
            foreign += 1
    return messages, reasoning, foreign


def _append_call(messages: list[Schema], item: Schema) -> None:
    """Calls that follow one another are one turn of parallel calls."""
    call = {"id": item.get("call_id"), "function": {"name": item.get("name"), "arguments": item.get("arguments")}}
    if messages and messages[-1].get("tool_calls"):
        messages[-1]["tool_calls"].append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
