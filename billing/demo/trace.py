"""Reading a recorded trace: `TIMESTAMP,ContextTokens,GeneratedTokens`, plain or gzipped, strictly and row by row.

A row that cannot be read is an answer, not an end: it is named by its line, and the others are good all the same.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
LINE_BYTES_MAX = 1000

_ROW = re.compile(r"([^,]*),([^,]*),([^,]*)", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_COUNT = re.compile(r"\d{1,12}", re.ASCII)


class TraceError(Exception):
    """The file is no trace at all; a sentence."""


class Row(NamedTuple):
    """One request. `line` is its place in the file, the header being line 1; times without a zone are UTC."""

    line: int
    time: datetime
    context_tokens: int
    generated_tokens: int


class BadRow(NamedTuple):
    line: int
    reason: str


def read(path: Path) -> Iterator[Row | BadRow]:
    """The rows of a trace. Raises TraceError when it is none, OSError when the file cannot be opened."""
    with _open(path) as file:
        lines = _lines(file)
        number, header = next(lines, (1, b""))
        if isinstance(header, BadRow) or header.decode("utf-8-sig", "replace").strip() != HEADER:
            raise TraceError(f"{path} is not a trace: its first line must be {HEADER}.")
        for number, line in lines:
            yield line if isinstance(line, BadRow) else parse(number, line)


def _open(path: Path) -> BufferedIOBase:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _lines(file: BufferedIOBase) -> Iterator[tuple[int, bytes | BadRow]]:
    """Lines with their numbers. What cannot be unpacked any more is a bad row, and the last one."""
    number = 0
    while True:
        number += 1
        try:
            line = file.readline(LINE_BYTES_MAX)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield number, BadRow(number, f"the file is damaged from here on: {error}")
            return
        if not line:
            return
        if len(line) == LINE_BYTES_MAX:
            yield number, BadRow(number, f"longer than {LINE_BYTES_MAX} bytes; from here on this is no trace")
            return
        yield number, line


def parse(number: int, line: bytes) -> Row | BadRow:
    """One line. A row needs three cells: a time, and two whole numbers of at most twelve digits."""
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    cells = _ROW.fullmatch(text)
    if cells is None:
        return BadRow(number, f"three cells are needed, not {text[:60]!r}")
    time, context, generated = cells.groups()
    if not _TIME.fullmatch(time):
        return BadRow(number, f"TIMESTAMP is {time[:40]!r}, not a time such as 2023-11-16 18:15:46.6805900")
    for name, count in (("ContextTokens", context), ("GeneratedTokens", generated)):
        if not _COUNT.fullmatch(count):
            return BadRow(number, f"{name} is {count[:40]!r}, not a whole number of tokens")
    try:
        instant = datetime.fromisoformat(time)
    except ValueError as error:
        return BadRow(number, f"TIMESTAMP is {time[:40]!r}: {error}")
    instant = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    return Row(number, instant, int(context), int(generated))
