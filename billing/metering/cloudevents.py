"""Usage events in the envelope of CloudEvents 1.0: structured, in batches, and binary (interfaces.md Usage events).

`id` and `source` are the event's identity, `time` its time, and `subject` its account, unless `data` says them too.
`data` has the other fields of a usage event, or is OpenTelemetry's GenAI attributes (pricing/usage.py TelemetryUsage).
Both are put together as the JSON of one usage event, which is read like any other: so all that holds there holds here.
Faults are named where the sender wrote what is at fault.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

import msgspec

from billing.errors import Fault
from billing.faults import faults_of
from billing.metering.answers import Result, refusal
from billing.metering.events import Batch, UsageEvent, decoded, faults_in, taken_apart
from billing.text import Instant, Name
from billing.wire import decoder, malformed

CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"
HEADER = "ce-"

# What stands before it is the sender's own, as the specification asks: com.example.gateway.usage.
TYPE = re.compile(r"(?:.+\.)?usage(?:\.v1)?")
JSON_TYPE = re.compile(r"(?:application/json|[\w.+-]+/[\w.+-]+\+json)(?:\s*;\s*charset=\"?utf-8\"?)?", re.I | re.A)
EXTENSION = re.compile("[a-z0-9]+")
SCALARS = b'"-0123456789tfn'
"""How a JSON value begins that is neither an object nor an array."""
ACCOUNT = b'"acct_'
"""How a `subject` begins that names an account: no other thing, and never a key, which headers would spread."""

USAGE_ATTRIBUTES = "gen_ai.usage."
ANSWER_ID = "gen_ai.response.id"
ATTRIBUTES = {
    "model": "gen_ai.request.model",
    "served_model": "gen_ai.response.model",
    "service_tier": "openai.response.service_tier",
}

Fields = dict[str, msgspec.Raw]
Moved = dict[str, str]
"""Where the sender wrote what we call `$.time`; `$` stands for every field that is not named."""
Places = dict[int, Moved]
"""Of each event that could be read, by its index."""
NULL = msgspec.Raw(b"null")
OWNERS = ("account", "api_key", "api_key_hash")
UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The attributes of CloudEvents 1.0. Extension attributes may stand beside them; nobody reads those."""

    specversion: Literal["1.0"]
    id: Name
    source: Name
    type: Name
    time: Instant | None = None
    subject: Name | None = None
    datacontenttype: Name | None = None
    dataschema: Name | None = None


class Mode(NamedTuple):
    """How a sender writes an attribute and the data."""

    attribute: str
    data: str


STRUCTURED = Mode("$.", "$.data")
BINARY = Mode(HEADER, "$")

_attributes = frozenset(Envelope.__struct_fields__)
_event_fields = frozenset(UsageEvent.__struct_fields__)
_object = msgspec.json.Decoder(Fields)
_one = msgspec.json.Decoder(UsageEvent)
_encode = msgspec.json.Encoder().encode


def read(body: bytes, content_type: str, events_max: int) -> tuple[Batch, Places]:
    """A structured event, or a batch of them. Raises Invalid, TooLarge as `events.read` does."""
    single = content_type == CLOUDEVENT
    items: Sequence[bytes | msgspec.Raw] = [body] if single else taken_apart(body, events_max, level=3)
    return _batch((_fields(item) for item in items), STRUCTURED, single=single)


def is_binary(headers: Mapping[str, str]) -> bool:
    return f"{HEADER}specversion" in headers or f"{HEADER}id" in headers


def read_binary(headers: Iterable[tuple[str, str]], body: bytes) -> tuple[Batch, Places]:
    """An event whose attributes are headers (`ce-id`) and whose data is the body. Header names are in lower case."""
    fields: Fields = {}
    faults: list[Fault] = []
    for header, value in headers:
        name = header.removeprefix(HEADER)
        if name == header:
            continue
        text = _unescaped(value)
        if name in ("data", "data_base64", "datacontenttype"):
            faults.append(Fault("unknown_field", "The body is the data, Content-Type its type.", header))
        elif name in fields:
            faults.append(Fault("contradiction", "This header comes twice.", header))
        elif text is None:
            faults.append(Fault("invalid_value", "This header is not UTF-8.", header))
        else:
            fields[name] = msgspec.Raw(_encode(text))
    return _batch([({**fields, "data": msgspec.Raw(body)}, faults)], BINARY, single=True)


def _unescaped(value: str) -> str | None:
    """A header's text: perhaps in quotes, what is not ASCII in percents (CloudEvents, HTTP binding 3.1.3.2).

    None when it is not UTF-8: two identities must not become one.
    """
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return unquote(value.encode("latin-1").decode(), errors="strict")
    except UnicodeError:
        return None


def _fields(item: bytes | msgspec.Raw) -> tuple[Fields | None, list[Fault]]:
    try:
        return decoded(_object, item, level=2), []
    except UNREADABLE as error:
        return None, [_unreadable(item, error, "$")]


def _unreadable(item: bytes | msgspec.Raw, error: Exception, path: str) -> Fault:
    if isinstance(error, msgspec.ValidationError):
        return Fault("invalid_value", f"{error}.", path)
    return Fault("malformed_json", malformed(bytes(item), error), path)


def as_sent(results: list[Result], places: Places) -> list[Result]:
    """Results whose faults are where the sender wrote what is at fault."""
    return [
        refusal(result.index, result.id, [_relocated(fault, places[result.index]) for fault in result.errors])
        if result.errors and result.index in places
        else result
        for result in results
    ]


def _relocated(fault: Fault, moved: Moved) -> Fault:
    field = ".".join(fault.path.split(".", 2)[:2])
    ours = field if field in moved else "$"
    return msgspec.structs.replace(fault, path=moved[ours] + fault.path.removeprefix(ours))


def _batch(envelopes: Iterable[tuple[Fields | None, list[Fault]]], mode: Mode, *, single: bool) -> tuple[Batch, Places]:
    batch, places = Batch([], [], single), Places()
    for index, (fields, unread) in enumerate(envelopes):
        event, moved, found = (None, {}, []) if fields is None else _read_one(fields, mode)
        if event is not None and not unread and not found:
            batch.events.append((index, event))
            places[index] = moved
        once = {(fault.path, fault.code): fault for fault in [*unread, *found]}
        batch.faults.extend(msgspec.structs.replace(fault, index=index) for fault in once.values())
    return batch, places


def _read_one(fields: Fields, mode: Mode) -> tuple[UsageEvent | None, Moved, list[Fault]]:
    """The usage event in an envelope; None beside the faults of its data, if it has some."""
    moved = {"$": mode.data}
    faults = list(_faults_of_attributes(fields, mode))
    data = _data(fields, mode)
    if isinstance(data, Fault):
        return None, moved, [*faults, data]
    merged = _without_attributes(data, moved)
    if merged is None:
        detail = f"The usage is given twice: here, and as {USAGE_ATTRIBUTES}… attributes."
        return None, moved, [*faults, Fault("contradiction", detail, f"{mode.data}.usage")]
    faults += _filled(merged, fields, mode, moved)
    whole = _encode(merged)
    try:
        return _one.decode(whole), moved, faults
    except UNREADABLE:
        return None, moved, faults + [_relocated(fault, moved) for fault in faults_in(whole, 0)]


def _faults_of_attributes(fields: Fields, mode: Mode) -> Iterator[Fault]:
    known = msgspec.Raw(_encode({name: value for name, value in fields.items() if name in _attributes}))
    for fault in faults_of(known, Envelope):
        yield msgspec.structs.replace(fault, path=fault.path.replace("$.", mode.attribute, 1))
    kind = _text(fields.get("type"))
    if kind is not None and not TYPE.fullmatch(kind):
        detail = (
            "Only events of usage are billed: their type is `usage` or ends in `.usage`, as com.example.usage does."
        )
        yield Fault("unknown_type", detail, f"{mode.attribute}type")
    for name, value in fields.items():
        if name in _attributes or name in ("data", "data_base64"):
            continue
        if name in _event_fields:
            detail = "This is a field of a usage event: it belongs into the data."
        elif not EXTENSION.fullmatch(name) or bytes(value)[:1] not in SCALARS:
            detail = "An extension attribute has a name of a-z and 0-9, and a value that is no object or array."
        else:
            continue
        yield Fault("unknown_field", detail, f"{mode.attribute}{name[:80]}")


def _data(fields: Fields, mode: Mode) -> Fields | Fault:
    """The fields of the data, which must be JSON, written as such."""
    kind = _text(fields.get("datacontenttype"))
    if kind is not None and not JSON_TYPE.fullmatch(kind):
        return Fault(
            "invalid_value", "Data is read as JSON only: application/json.", f"{mode.attribute}datacontenttype"
        )
    if "data_base64" in fields:
        return Fault("invalid_value", "Data is read as JSON only: send it as `data`.", f"{mode.attribute}data_base64")
    data = fields.get("data", NULL)
    if bytes(data) == b"null":
        return Fault("missing_field", "This field is required.", mode.data)
    try:
        return decoded(_object, data, level=1)
    except UNREADABLE as error:
        return _unreadable(data, error, mode.data)


def _without_attributes(data: Fields, moved: Moved) -> Fields | None:
    """The fields of a usage event, what OpenTelemetry's attributes say among them; None when they say usage twice.

    Every name with a dot is an attribute. Those of usage must be ones we know, others that we do not know are dropped.
    """
    fields = {name: value for name, value in data.items() if "." not in name}
    if len(fields) == len(data):
        return fields
    for ours, attribute in ATTRIBUTES.items():
        if attribute in data and ours not in fields:
            fields[ours] = data[attribute]
            moved[f"$.{ours}"] = f"{moved['$']}.{attribute}"
    usage = {name: value for name, value in data.items() if name.startswith(USAGE_ATTRIBUTES)}
    if usage and "usage" in fields:
        return None
    if usage:
        answer = {ANSWER_ID: data[ANSWER_ID]} if ANSWER_ID in data else {}
        fields["usage"] = msgspec.Raw(_encode(usage | answer))
        moved["$.usage"] = moved["$"]
    return fields


def _filled(event: Fields, envelope: Fields, mode: Mode, moved: Moved) -> Iterator[Fault]:
    """Fill an event's fields from its envelope. What both say must be the same."""
    for name, same in (("id", _text), ("source", _text), ("time", _instant)):
        given = envelope.get(name, NULL)
        if name not in event:
            moved[f"$.{name}"] = f"{mode.attribute}{name}"
            if given != NULL:
                event[name] = given
        elif given != NULL and same(event[name]) != same(given):
            yield Fault("contradiction", f"The envelope has another `{name}`.", f"{mode.data}.{name}")
    subject = envelope.get("subject", NULL)
    if bytes(subject).startswith(ACCOUNT) and event.keys().isdisjoint(OWNERS):
        event["account"] = subject
        moved["$.account"] = f"{mode.attribute}subject"


def _text(value: msgspec.Raw | None) -> str | None:
    """A text; None when it is none, which is a fault that others find."""
    found: str | None = _read_as(str, value or NULL)
    return found


def _instant(value: msgspec.Raw) -> datetime | None:
    found: datetime | None = _read_as(datetime, value)
    return found


def _read_as(kind: Any, value: msgspec.Raw) -> Any:
    try:
        return decoder(kind).decode(value)
    except UNREADABLE:
        return None
