"""Files of events as they lie on a disk or come through a pipe: packed or not, read line by line in constant memory."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

FORMATS = ("ndjson", "json", "csv")
File = BufferedReader | gzip.GzipFile

STDIN = Path("-")
GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
UNREADABLE = {
    b"\xff\xfe": "UTF-16: write it as UTF-8",
    b"\xfe\xff": "UTF-16: write it as UTF-8",
    b"PK\x03\x04": "a zip archive: only gzip is unpacked here",
    b"BZh": "packed with bzip2: only gzip is unpacked here",
    b"\xfd7zXZ": "packed with xz: only gzip is unpacked here",
    b"\x28\xb5\x2f\xfd": "packed with zstd: only gzip is unpacked here",
    b"PAR1": "a Parquet file: write it as NDJSON or CSV",
}
PEEK_BYTES = 4096
DAMAGES = (EOFError, zlib.error, gzip.BadGzipFile)


class FileError(Exception):
    """A file cannot be read, or not any further; a sentence."""


class Source(NamedTuple):
    """An open file. `raw` is what it is packed in, or itself; `size` is that one's, unless it is a pipe."""

    name: str
    file: File
    raw: BufferedReader
    size: int | None

    @property
    def position(self) -> int:
        """How many bytes of `size` are read."""
        return self.raw.tell() if self.size is not None else 0


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The file, unpacked if its content is gzip, at its first character; `-` is standard input.

    Raises FileError for an empty one and for what is no text, OSError when it cannot be opened.
    """
    name = "standard input" if path == STDIN else str(path)
    with os.fdopen(0, "rb", closefd=False) if path == STDIN else path.open("rb") as raw:
        file = gzip.GzipFile(fileobj=raw) if raw.peek(2).startswith(GZIP) else raw
        source = Source(name, file, raw, None if path == STDIN or not raw.seekable() else path.stat().st_size)
        begin = _begin(source)
        for magic, what in UNREADABLE.items():
            if begin.startswith(magic):
                raise FileError(f"{name} is {what}.")
        if begin.startswith(BOM):
            file.read(len(BOM))
        if not begin.removeprefix(BOM):
            raise FileError(f"{name} is empty.")
        yield source


def _begin(source: Source) -> bytes:
    try:
        return source.file.peek(PEEK_BYTES)
    except DAMAGES as error:
        raise FileError(f"{source.name} is damaged: {error}.") from None


def format_of(source: Source) -> str:
    """One of FORMATS, by what its beginning looks like."""
    begin = _begin(source).lstrip()
    if begin.startswith(b"["):
        return "json"
    if begin.startswith(b"{"):  # alone in its line: an object that is written over several
        return "json" if begin[1:].lstrip(b" \t\r").startswith(b"\n") else "ndjson"
    return "csv"


class Line(NamedTuple):
    """`text` with its line break; None when it is longer than allowed."""

    number: int
    text: bytes | None


def lines(source: Source, bytes_max: int) -> Iterator[Line]:
    """Every line, from 1 on. Raises FileError where the file is damaged: nothing of the line that it cuts is given."""
    number = 0
    try:
        while text := source.file.readline(bytes_max + 1):
            rest = text
            while rest and not rest.endswith(b"\n"):  # it is too long; or it is the last, unless a damage shows now
                rest = source.file.readline(1 << 20)
            number += 1
            whole = len(text) <= bytes_max or text.endswith(b"\n")
            yield Line(number, text if whole else None)
    except DAMAGES as error:
        raise FileError(f"{source.name} is damaged after line {number}: {error}.") from None
