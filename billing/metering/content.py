"""The text of one usage event: read, counted, and its report judged. Pure, slow for large texts (verifier.py), and it
never raises: what cannot be read is `unverifiable`, and the reason names the place, never what stands there.

`content` is `{"request": …, "response": …}`, both optional. A request is an object, or a string that holds one. A
response is an object; the chunks of a stream, as an array or as the text of an event stream; a string that holds any of
those; or a plain text (a transcript).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from billing.metering import mending
from pricing import tokens
from pricing import usage as usages
from pricing.errors import UsageError
from pricing.tokens import Count, Counted, Limits, Reported, Uncounted, Verification
from pricing.usage import Usage

Object = dict[str, Any]

TOO_DEEP: Final = "content is nested too deeply"
NOT_AN_OBJECT: Final = "content is not an object"

_EVENT_STREAM: Final = re.compile(r"\s*(?:data|event|id|retry)?:")
_ANSWER: Final = ("choices", "output", "data", "text")
_DELIVERED_NOTHING: Final = Count(0, 0, 0)
_REASONED: Final = Count(0, None, 0, "reasoning is billed and not shown")


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One event that carries text.

    `endpoint` is a path; None: the request and the model tell it. `model` is the one served, or asked for. `content` is
    the event's `content` as JSON. `reported` is None when the event carries no usage. Not `whole`: the stream was cut
    or aborted, and what is in the content is all that was delivered.
    """

    endpoint: str | None
    model: str
    content: bytes
    reported: Reported | None
    whole: bool = True
    __repr__ = object.__repr__  # holds text


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a report. Where there was none, `counted` is the likeliest count as the API would report it, if
    both sides were counted. Holds no text.
    """

    verification: Verification
    counted: Usage | None


class Read(msgspec.Struct, frozen=True):
    """A content as read. A side is None when it was not given, and `Uncounted` when it is nothing that can be read."""

    request: Object | Uncounted | None
    response: Object | Uncounted | None
    __repr__ = object.__repr__  # holds text


def verified(exchange: Exchange, limits: Limits) -> Verified:
    """Count both sides of the exchange, and judge what was reported for it."""
    content = read(exchange.content)
    if isinstance(content, Uncounted):
        return unverifiable(exchange, content.reason)
    request = None if isinstance(content.request, Uncounted) else content.request
    response = None if isinstance(content.response, Uncounted) else content.response
    reported = exchange.reported or Reported()
    path = exchange.endpoint or tokens.path_of(request or {}, exchange.model)
    checked = limits.surely_hold(exchange.content)
    found = tokens.count(
        path, exchange.model, request, response, reasoning=reported.reasoning, limits=limits, checked=checked
    )
    if isinstance(content.request, Uncounted) and isinstance(found.input, Uncounted):
        found = replace(found, input=content.request)
    if isinstance(found.output, Uncounted):
        found = replace(found, output=_unanswered(exchange, content.response, found.output))
    counted = _usage(found, request or {}) if exchange.reported is None else None
    return Verified(verification=tokens.judge(reported, found), counted=counted)


def unverifiable(exchange: Exchange, reason: str) -> Verified:
    """Nothing was counted, for one reason. A report that contradicts itself is `over_reported` all the same."""
    unknown = Uncounted(reason)
    found = tokens.judge(exchange.reported or Reported(), Counted("tokens", unknown, unknown))
    if found.verdict == "unverifiable":
        found = replace(found, reason=reason)
    return Verified(verification=found, counted=None)


def _unanswered(exchange: Exchange, response: Object | Uncounted | None, found: Uncounted) -> Count | Uncounted:
    """The output when the answer could not be counted: none, if the stream was cut before anything was delivered."""
    if isinstance(response, Uncounted):
        return response
    if response is None or exchange.whole or any(response.get(name) for name in _ANSWER):
        return found
    family = tokens.model(exchange.model)
    return _REASONED if family is not None and family.reasons else _DELIVERED_NOTHING


def _usage(found: Counted, request: Mapping[str, Any]) -> Usage | None:
    if isinstance(found.input, Uncounted) or isinstance(found.output, Uncounted):
        return None
    try:
        return usages.of_counts(found.unit, found.input.likely, found.output.likely, request)
    except UsageError:  # the request names no size or quality that a picture can have
        return None


# ── reading ──
def read(content: bytes) -> Read | Uncounted:
    """The two sides of a content, a stream put together."""
    if content == mending.TOO_DEEP:
        return Uncounted(TOO_DEEP)
    try:
        given = _decode(content)
    except RecursionError:
        return Uncounted(TOO_DEEP)
    except ValueError:
        return Uncounted("content is no JSON")
    if not isinstance(given, dict):
        return Uncounted(NOT_AN_OBJECT)
    return Read(_request(given.get("request")), _response(given.get("response")))


def _decode(text: bytes | str) -> Any:
    """Strict JSON, or with the lone surrogates that a cut answer can hold. Raises ValueError, RecursionError."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return json.loads(text)


def _request(given: Any) -> Object | Uncounted | None:
    if isinstance(given, str):
        given = _within(given, "content.request")
    if given is None or isinstance(given, dict | Uncounted):
        return given
    return Uncounted("content.request is neither an object nor a string that holds one")


def _response(given: Any) -> Object | Uncounted | None:
    if isinstance(given, str):
        given = _told(given)
    if isinstance(given, list):
        given = tokens.assemble(given)
    if given is None or isinstance(given, dict | Uncounted):
        return given
    return Uncounted("content.response is neither an object, an array of chunks nor a string")


def _told(text: str) -> Any:
    """What a string tells: an event stream, JSON, or itself."""
    if _EVENT_STREAM.match(text):
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return list(tokens.server_sent(lines))
    if text.lstrip()[:1] in ("{", "["):
        inner = _within(text, "content.response")
        if isinstance(inner, list | dict) or (isinstance(inner, Uncounted) and "deeply" in inner.reason):
            return inner
    return {"text": text}


def _within(text: str, place: str) -> Any:
    """The JSON within a string."""
    try:
        return _decode(text)
    except RecursionError:
        return Uncounted(f"{place} is nested too deeply")
    except ValueError:
        return Uncounted(f"{place} is a string that holds no JSON")
