"""The events in a file, each as the JSON that HTTP would bring, with its line."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from billing.errors import Fault
from billing.imports.columns import Header
from billing.imports.files import DAMAGES, FileError, Source, lines

CHUNK_BYTES = 1 << 20
# Strings, brackets, and a quote whose string is not complete yet.
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}"]', re.DOTALL)


class Item(NamedTuple):
    """The JSON of an event, or why there is none."""

    line: int
    event: bytes = b""
    fault: Fault | None = None


def items(source: Source, kind: str, bytes_max: int) -> Iterator[Item]:
    """What a file in one of FORMATS holds, in its order. Raises FileError where it cannot be read any further."""
    read = {"ndjson": _of_lines, "json": _of_objects, "csv": _of_rows}[kind]
    return read(source, bytes_max)


def _too_long(line: int, bytes_max: int) -> Item:
    return Item(line, fault=Fault("event_too_large", _at_most(bytes_max), "$"))


def _at_most(bytes_max: int) -> str:
    return f"An event has at most {bytes_max} bytes (BILLING_BODY_BYTES_MAX)."


def _of_lines(source: Source, bytes_max: int) -> Iterator[Item]:
    for number, text in lines(source, bytes_max):
        if text is None:
            yield _too_long(number, bytes_max)
        elif not text.isspace():
            yield Item(number, text)


def _of_rows(source: Source, bytes_max: int) -> Iterator[Item]:
    found = lines(source, bytes_max)
    header = Header.read(source.name, next(found).text or b"")
    for number, text in found:
        if text is None:
            yield _too_long(number, bytes_max)
        elif not text.isspace():
            row = header.event(text)
            yield Item(number, fault=row) if isinstance(row, Fault) else Item(number, row)


def _of_objects(source: Source, bytes_max: int) -> Iterator[Item]:
    """Takes apart an array of objects, or objects one after another, looking at strings and brackets only."""
    around = _Around(source.name)
    buffer, line = b"", 1
    begin = place = depth = 0  # where the object (or what is before it) begins; where to look on; open brackets in it
    while chunk := _chunk(source, line):
        buffer, place, begin = buffer[begin:] + chunk, place - begin, 0
        for token in _TOKENS.finditer(buffer, place):
            kind = token[0]
            if kind == b'"':
                break
            place = token.end()
            if depth == 0:
                line += buffer.count(b"\n", begin, place)
                around.check(buffer[begin : token.start()].strip(), kind, line)
                depth, begin = (1, token.start()) if kind == b"{" else (0, place)
            else:
                depth += (kind in b"{[") - (kind in b"}]")
                if depth == 0:
                    yield Item(line, buffer[begin:place])
                    line += buffer.count(b"\n", begin, place)
                    begin = place
        if len(buffer) - begin > bytes_max:
            raise FileError(f"{source.name}, line {line}: {_at_most(bytes_max)}")
    around.end(buffer[begin:].strip(), line)


def _chunk(source: Source, line: int) -> bytes:
    try:
        return source.file.read1(CHUNK_BYTES)
    except DAMAGES as error:
        raise FileError(f"{source.name} is damaged after line {line}: {error}.") from None


class _Around:
    """What stands around the objects: the brackets of one array and its commas, or nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = "nothing"

    def check(self, gap: bytes, bracket: bytes, line: int) -> None:
        """`gap` is what stands before a bracket outside of every object. Raises FileError."""
        after = {
            ("nothing", b"", b"["): "array",
            ("nothing", b"", b"{"): "objects",
            ("objects", b"", b"{"): "objects",
            ("array", b"", b"{"): "items",
            ("items", b",", b"{"): "items",
            ("array", b"", b"]"): "end",
            ("items", b"", b"]"): "end",
        }.get((self.state, gap, bracket))
        if after is None:
            raise FileError(f"{self.name}, line {line}: this is no array of objects, nor objects one after another.")
        self.state = after

    def end(self, gap: bytes, line: int) -> None:
        if self.state not in ("objects", "end") or gap:
            raise FileError(f"{self.name} ends in line {line} before its JSON does, or goes on after it.")
