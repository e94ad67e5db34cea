"""Calls of tools and their results, as they stand in the history of a conversation.

One call and its result are two messages; several calls of one turn are one call of `multi_tool_use.parallel` whose
arguments list them, and their results are one message that lists the outputs. Of the recordings, single calls agree in
152 of 153 (the other was edited by hand), parallel calls in 77 of 77 on gpt-4o and in 21 of 21 on gpt-5.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pricing.tokens.bounds import Tally
from pricing.tokens.typescript import Schema, compact

_CALL: Final = 9  # frame, role and " to=functions." around name and arguments
_EARLY_CALL: Final = 7  # the same for the snapshots of 2023
_RESULT: Final = 3  # frame around "functions.NAME" and the output
_PARALLEL: Final = 20  # both frames, roles and "multi_tool_use.parallel" of a turn of several calls
# The Responses API shows calls otherwise: arguments as they are, and in this many tokens more.
_RESPONSES_GIVEN: Final = -2  # 35 of 37
_RESPONSES_KEPT: Final = 1  # 8 of 10
_RESPONSES_PARALLEL: Final = -10  # -10 or -11 in 17 of 17, all one schema
_HARMONY: Final = 6  # channel and content type of a turn that calls; gpt-5, 57 of 57


@dataclass(frozen=True, slots=True, repr=False)  # holds text
class Calls:
    """One assistant turn that calls tools, with the messages that answer it (possibly fewer than the calls)."""

    content: Any
    calls: list[tuple[str, str]]  # name, arguments
    results: list[Schema]
    kept: bool = False  # the Responses API has the call itself, as it was written: the item names its id


Turn = Calls | Schema


def turns(messages: list[Schema]) -> Iterator[Turn]:
    """The messages, each turn of calls joined with the tool messages that directly follow it."""
    at = 0
    while at < len(messages):
        message = messages[at]
        at += 1
        calls = calls_of(message)
        if not calls:
            yield message
            continue
        results: list[Schema] = []
        while at < len(messages) and messages[at].get("role") == "tool" and len(results) < len(calls):
            results.append(messages[at])
            at += 1
        yield Calls(message.get("content"), calls, results, bool(message.get("kept")))


def calls_of(message: Schema) -> list[tuple[str, str]]:
    """(name, arguments) of each call that an assistant's message makes, in both generations' spelling."""
    if isinstance(message.get("function_call"), dict):
        return [name_and_arguments(message["function_call"])]
    found = message.get("tool_calls")
    if not isinstance(found, list):
        return []
    inner = [call.get("function", call.get("custom", call)) for call in found if isinstance(call, dict)]
    return [name_and_arguments(call) for call in inner if isinstance(call, dict)]


def name_and_arguments(call: Schema) -> tuple[str, str]:
    arguments = call.get("arguments", call.get("input", ""))
    return str(call.get("name", "")), arguments if isinstance(arguments, str) else compact(arguments)


def add_calls(tally: Tally, turn: Calls, layout: str, text_of: Callable[[Any], str], *, responses: bool) -> None:
    """Add one turn of calls and its results. `text_of` gives the text of a result's content."""
    outputs = [text_of(result.get("content")) for result in turn.results]
    tally.slack(4, 10, "the text that shows earlier calls to the model is not published")
    if layout == "harmony":
        tally.exact(_HARMONY)
    if responses:
        tally.slack(6, 8, "calls in the history of the Responses API")
    if len(turn.calls) > 1:
        _add_parallel(tally, turn.calls, outputs)
        tally.exact(_RESPONSES_PARALLEL if responses else 0)
    elif responses:
        _add_single(tally, turn.calls[0], outputs)
        tally.exact(_RESPONSES_KEPT if turn.kept else _RESPONSES_GIVEN)
    elif layout in ("launch", "snapshot"):
        _add_early(tally, turn.calls[0], outputs)
    else:
        name, arguments = turn.calls[0]
        _add_single(tally, (name, _reserialised(arguments)), outputs)


def _add_single(tally: Tally, call: tuple[str, str], outputs: list[str]) -> None:
    name, arguments = call
    tally.text(name, arguments)
    tally.exact(_CALL)
    for output in outputs:
        tally.text(f"functions.{name}", output)
        tally.exact(_RESULT)


def _add_early(tally: Tally, call: tuple[str, str], outputs: list[str]) -> None:
    """gpt-4-0613: arguments as they are, results under the bare name (2 recordings, 5 cases of hmarr's)."""
    name, arguments = call
    tally.text(name, arguments)
    tally.exact(_EARLY_CALL)
    for output in outputs:
        tally.text(name, output)
        tally.exact(_RESULT)
    tally.slack(4, 6, "calls in the history of a 2023 snapshot: few recordings")


def _add_parallel(tally: Tally, calls: list[tuple[str, str]], outputs: list[str]) -> None:
    """Results that are JSON are re-serialised with blanks; non-ASCII was escaped until early 2026 and is not since."""
    tally.text(parallel_call(calls))
    tally.exact(_PARALLEL)
    values = [parsed(output) for output in outputs]
    plain = tally.text(json.dumps(values, ensure_ascii=False))
    if len(outputs) != len(calls):
        tally.slack(_PARALLEL, _PARALLEL, "a call without its result")
    if not all(output.isascii() for output in outputs):
        escaped = Tally(tally.encoding)
        tally.doubt(0, max(0, escaped.text(json.dumps(values)) - plain), "results of parallel calls may be escaped")


def parallel_call(calls: list[tuple[str, str]]) -> str:
    """The arguments of `multi_tool_use.parallel` that stand for several calls."""
    uses = [{"recipient_name": f"functions.{name}", "parameters": parsed(arguments)} for name, arguments in calls]
    return compact({"tool_uses": uses})


def parsed(text: str) -> Any:
    """The JSON value of a text, or the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _reserialised(arguments: str) -> str:
    """Arguments as the API shows them to the model: compact JSON when they are JSON."""
    value = parsed(arguments)
    return arguments if value is arguments else compact(value)
