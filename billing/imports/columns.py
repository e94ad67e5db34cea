"""CSV: what each column is of a usage event, and a row as the JSON of one.

A row is one line, and an empty cell says nothing. Rows are read as strictly as events over HTTP, being read as those.
"""

import csv
import difflib
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from billing.errors import Fault
from billing.imports.files import FileError

Kind = Literal["text", "number", "flag"]
NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,20})(?:\.\d{1,20})?", re.ASCII)
FLAGS = {"true": True, "false": False}

IN, OUT = "prompt_tokens_details", "completion_tokens_details"


class Column(NamedTuple):
    """Where a cell is in a usage event, and what it holds."""

    path: tuple[str, ...]
    kind: Kind

    @property
    def json_path(self) -> str:
        return ".".join(("$", *self.path))


COLUMNS = {
    **{name: Column((name,), "text") for name in ("id", "source", "time", "account", "api_key", "api_key_hash")},
    **{name: Column((name,), "text") for name in ("model", "served_model", "endpoint", "ended", "service_tier")},
    **{name: Column((name,), "text") for name in ("user", "authorization", "corrects", "voids")},
    **{name: Column((name,), "number") for name in ("status", "latency_ms", "first_token_ms")},
    **{name: Column((name,), "flag") for name in ("stream", "batch")},
    "upstream": Column(("upstream", "name"), "text"),
    "upstream_cost": Column(("upstream", "cost"), "text"),
    **{name: Column(("usage", name), "number") for name in ("prompt_tokens", "completion_tokens", "total_tokens")},
    "cached_tokens": Column(("usage", IN, "cached_tokens"), "number"),
    "cache_write_tokens": Column(("usage", IN, "cache_write_tokens"), "number"),
    "input_audio_tokens": Column(("usage", IN, "audio_tokens"), "number"),
    "input_image_tokens": Column(("usage", IN, "image_tokens"), "number"),
    "reasoning_tokens": Column(("usage", OUT, "reasoning_tokens"), "number"),
    "output_audio_tokens": Column(("usage", OUT, "audio_tokens"), "number"),
    "output_image_tokens": Column(("usage", OUT, "image_tokens"), "number"),
    "accepted_prediction_tokens": Column(("usage", OUT, "accepted_prediction_tokens"), "number"),
    "rejected_prediction_tokens": Column(("usage", OUT, "rejected_prediction_tokens"), "number"),
    **{name: Column(("usage", name), "number") for name in ("n", "characters", "seconds")},
    **{name: Column(("usage", name), "text") for name in ("size", "quality")},
}
NEEDED = ("id", "source", "time", "model")
OWNERS = ("account", "api_key", "api_key_hash")
BY_PATH = {column.json_path: name for name, column in COLUMNS.items()}


def placed(fault: Fault) -> Fault:
    """The fault of an event that was a row, with its column instead of a JSON path."""
    return msgspec.structs.replace(fault, path=BY_PATH.get(fault.path, fault.path))


class Header(NamedTuple):
    """The columns of a file, in its order."""

    names: tuple[str, ...]
    columns: tuple[Column, ...]

    @classmethod
    def read(cls, name: str, line: bytes) -> "Header":
        """The first line of a file. Raises FileError, naming what is wrong with it."""
        cells = _cells(line)
        if isinstance(cells, Fault):
            raise FileError(f"{name} is neither JSON nor CSV: {cells.detail}")
        for cell in cells:
            if cell not in COLUMNS:
                near = difflib.get_close_matches(cell, COLUMNS, n=1)
                hint = f"; did you mean {near[0]}?" if near else ". docs/operations.md lists them all."
                raise FileError(f"{name} is not read as CSV: {cell[:80]!r} in its first line is no column{hint}")
        twice = [cell for cell in COLUMNS if cells.count(cell) > 1]
        missing = [needed for needed in NEEDED if needed not in cells]
        if twice or missing or not set(cells) & set(OWNERS):
            what = f"{twice[0]} twice" if twice else f"no {missing[0] if missing else ' or '.join(OWNERS)}"
            raise FileError(f"{name} is not read as CSV: its first line has {what}.")
        return cls(tuple(cells), tuple(COLUMNS[cell] for cell in cells))

    def event(self, line: bytes) -> bytes | Fault:
        """A row as the JSON of an event."""
        if not line.endswith(b"\n"):
            detail = "The last line does not end with a line break, so it may be cut off. Add one if it is whole."
            return Fault("cut_line", detail)
        cells = _cells(line)
        if isinstance(cells, Fault):
            return cells
        if len(cells) != len(self.columns):
            detail = f"The row has {len(cells)} cells, the first line {len(self.columns)}."
            return Fault("malformed_csv", detail)
        event: dict[str, Any] = {}
        for column, cell in zip(self.columns, cells, strict=True):
            if cell:
                inner = event
                for name in column.path[:-1]:
                    inner = inner.setdefault(name, {})
                inner[column.path[-1]] = _value(column.kind, cell)
        return msgspec.json.encode(event)


def _value(kind: Kind, cell: str) -> object:
    """A cell as JSON. What is no number or flag stays a text, which the event's reader refuses."""
    if kind == "number" and NUMBER.fullmatch(cell):
        return msgspec.Raw(cell.encode())
    if kind == "flag":
        return FLAGS.get(cell, cell)
    return cell


def _cells(line: bytes) -> Sequence[str] | Fault:
    try:
        return next(csv.reader([line.decode()], strict=True))
    except UnicodeDecodeError as error:
        return Fault("malformed_csv", f"The line is not UTF-8 (byte {error.start}).")
    except csv.Error as error:
        return Fault("malformed_csv", f"The line is no CSV: {error}.")
