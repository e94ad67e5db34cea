"""The report of events that were not kept: a line of JSON for each, so that they can be mended and imported again.

No text and no key is in it: of the event only the fields below, and none that is long.
"""

from typing import IO, Any

import msgspec

from billing.imports.items import Item
from billing.metering.answers import Result
from billing.observe.logs import masked

KEPT = ("id", "source", "time", "account", "api_key_hash", "model", "served_model", "endpoint", "usage", "upstream")
VALUE_BYTES_MAX = 600

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def told(file: str, item: Item, result: Result) -> dict[str, Any]:
    """The report on one event; code and path are those of its first fault."""
    first = result.errors[0] if result.errors else None
    return {
        "file": file,
        "line": item.line,
        "status": result.status,
        "code": first.code if first else result.status,
        "path": first.path if first else "$",
        "reason": result.reason,
        "errors": [{"code": fault.code, "path": fault.path, "detail": fault.detail} for fault in result.errors],
        "event": _shown(item.event),
    }


def write(report: IO[str], line: dict[str, Any]) -> None:
    report.write(masked(msgspec.json.encode(line).decode()) + "\n")


def _shown(event: bytes) -> dict[str, Any]:
    try:
        fields = _object.decode(event)
        known = ((name, bytes(fields[name])) for name in KEPT if name in fields)
        return {name: msgspec.json.decode(value) for name, value in known if len(value) <= VALUE_BYTES_MAX}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
