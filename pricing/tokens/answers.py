"""Output tokens of an answer: its texts and tool calls, choice by choice.

The text of a model that does not reason costs its own tokens, and mostly one more when tools are defined. To call one
it writes the name, the arguments and a header; several calls are written as one call of `multi_tool_use.parallel`.
Reasoning is hidden: the reported number of reasoning tokens is taken as it is; what is billed beside it is checked.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from pricing.tokens import history, tools
from pricing.tokens.bounds import Count, Tally, UnverifiableError
from pricing.tokens.models import Model
from pricing.tokens.text import tokens
from pricing.tokens.typescript import Schema

# Tokens beside text and calls, the likeliest by layout: chat completions, then Responses (docs/tokens.md: how often).
_PLAIN: Final = {"launch": (0, 1), "snapshot": (0, 2), "namespace": (0, 1), "reasoning": (13, 6), "harmony": (9, 6)}
_CALL: Final = {"launch": (2, 3), "snapshot": (4, 5), "namespace": (7, 8), "reasoning": (21, 14), "harmony": (17, 13)}
_MANY: Final = {
    "launch": (10, 11),
    "snapshot": (10, 11),
    "namespace": (10, 11),
    "reasoning": (24, 18),
    "harmony": (21, 15),
}
_TEXT_SLACK: Final = 16  # a stop token, a header, a word the server cut off: 10 at most in 1,200 but for JSON
_STOP_SLACK: Final = 10  # beside a stop sequence, which is longer than a stop token
_CALL_SLACK: Final = 18  # one call written as if it were several: 13 more (2 of 154)
_PART: Final = 6  # a further message in one Responses answer has its own header (2 recordings)
_REQUIRED: Final = 2  # a 2023 snapshot has the beginning of a call in its prompt if one is required (8 of 8)
_REASONING_SLACK: Final = 160  # 109 more in 1 of 220
# 8 of 106 structured answers with tools hold hundreds of blanks, sampled as 24 to 610 more tokens than the text needs.
_LONG_BLANKS: Final = re.compile(r"\s{16,}")
_JSON: Final = "the blanks of a structured answer may be billed one by one"


@dataclass(slots=True, repr=False)  # holds text
class Choice:
    """One answer: its texts (content, refusal) and the calls it makes, as (name, arguments)."""

    texts: list[str]
    calls: list[tuple[str, str]]
    finished: bool = True
    hidden: str = ""  # why something is billed that cannot be seen, if so


def count_answer(model: Model, request: Schema, response: Schema, reasoning: int | None = None) -> Count:
    """Output tokens of a chat completion, completion or Responses answer, as the API would report them.

    `reasoning` is what the usage reports as reasoning tokens. Raises `UnverifiableError` when there is no answer.
    """
    found = choices(response)
    tally = Tally(model.encoding)
    for choice in found:
        _add_choice(tally, model, request, choice, flat="output" in response)
    after = 1 + _stop_tokens(model.encoding, request.get("stop"))
    tally.doubt(0, after * (len(found) - 1), "each choice may be followed by a token or a stop sequence of its own")
    if len(found) < _wanted(request) or request.get("best_of") not in (None, request.get("n") or 1):
        tally.unbounded("answers that were not shown are billed too")
    if "audio" in _list(request.get("modalities")) or model.family == "search":
        tally.unbounded("what is billed beside the text is not known for this kind of answer")
    if request.get("prediction"):
        tally.unbounded("predicted tokens that were rejected are billed too")
    if tools.built_in(request) or request.get("web_search_options"):
        tally.unbounded("what built-in tools write is billed and not shown")
    if model.reasons:
        _add_reasoning(tally, None if reasoning == 0 and _is_silent(request, response) else reasoning)
    return tally.count()


def _is_silent(request: Schema, response: Schema) -> bool:
    """Whether an answer may have been reasoned about though none is reported: moderated ones are (1 of 1)."""
    return bool(request.get("moderation") or response.get("moderation"))


def _add_choice(tally: Tally, model: Model, request: Schema, choice: Choice, *, flat: bool) -> None:
    shown = tally.text(*_without_prompt(request, choice.texts))
    if request.get("echo") and not _texts_only(request.get("prompt")):
        tally.doubt(shown, 0, "the answer repeats a prompt that was given as token ids")
    if _structured(request):
        tally.doubt(0, sum(map(_blanks, choice.texts)), _JSON)
    if choice.hidden:
        tally.unbounded(choice.hidden)
    if not choice.finished:
        tally.text(*(text for call in choice.calls for text in call))
        tally.slack(0, _CALL_SLACK if choice.calls else _TEXT_SLACK, "the answer was cut")
    elif len(choice.calls) > 1:
        tally.text(history.parallel_call(choice.calls))
        _header(tally, _MANY[model.layout][flat], _CALL_SLACK)
    elif choice.calls:
        _add_call(tally, model, request, choice.calls[0], flat=flat)
    else:
        stop = _stop_tokens(model.encoding, request.get("stop"))
        _header(
            tally,
            _PLAIN[model.layout][flat] + _offered(model, request, flat=flat),
            max(_TEXT_SLACK, _STOP_SLACK + stop),
        )
        _add_format(tally, model, request)
        if flat:
            tally.doubt(0, _PART * max(0, len(choice.texts) - 1), "each message of an answer has a header of its own")


def _add_call(tally: Tally, model: Model, request: Schema, call: tuple[str, str], *, flat: bool) -> None:
    """A call that was forced by name is only its arguments (181 of 186), except on gpt-5."""
    name, arguments = call
    forced = tools.chosen(request) == name and model.layout not in ("harmony", "reasoning")
    tally.text(arguments, *([] if forced else [name]))
    begun = _REQUIRED if model.layout == "snapshot" and request.get("tool_choice") == "required" else 0
    _header(tally, int(flat) if forced else _CALL[model.layout][flat] - begun, _CALL_SLACK)


def _add_format(tally: Tally, model: Model, request: Schema) -> None:
    """Where a function could have been called, the answer itself names the schema it follows, in 2 + name.

    Recorded: 17 of 17 on gpt-4o, 7 of 13 on gpt-4o-mini and the others 1 more. Elsewhere the prompt ends with it.
    """
    wanted = tools.json_schema(request)
    if wanted is not None and tools.functions(request) and not tools.forbidden(request) and model.layout == "namespace":
        name = tally.text(str(wanted.get("name", "")))
        tally.exact(2)
        tally.doubt(name + 2, 0, "a structured answer may name its schema")


def _wanted(request: Schema) -> int:
    """Answers that were asked for: `n` for each prompt."""
    wanted, prompt = request.get("n"), request.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and not all(isinstance(one, int) for one in prompt) else 1
    return (wanted if isinstance(wanted, int) else 1) * prompts


def _offered(model: Model, request: Schema, *, flat: bool) -> int:
    """One token more for a text where tools could have been called: 189 of 248 in chat, 35 of 55 in Responses."""
    if flat and (model.layout == "harmony" or _structured(request)):
        return 0
    return int(model.layout in ("snapshot", "namespace", "harmony") and bool(tools.functions(request)))


def _stop_tokens(encoding: str, stop: Any) -> int:
    """Tokens of the longest stop sequence: it is written and billed, and then not shown (29 recordings)."""
    sequences = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    return max((tokens(encoding, one)[0] for one in sequences if isinstance(one, str)), default=0)


def _header(tally: Tally, likely: int, slack: int) -> None:
    reason = "what surrounds an answer varies by a few tokens"
    tally.exact(likely)
    tally.doubt(likely, 0, reason)
    tally.slack(0, slack, reason)


def _add_reasoning(tally: Tally, reasoning: int | None) -> None:
    if reasoning is None:
        tally.unbounded("reasoning is billed and not shown")
        return
    tally.exact(reasoning)
    tally.doubt(0, _REASONING_SLACK, "reasoning is billed as reported; it is not shown")


def _blanks(text: str) -> int:
    """Characters in runs of 16 and more blanks, which pretty-printed JSON does not have."""
    return sum(len(run) for run in _LONG_BLANKS.findall(text))


def _structured(request: Schema) -> bool:
    text = request.get("text")
    wanted = request.get("response_format") or (text.get("format") if isinstance(text, dict) else None)
    return isinstance(wanted, dict) and wanted.get("type") in ("json_schema", "json_object")


def _without_prompt(request: Schema, texts: list[str]) -> list[str]:
    """The texts without the prompt that `echo` puts in front of each: it is billed as input only."""
    given = request.get("prompt")
    prompts = given if isinstance(given, list) else [given]
    if not request.get("echo") or not _texts_only(given):
        return texts
    prefixes = sorted(map(str, prompts), key=len, reverse=True)
    return [text.removeprefix(next((one for one in prefixes if text.startswith(one)), "")) for text in texts]


def _texts_only(prompt: Any) -> bool:
    return all(isinstance(one, str) for one in (prompt if isinstance(prompt, list) else [prompt]))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# ── reading ──
def choices(response: Schema) -> list[Choice]:
    """The choices of a chat completion or completion, or the one answer of a Responses object."""
    if isinstance(response.get("choices"), list) and response["choices"]:
        return [_chat_choice(choice) for choice in response["choices"] if isinstance(choice, dict)]
    if isinstance(response.get("output"), list) and response["output"]:
        return [_responses_answer(response["output"], response.get("status"))]
    raise UnverifiableError("the response holds no answer")


def _chat_choice(choice: Schema) -> Choice:
    message = choice.get("message") or choice.get("delta")
    finish = choice.get("finish_reason")
    if not isinstance(message, dict):
        return Choice(_strings(choice, "text"), [], finished=finish == "stop")
    hidden = "the answer is audio" if message.get("audio") else ""
    if finish == "content_filter":
        hidden = "the answer was withheld"
    # providers that show their reasoning bill it; OpenAI's own API never sends it
    texts = _parts(message.get("content")) + _strings(message, "refusal", "reasoning_content")
    return Choice(texts, history.calls_of(message), finished=finish not in (None, "length"), hidden=hidden)


def _strings(source: Schema, *keys: str) -> list[str]:
    return [source[key] for key in keys if isinstance(source.get(key), str)]


def _parts(content: Any) -> list[str]:
    """The texts of a content: a text, or a list of texts and of parts that hold one."""
    if isinstance(content, str):
        return [content]
    found: list[str] = []
    for part in _list(content):
        found += (
            [part] if isinstance(part, str) else _strings(part, "text", "refusal") if isinstance(part, dict) else []
        )
    return found


def _responses_answer(output: list[Any], status: Any) -> Choice:
    answer = Choice([], [], finished=status in (None, "completed"))
    for item in output:
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "message":
            answer.texts += _parts(item.get("content"))
        elif kind in ("function_call", "custom_tool_call"):
            answer.calls.append(history.name_and_arguments(item))
        elif kind != "reasoning":
            answer.hidden = "the answer holds items whose tokens are not known"
    return answer
