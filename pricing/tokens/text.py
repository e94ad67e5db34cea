"""Tokens of one text, and its pieces for a calculator. Any string is accepted; time and memory are linear in its size.

Long texts are encoded in parts of `PART` characters. That keeps a run of 999,999 white-space characters, on which
tiktoken panics with a BaseException (bisected on tiktoken 0.14), out of any call, and bounds the memory of a call.
A cut is made where it cannot change the count: before a single space between two ASCII letters, or after a single line
break before one, where all four split patterns start a new word. Where there is no such place (one word of a megabyte),
the cut is made anyway and `CUT_DOUBT` is declared.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, cast

from pricing.tokens.encodings import EncodingName, get, length

PART: Final = 400_000  # characters; far below 999,999, and a few milliseconds of work
_WINDOW: Final = 20_000  # characters at the end of a part that are searched for a harmless cut
CUT_DOUBT: Final = 4  # tokens; cutting inside a word or a run of blanks moves the count by at most this
_HARMLESS_CUT: Final = re.compile(r"(?<=[A-Za-z])(?= [A-Za-z])|(?<=\S\n)(?=[A-Za-z])")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of whole characters and the token ids that make it: one id, or several where a character spans tokens."""

    text: str
    ids: tuple[int, ...]


def tokens(encoding: str, text: str) -> tuple[int, int]:
    """(tokens of the text, doubt): the true count is within ± doubt, which is 0 unless a harmful cut was needed."""
    name = cast("EncodingName", encoding)
    if len(text) <= PART:
        return length(name, text), 0
    count = doubt = 0
    for part, harmless in _parts(text):
        count += length(name, part)
        doubt += 0 if harmless else CUT_DOUBT
    return count, doubt


def pieces(encoding: str, text: str) -> list[Piece]:
    """The text as its tokens, in order; joined, the pieces give the text (lone surrogates become U+FFFD)."""
    codec = get(cast("EncodingName", encoding))
    found: list[Piece] = []
    pending = b""
    ids: list[int] = []
    for part, _ in _parts(text):
        for token in codec.encode_ordinary(part):
            pending += codec.decode_single_token_bytes(token)
            ids.append(token)
            try:
                whole = pending.decode()
            except UnicodeDecodeError:
                continue
            found.append(Piece(whole, tuple(ids)))
            pending, ids = b"", []
    return found


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The text in parts of at most `PART` characters, each with whether the cut after it is harmless."""
    start = 0
    while len(text) - start > PART:
        end = start + PART
        cut = _last_cut(text, end - _WINDOW, end)
        yield text[start : cut or end], cut is not None
        start = cut or end
    yield text[start:], True


def _last_cut(text: str, start: int, end: int) -> int | None:
    return max((match.start() for match in _HARMLESS_CUT.finditer(text, start, end)), default=None)
