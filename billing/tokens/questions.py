"""What may be asked of the calculator, and how it is counted. Pure; it is slow for large texts (see calculator.py)."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from billing.text import Name
from pricing import tokens
from pricing.tokens import Counted, Limits, Piece

OUTPUT_TOKENS_MAX: Final = 10_000_000
PIECES_CHARACTERS_MAX: Final = 10_000
"""Of how many characters the pieces are shown: enough to look at, and a bounded answer (some 10,000 pieces)."""

# Models that are given a text and no conversation: where it is sent, and in which field.
_TEXT_ENDPOINTS: Final = {
    "speech": ("/v1/audio/speech", "input"),
    "image": ("/v1/images/generations", "prompt"),
    "embedding": ("/v1/embeddings", "input"),
    "moderation": ("/v1/embeddings", "input"),
    "transcription": ("/v1/audio/transcriptions", "prompt"),
}
_WAYS: Final = ("messages", "input", "prompt", "request")


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of `messages` (a chat), `prompt` (a text as it is), `input` (as embeddings, speech or the Responses API take
    it) and `request` (a whole body with its tools and images); and the `response`, when there is one.

    Without a response the price is of the input alone, or of an answer of `output_tokens`. `pieces` asks for the pieces
    of the texts.
    """

    model: Name
    messages: list[dict[str, Any]] | None = None
    input: str | list[Any] | None = None
    prompt: str | list[Any] | None = None
    request: dict[str, Any] | None = None
    response: dict[str, Any] | None = None
    output_tokens: Annotated[int, Meta(ge=0, le=OUTPUT_TOKENS_MAX)] | None = None
    pieces: bool = False
    __repr__ = object.__repr__  # holds text

    def __post_init__(self) -> None:
        if sum(getattr(self, way) is not None for way in _WAYS) != 1:
            raise ValueError(f"Give one of {', '.join(_WAYS)}")

    def body(self) -> dict[str, Any]:
        """The request that is asked about."""
        if self.request is not None:
            return self.request
        return {way: given for way in _WAYS if (given := getattr(self, way)) is not None}


class Pieces(msgspec.Struct, frozen=True):
    """The pieces of each text, in the order of the request; not `complete` where the texts are too long to show."""

    texts: list[list[Piece]]
    complete: bool
    __repr__ = object.__repr__  # holds text


def counted(question: Question, limits: Limits) -> Counted:
    """Both sides of the exchange. Never raises for any question."""
    path, request = _exchange(question.model, question.body())
    return tokens.count(path, question.model, request, question.response, limits=limits)


def _exchange(model: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Where the request would be sent, and as which body."""
    known = tokens.model(model)
    if known is None or known.kind not in _TEXT_ENDPOINTS or "messages" in body:
        return tokens.path_of(body, model), body
    path, field = _TEXT_ENDPOINTS[known.kind]
    return path, {**body, field: body.get("input", body.get("prompt"))}


def pieces(question: Question, encoding: str) -> Pieces:
    """The texts as the model reads them, until `PIECES_CHARACTERS_MAX` characters have been shown."""
    left = PIECES_CHARACTERS_MAX
    shown: list[list[Piece]] = []
    for text in _texts(question.body()):
        found = tokens.pieces(encoding, text[:left])
        if len(text) > left:  # the last piece would be another one if the text went on
            return Pieces([*shown, found[:-1]], complete=False)
        shown.append(found)
        left -= len(text)
    return Pieces(shown, complete=True)


def _texts(body: dict[str, Any]) -> Iterator[str]:
    """The text of the prompt, or of each message."""
    messages = body.get("messages")
    if isinstance(messages, list):
        for message in messages:
            yield "".join(_strings(message.get("content") if isinstance(message, dict) else None))
    else:
        yield from _strings(body.get("prompt", body.get("input")))


def _strings(content: Any) -> Iterator[str]:
    """A text; or the texts of a list, and of the parts of a message."""
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text
