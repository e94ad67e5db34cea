"""Texts that our decoder cannot take, made so that it can: what a customer wrote must not cost us the whole event.

A text nested too deeply is cut out, and halves of surrogate pairs (`"\\ud800"`: JSON, but no Unicode text) become
U+FFFD, as tiktoken reads them. Only what is in an event's `content` is touched.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

TOO_DEEP = b'"too deep"'
"""What stands for a text cut out: JSON, but no exchange. Whoever counts it says that it cannot be counted."""
DEPTH_MAX = 500
"""Nesting of a text that is left alone; about twice as much is more than any decoder here can read."""

# Strings (a key with its colon), and runs of brackets; everything between them is skipped.
_TOKENS = re.compile(rb'"(?:[^"\\]+|\\.)*+"(\s*:)?|[\[{]+|[\]}]+', re.DOTALL)
# A backslash, a pair, or half a pair, which alone is mended.
_SURROGATES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


class Text(NamedTuple):
    """Where the value of a `content` is, and how deep it is nested."""

    begins: int
    ends: int
    depth: int


def mended(body: bytes, level: int) -> bytes:
    """The JSON with its texts mended. `level`: how many brackets are open around an event's fields."""
    parts: list[bytes] = []
    copied = 0
    for text in _texts(body, level):
        parts += [body[copied : text.begins], _mended(body[text.begins : text.ends], text.depth)]
        copied = text.ends
    return b"".join([*parts, body[copied:]])


def _mended(text: bytes, depth: int) -> bytes:
    if depth > DEPTH_MAX:
        return TOO_DEEP
    return _SURROGATES.sub(lambda found: rb"\ufffd" if found[1] else found[0], text)


def _texts(body: bytes, level: int) -> Iterator[Text]:
    depth = deepest = 0
    begins: int | None = None
    for token in _TOKENS.finditer(body):
        size = token.end() - token.start()
        kind = body[token.start()]
        if kind == ord('"'):
            if depth == level:
                begins, deepest = (token.end() if _is_content(token) else None), depth
        elif kind in b"[{":
            depth += size
            deepest = max(deepest, depth)
        else:
            ends = token.start() + depth - level
            depth -= size
            if begins is not None and depth <= level:
                yield Text(begins, ends, deepest - level)
                begins = None


def _is_content(token: re.Match[bytes]) -> bool:
    return token[1] is not None and token[0].startswith(b'"content"')
