"""Every fault of a JSON document against a type, each with its path.

msgspec stops at the first fault, which is right while all is well. When something is wrong, this reads the document
once more, one field at a time, so that its sender learns everything at once: at most FAULTS_MAX faults, though, for a
document may hold a million of them.
"""

import types
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from billing import wire
from billing.errors import Fault

FAULTS_MAX = 20
"""How many faults of one document are named; docs/api.md."""
DETAIL_CHARACTERS_MAX = 300

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def faults_of(document: bytes | msgspec.Raw, kind: Any, index: int | None = None, path: str = "$") -> Iterator[Fault]:
    """What keeps `document` from being a `kind`; nothing when it is one.

    After FAULTS_MAX of them, one says that there are more.
    """
    faults = _faults_of(document, kind, index, path)
    yield from islice(faults, FAULTS_MAX)
    if next(faults, None) is not None:
        yield Fault("more_faults", f"There are more faults than these {FAULTS_MAX}.", path, index)


def _faults_of(document: bytes | msgspec.Raw, kind: Any, index: int | None, path: str) -> Iterator[Fault]:
    whole = _fault(bytes(document), kind)
    if whole is None:
        return
    struct = _struct_in(kind)
    fields = _fields_of(document) if struct is not None else None
    found = iter(()) if struct is None or fields is None else _field_faults(fields, struct, index, path)
    first = next(found, None)
    yield first or Fault(whole.code, whole.detail, path + whole.path.removeprefix("$"), index)
    yield from found


def _field_faults(
    fields: dict[str, msgspec.Raw], struct: type[msgspec.Struct], index: int | None, path: str
) -> Iterator[Fault]:
    hints = get_type_hints(struct, include_extras=True)
    known = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    for name, value in fields.items():
        if name in known:
            yield from _faults_of(value, hints[known[name].name], index, f"{path}.{name}")
    for name, field in known.items():
        if field.required and name not in fields:
            yield Fault("missing_field", "This field is required.", f"{path}.{name}", index)
    for name in fields:
        if name not in known:
            yield Fault("unknown_field", "There is no such field.", f"{path}.{name[:80]}", index)


def _fault(document: bytes, kind: Any) -> Fault | None:
    try:
        wire.decoder(kind).decode(document)
    except msgspec.ValidationError as error:
        found = wire.fault(error)
        return Fault(found.code, _clipped(found.detail), _clipped(found.path))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Fault("malformed_json", wire.malformed(document, error), "$")
    return None


def _clipped(text: str) -> str:
    """msgspec repeats what it was given."""
    return text if len(text) <= DETAIL_CHARACTERS_MAX else text[:DETAIL_CHARACTERS_MAX] + "…"


def _fields_of(document: bytes | msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    try:
        return _object.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """The struct a field may hold: itself, or the one in `Annotated[…]` or `… | None`."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, types.UnionType):
        structs = [found for option in get_args(kind) if (found := _struct_in(option)) is not None]
        return structs[0] if len(structs) == 1 else None
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return None
