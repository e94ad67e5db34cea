"""One door to every counter: an exchange with the API → what its two sides should have been billed.

Nothing here raises for what a customer or an upstream may have sent; what cannot be counted is `Uncounted`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any, Final, Literal

from pricing.tokens.answers import count_answer
from pricing.tokens.bounds import Count, Tally, UnverifiableError
from pricing.tokens.chat import count_chat
from pricing.tokens.limits import DEFAULT, Limits, check
from pricing.tokens.models import Model, model
from pricing.tokens.responses import count_responses
from pricing.tokens.text import tokens
from pricing.tokens.typescript import Schema

Unit = Literal["tokens", "characters", "seconds", "images"]
Endpoint = Literal["chat", "responses", "completions", "embeddings", "speech", "transcription", "images", "other"]
_PATHS: Final[tuple[tuple[str, Endpoint], ...]] = (
    ("chat/completions", "chat"),
    ("responses/compact", "other"),  # answers a conversation with a summary, under instructions that are not published
    ("responses/input_tokens", "other"),  # asks for a count; nothing is billed
    ("responses", "responses"),
    ("completions", "completions"),
    ("embeddings", "embeddings"),
    ("audio/speech", "speech"),
    ("audio/transcriptions", "transcription"),
    ("audio/translations", "transcription"),
    ("images/", "images"),
)
# Models that serve one endpoint.
_PATH_OF_KIND: Final = {
    "embedding": "/v1/embeddings",
    "speech": "/v1/audio/speech",
    "transcription": "/v1/audio/transcriptions",
    "image": "/v1/images/generations",
    "moderation": "/v1/moderations",
}
# Output tokens of one gpt-image picture of 1024 x 1024; other sizes and models are not verifiable.
_PICTURE: Final = {"low": 272, "medium": 1056, "high": 4160}
_PARTIAL_PICTURE: Final = 100  # documented for each unfinished picture of a stream …
_PARTIAL_MAX: Final = 3  # … of which there are at most so many


@dataclass(frozen=True, slots=True)
class Uncounted:
    """Nothing can be said about this side, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Both sides of one exchange, in `unit`. `encoding` is None when the model is unknown or no text was tokenised."""

    unit: Unit
    input: Count | Uncounted
    output: Count | Uncounted
    encoding: str | None = None


def count(
    path: str,
    model_name: str,
    request: Any,
    response: Any = None,
    *,
    reasoning: int | None = None,
    limits: Limits = DEFAULT,
    checked: bool = False,
) -> Counted:
    """Count an exchange. `path`: the endpoint in any deployment's spelling. `model_name`: the one served, or asked for.

    `request` and `response` are decoded JSON, None when not given; a stream is assembled first (`streams.assemble`).
    `reasoning`: reasoning tokens as reported, None when they are not. `checked`: both bodies are known to be within the
    limits (`Limits.surely_hold`). Never raises for any JSON.
    """
    found = model(model_name)
    if found is None:
        unknown = Uncounted("the model is of no known family")
        return Counted("tokens", unknown, unknown)
    asked = request if isinstance(request, dict) else {}
    if "images/edits" in path or "images/variations" in path:
        asked = {"image": "sent beside the request", **asked}
    answered = response if isinstance(response, dict) else {}
    exchange = _Exchange(endpoint_of(path), found, asked, answered, reasoning, limits)
    given = _guarded(exchange.input, request, None if checked else limits)
    answer = _guarded(exchange.output, response, None if checked else limits)
    return Counted(exchange.unit, given, answer, found.encoding if exchange.unit == "tokens" else None)


@lru_cache(1_000)
def endpoint_of(path: str) -> Endpoint:
    """The endpoint in OpenAI's, Azure's or a router's path: what it ends with decides."""
    trimmed = path.split("?", 1)[0].rstrip("/")[-40:]
    ends = (name for suffix, name in _PATHS if trimmed.endswith(suffix))
    return next(ends, next((name for suffix, name in _PATHS if suffix in trimmed), "other"))


def path_of(request: Schema, model_name: str) -> str:
    """The path that a bare request must have been meant for; a calculator is given no path."""
    if "messages" in request:
        return "/v1/chat/completions"
    found = model(model_name)
    if found and found.kind in _PATH_OF_KIND:
        return _PATH_OF_KIND[found.kind]
    if found and found.kind == "completion" and "instruction" in request:
        return "/v1/edits"
    return "/v1/completions" if "prompt" in request else "/v1/responses"


def _guarded(side: Callable[[], Count], body: Any, limits: Limits | None) -> Count | Uncounted:
    try:
        if limits is not None:
            check(body, limits)
        return side()
    except UnverifiableError as why:
        return Uncounted(str(why))


@dataclass(frozen=True, slots=True, repr=False)  # holds text
class _Exchange:
    """One exchange; `input` and `output` raise `UnverifiableError` with the reason."""

    endpoint: Endpoint
    model: Model
    request: Schema
    response: Schema
    reasoning: int | None
    limits: Limits

    @property
    def unit(self) -> Unit:
        """Newer speech, transcription and picture models bill tokens, the older ones what a person would count."""
        units: dict[Endpoint, Unit] = {"speech": "characters", "transcription": "seconds", "images": "images"}
        return "tokens" if self.model.by_token else units.get(self.endpoint, "tokens")

    def input(self) -> Count:
        if not self.request and self.endpoint != "transcription":
            raise UnverifiableError("the request was not given")
        if self.endpoint == "chat":
            return count_chat(self.model, self.request, self.limits)
        if self.endpoint == "responses":
            return count_responses(self.model, self.request, self.limits)
        if self.endpoint in ("completions", "embeddings"):
            return self._texts("prompt" if self.endpoint == "completions" else "input")
        if self.endpoint == "speech":
            return self._speech()
        if self.endpoint == "transcription":
            return self._seconds()
        if self.endpoint == "images":
            return self._picture_prompt()
        raise UnverifiableError("this endpoint is not counted")

    def output(self) -> Count:
        if self.endpoint == "embeddings" or self.unit in ("characters", "seconds"):
            return _NOTHING
        if not self.response:
            raise UnverifiableError("the response was not given")
        if self.endpoint in ("chat", "responses", "completions"):
            # a Responses object repeats what was asked for: tools, format, instructions
            return count_answer(self.model, self.request or self.response, self.response, self.reasoning)
        if self.endpoint == "transcription":
            return self._transcript()
        if self.endpoint == "images":
            return self._pictures()
        raise UnverifiableError("this endpoint is not counted")

    # ── text ──
    def _texts(self, key: str) -> Count:
        """A text, texts, token ids, or lists of token ids: the sum, with nothing around it (179 of 182 recordings)."""
        given = self.request.get(key)
        # `ada` is a name that Azure deployments of text-embedding-ada-002 have
        legacy = self.endpoint == "embeddings" and self.model.kind == "completion"
        tally = Tally("cl100k_base" if legacy else self.model.encoding)
        for one in given if isinstance(given, list) else [given]:
            if isinstance(one, str):
                tally.text(one)
            elif isinstance(one, list) or _is_id(one):
                tally.exact(len(one) if isinstance(one, list) else 1)
            else:
                raise UnverifiableError(f"the request has no {key} that can be read")
        if self.model.family == "gpt-3-p50k":
            tally.slack(1, 0, "codex billed one token less")  # 2 of 2 recordings
        if self.endpoint == "completions" and self.model.kind == "completion":
            _doubt_marks(tally, given)
        if self.request.get("suffix"):
            tally.unbounded("a suffix is billed too")
        return tally.count()

    def _transcript(self) -> Count:
        text = self.response.get("text")
        if not isinstance(text, str):
            raise UnverifiableError("the transcript was not given")
        tally = Tally(self.model.encoding)
        tally.text(text)
        tally.doubt(0, 12, "what surrounds a transcript varies by a few tokens")
        if self.response.get("segments"):
            tally.unbounded("the speakers and times beside a transcript may be billed")
        return tally.count()

    # ── speech, pictures, seconds ──
    def _speech(self) -> Count:
        """Characters: code points, or UTF-16 units where they differ; which of the two is billed is not settled."""
        text = self.request.get("input")
        if not isinstance(text, str):
            raise UnverifiableError("the request has no input that can be read")
        if self.unit == "tokens":
            tally = Tally(self.model.encoding)
            tally.text(text, str(self.request.get("instructions") or ""))
            tally.doubt(0, 32, "what surrounds a text to be spoken is not published")
            return tally.count()
        points, units = len(text), len(text.encode("utf-16-le", "surrogatepass")) // 2
        return Count(points, units, points, "" if points == units else "characters beyond U+FFFF may count twice")

    def _seconds(self) -> Count:
        """Documented: the nearest second. Recorded: rounded up (1.13 s was billed as 2)."""
        duration = self.response.get("duration")
        try:
            seconds = float(duration) if isinstance(duration, int | float | str) else -1.0
        except (ValueError, OverflowError):
            seconds = -1.0
        if self.unit == "tokens" or not 0 <= seconds < 1e9:
            raise UnverifiableError("the length of the audio was not given")
        return Count(round(seconds), int(seconds) + 1, ceil(seconds), "seconds may be rounded or rounded up")

    def _picture_prompt(self) -> Count:
        if self.unit == "images":
            return _NOTHING
        prompt = self.request.get("prompt")
        if not isinstance(prompt, str):
            raise UnverifiableError("the request has no prompt that can be read")
        tally = Tally(self.model.encoding)
        tally.text(prompt)
        tally.doubt(0, 32, "what surrounds the prompt of a picture is not published")
        if self.request.get("image") is not None:
            tally.unbounded("pictures that are edited are billed by their size")
        return tally.count()

    def _pictures(self) -> Count:
        data = self.response.get("data")
        if not isinstance(data, list):
            raise UnverifiableError("the pictures were not given")
        made = len(data)
        if self.unit == "images":
            return Count(made, made, made)
        quality = self.request.get("quality")
        each = _PICTURE.get(quality) if isinstance(quality, str) and self.request.get("size") == "1024x1024" else None
        if each is None:
            raise UnverifiableError("the tokens of a picture of this size and quality are not known")
        low = each * made * 7 // 10  # gpt-image-2 makes the same picture of fewer tokens (196 for 272)
        partial = self.request.get("partial_images")
        unfinished = partial if isinstance(partial, int) and 0 < partial <= _PARTIAL_MAX else 0
        high = (each + _PARTIAL_PICTURE * unfinished) * made
        # later models bill text that they write about the picture, too
        bound = high if self.model.family == "gpt-image-1" else None
        return Count(low, bound, each * made, "the tokens of a picture depend on the model")


_NOTHING: Final = Count(0, 0, 0)
_MARK: Final = re.compile(r"<\|[a-z_]{3,16}\|>")


def _doubt_marks(tally: Tally, given: Any) -> None:
    """A prompt of a completion may be empty, which stands for the mark of a text's end, or hold such marks itself."""
    texts = [one for one in (given if isinstance(given, list) else [given]) if isinstance(one, str)]
    tally.doubt(0, sum(not text for text in texts), "an empty prompt may be billed as one token")
    marks = [mark for text in texts for mark in _MARK.findall(text)]
    less = sum(tokens(tally.encoding, mark)[0] - 1 for mark in marks)
    tally.doubt(less, 0, "marks like <|endoftext|> may be one token each")


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
