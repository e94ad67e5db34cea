"""Columns packed for PostgreSQL's binary array format, so that a batch travels as a few parameters.

psycopg adapts a Python list element by element; packing whole columns here costs a fraction of that (stack.md). Each
class is the bytes of one array parameter, and psycopg sends them as they are.
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER = struct.Struct(">iiIii")  # dimensions, has nulls, element type, length, lower bound
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)
_EMPTY = struct.Struct(">iiI")
_EIGHT = struct.Struct(">q")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

_TEXT, _BYTEA, _INT4, _INT8, _TIMESTAMPTZ = 25, 17, 23, 20, 1184


Columns = dict[str, object]
"""Parameters of a statement by their names, most of them columns of the same length."""


class Packed(bytes):
    """One array parameter, already in binary form."""


class TextArray(Packed):
    @classmethod
    def of(cls, values: Iterable[str | None]) -> "TextArray":
        return cls(_variable(_TEXT, [None if value is None else value.encode() for value in values]))


class BytesArray(Packed):
    @classmethod
    def of(cls, values: Iterable[bytes]) -> "BytesArray":
        return cls(_variable(_BYTEA, list(values)))


class Int4Array(Packed):
    @classmethod
    def of(cls, values: Sequence[int]) -> "Int4Array":
        return cls(_fixed(_INT4, "ii", 4, values))


class Int8Array(Packed):
    @classmethod
    def of(cls, values: Sequence[int | None]) -> "Int8Array":
        if None in values:
            return cls(_variable(_INT8, [None if value is None else _EIGHT.pack(value) for value in values]))
        return cls(_fixed(_INT8, "iq", 8, values))


class InstantArray(Packed):
    @classmethod
    def of(cls, values: Iterable[datetime]) -> "InstantArray":
        return cls(_fixed(_TIMESTAMPTZ, "iq", 8, [_microseconds(value) for value in values]))


def _microseconds(instant: datetime) -> int:
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _variable(element: int, values: list[bytes | None] | list[bytes]) -> bytes:
    if not values:
        return _EMPTY.pack(0, 0, element)
    nulls = None in values
    parts = [_HEADER.pack(1, nulls, element, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts.append(_LENGTH.pack(len(value)))
            parts.append(value)
    return b"".join(parts)


def _fixed(element: int, code: str, size: int, values: Sequence[int | None]) -> bytes:
    """Of numbers that are all there."""
    if not values:
        return _EMPTY.pack(0, 0, element)
    flat: list[int | None] = [size] * (2 * len(values))
    flat[1::2] = values
    return _HEADER.pack(1, 0, element, len(values), 1) + struct.pack(">" + code * len(values), *flat)


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return obj


class _TextArrayDumper(_PackedDumper):
    oid = 1009


class _BytesArrayDumper(_PackedDumper):
    oid = 1001


class _Int4ArrayDumper(_PackedDumper):
    oid = 1007


class _Int8ArrayDumper(_PackedDumper):
    oid = 1016


class _InstantArrayDumper(_PackedDumper):
    oid = 1185


psycopg.adapters.register_dumper(TextArray, _TextArrayDumper)
psycopg.adapters.register_dumper(BytesArray, _BytesArrayDumper)
psycopg.adapters.register_dumper(Int4Array, _Int4ArrayDumper)
psycopg.adapters.register_dumper(Int8Array, _Int8ArrayDumper)
psycopg.adapters.register_dumper(InstantArray, _InstantArrayDumper)
