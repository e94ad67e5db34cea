"""Input tokens of the Responses API: its request is put into the shape of a chat completion and counted as one."""

from typing import Final

from pricing.tokens import tools
from pricing.tokens.bounds import Count, Tally, UnverifiableError
from pricing.tokens.chat import Conversation
from pricing.tokens.limits import DEFAULT, Limits
from pricing.tokens.models import Model
from pricing.tokens.typescript import Schema

_AROUND: Final = (2, 18)  # tokens less and more; 18 more is a constant of some requests to gpt-4o and gpt-4o-mini
_BLOB_FRAME: Final = 700  # bytes of encrypted reasoning that are not reasoning
_BLOB_SLACK: Final = 60
_STORED: Final = ("previous_response_id", "conversation", "prompt")


def count_responses(model: Model, request: Schema, limits: Limits = DEFAULT) -> Count:
    """Tokens of the input. Raises `UnverifiableError` when the request holds no input that can be read."""
    messages, reasoning, foreign = as_messages(request, keeps=_keeps_reasoning(model, request))
    if len(messages) > limits.messages:
        raise UnverifiableError(f"more than {limits.messages} input items")
    conversation = Conversation(model, {**request, "messages": messages}, limits, responses=True)
    tally = conversation.tally
    if any(request.get(key) for key in _STORED):
        tally.unbounded("the input continues something stored upstream")
    if model.layout == "snapshot":
        tally.exact(-1)  # 3 of 3 recordings of gpt-4-0613
    tally.slack(*_AROUND, "the Responses API may put a few tokens of its own around the input")
    if model.preamble:
        tally.slack(0, model.preamble, "the Responses API may put a text of its own in front of the input")
    _add_reasoning(tally, reasoning)
    if tools.json_schema(request) and tools.functions(request):
        tally.unbounded("a structured answer may be tried twice and its input billed twice")  # 1 of 20
    if foreign:
        tally.unbounded("input items of kinds whose tokens are not known")
    conversation.add_all(messages)
    return tally.count()


def _add_reasoning(tally: Tally, items: list[Schema]) -> None:
    """Reasoning since the last user message is shown to the model again; before it, it is dropped (28 of 28), unless
    the request asks for it.

    Its tokens are unknown. The encrypted form has 700 bytes of its own and 4.3 a token (5 recordings, within 5 tokens).
    """
    for item in items:
        blob = item.get("encrypted_content")
        if isinstance(blob, str) and blob:
            likely = max(0, len(blob) * 3 // 4 - _BLOB_FRAME) * 23 // 100
            tally.exact(likely)
            tally.doubt(likely, likely + _BLOB_SLACK, "reasoning of earlier calls is shown to the model again")
        else:
            tally.unbounded("reasoning of earlier calls is shown to the model again")


def _keeps_reasoning(model: Model, request: Schema) -> bool:
    """Whether the reasoning of earlier turns may be shown again: `all_turns`, which gpt-5.6 and later do by default."""
    asked = request.get("reasoning")
    context = asked.get("context") if isinstance(asked, dict) else None
    return context != "current_turn" and (context is not None or model.preamble > 0)


def as_messages(request: Schema, *, keeps: bool = False) -> tuple[list[Schema], list[Schema], int]:
    """(chat messages, reasoning items that are shown again, number of items that have no chat equivalent).

    Shown again are those since the last user message, or all (`keeps`).
    """
    messages: list[Schema] = []
    instructions = request.get("instructions")
    foreign = int(bool(instructions) and not isinstance(instructions, str))
    if isinstance(instructions, str) and instructions:
        messages.append({"role": "system", "content": instructions})
    given = request.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or (not items and not messages):
        raise UnverifiableError("the request has no input")
    reasoning: list[Schema] = []
    for item in items:
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "message":
            messages.append({"role": item.get("role"), "content": item.get("content")})
            reasoning = [] if item.get("role") == "user" and not keeps else reasoning
        elif kind == "function_call":
            _append_call(messages, item)
        elif kind == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")})
        elif kind == "reasoning":
            reasoning.append(item)
        else:
            foreign += 1
    return messages, reasoning, foreign


def _append_call(messages: list[Schema], item: Schema) -> None:
    """Calls that follow one another are one turn of parallel calls."""
    call = {"id": item.get("call_id"), "function": {"name": item.get("name"), "arguments": item.get("arguments")}}
    if messages and messages[-1].get("tool_calls"):
        messages[-1]["tool_calls"].append(call)
    else:
        messages.append({"role": "assistant", "tool_calls": [call], "kept": bool(item.get("id"))})
