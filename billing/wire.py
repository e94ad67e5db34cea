"""JSON as it comes from outside, decoded once, strictly, into its final type; and sentences for what msgspec refuses.

msgspec does the work: no str for int, no bool for int, no float on the way to a Decimal. Structs that are decoded here
forbid unknown fields (tests/house looks after that). faults.py finds every fault of a document, not only the first.
"""

import re
from functools import cache
from typing import Any

import msgspec

from billing.errors import Fault

FIELD = {"unknown_field": re.compile("unknown field `(.*)`"), "missing_field": re.compile("required field `(.*)`")}


@cache
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The decoder for a type, made once."""
    return msgspec.json.Decoder(kind)


def fault(error: msgspec.ValidationError, index: int | None = None) -> Fault:
    """What msgspec found, as a fault: "Expected `int`, got `str` - at `$.usage.n`" has the path `$.usage.n`."""
    what, _, where = str(error).partition(" - at ")
    path = where.replace("`", "") or "$"
    for code, pattern in FIELD.items():
        if named := pattern.search(what):
            return Fault(code, f"{what}.", f"{path}.{named[1]}", index)
    return Fault("invalid_value", f"{what}.", path, index)


def malformed(body: bytes, error: Exception) -> str:
    """A sentence on what is no JSON at all, with the position."""
    match error:
        case RecursionError():
            return "The JSON is nested too deeply."
        case UnicodeDecodeError():
            return f"The JSON is not UTF-8 (byte {_first_not_utf8(body)})."
        case _ if "(byte" in str(error):
            return f"{error}."
        case _:
            return f"JSON is malformed: it ends too early (byte {len(body)})."


def _first_not_utf8(body: bytes) -> int:
    """msgspec names the place within one string; this is the place within the body."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0
