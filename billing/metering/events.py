"""One usage event as the gateway posts it, and the strict reading of a body full of them (rules.md Usage 2).

A body is decoded once. Only when that fails is it read item by item, to name every fault by index and JSON path and to
save the good events beside the bad ones.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from billing import wire
from billing.errors import Fault, Invalid, TooLarge
from billing.faults import faults_of
from billing.metering.mending import mended
from billing.text import Instant, Name, Price, Sha256
from pricing import usage
from pricing.errors import UsageError

Milliseconds = Annotated[int, Meta(ge=0, le=86_400_000)]
# What is not there: one object each, so that msgspec sees a default and leaves it out.
NO_CONTENT = msgspec.Raw()
NO_USAGE = msgspec.Raw()

RERATED = "~rerated"
"""How the id of an event ends that bills late what waited for a price (rerate.py); no gateway may use it."""
ID_CHARACTERS_MAX = 200 - len(RERATED)
"""Of an id as a gateway gives it, so that the id of an event billed late is a name too."""

T = TypeVar("T")
Ended = Literal["completed", "client_aborted", "upstream_cut", "failed"]


class Upstream(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who served the request, and what it cost us there in dollars."""

    name: Name
    cost: Price | None = None


class UsageEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One request that the gateway forwarded. (account, source, id) is its identity for ever."""

    id: Name
    source: Name
    time: Instant
    account: Name | None = None
    api_key: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    api_key_hash: Sha256 | None = None
    model: Name
    served_model: Name | None = None
    endpoint: Name | None = None
    usage: msgspec.Raw = NO_USAGE
    status: Annotated[int, Meta(ge=100, le=599)] = 200
    ended: Ended = "completed"
    stream: bool = False
    latency_ms: Milliseconds | None = None
    first_token_ms: Milliseconds | None = None
    service_tier: Name | None = None
    batch: bool = False
    upstream: Upstream | None = None
    user: Name | None = None
    authorization: Name | None = None
    corrects: Name | None = None
    voids: Name | None = None
    content: msgspec.Raw = NO_CONTENT

    def __post_init__(self) -> None:
        if (self.account is None) + (self.api_key is None) + (self.api_key_hash is None) != 2:
            raise ValueError("Exactly one of `account`, `api_key` and `api_key_hash` says whose usage it is")
        if self.corrects is not None and self.voids is not None:
            raise ValueError("An event either corrects or voids another")


class Batch(msgspec.Struct, frozen=True):
    """A body as read: its good events with their places, and the faults of the others. `single`: it was one object."""

    events: list[tuple[int, UsageEvent]]
    faults: list[Fault]
    single: bool


_one = msgspec.json.Decoder(UsageEvent)
_many = msgspec.json.Decoder(list[UsageEvent])
_raw_many = msgspec.json.Decoder(list[msgspec.Raw])

JSON = "application/json"
NDJSON = "application/x-ndjson"


def read(body: bytes, content_type: str, events_max: int) -> Batch:
    """Read a body of events: an object, an array, or one object a line.

    Raises Invalid for a body that cannot be taken apart into events, TooLarge for more than `events_max` of them.
    """
    if content_type == NDJSON:
        return _read_lines(body, events_max)
    if body.lstrip()[:1] == b"[":
        return _read_array(body, events_max)
    return read_items([body], single=True)


def _read_array(body: bytes, events_max: int) -> Batch:
    try:
        events = decoded(_many, body, level=2)
    except msgspec.ValidationError:
        return read_items(taken_apart(body, events_max, level=2), single=False)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
        raise Invalid("malformed_json", wire.malformed(body, fault)) from None
    _check_size(len(events), events_max)
    return Batch(list(enumerate(events)), [], single=False)


def taken_apart(body: bytes, events_max: int, *, level: int) -> list[msgspec.Raw]:
    """The items of an array that is JSON, each unread. Raises Invalid, TooLarge."""
    try:
        items = decoded(_raw_many, body, level=level)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
        raise Invalid("malformed_json", wire.malformed(body, fault)) from None
    _check_size(len(items), events_max)
    return items


def decoded(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw, *, level: int) -> T:
    """What the JSON says; when it cannot be read, after its texts were mended (`level`: see mending.py)."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):
        return decoder.decode(mended(bytes(body), level))


def _read_lines(body: bytes, events_max: int) -> Batch:
    lines = [line for line in body.split(b"\n") if line.strip()]
    _check_size(len(lines), events_max)
    return read_items(lines, single=False)


def read_items(items: Iterable[bytes | msgspec.Raw], *, single: bool) -> Batch:
    """The events in pieces of JSON, one in each."""
    events: list[tuple[int, UsageEvent]] = []
    faults: list[Fault] = []
    for index, item in enumerate(items):
        try:
            events.append((index, decoded(_one, item, level=1)))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            faults.extend(faults_in(item, index))
    return Batch(events, faults, single)


def faults_in(item: bytes | msgspec.Raw, index: int) -> Iterator[Fault]:
    """All faults of an event that could not be read, those of its usage too."""
    yield from faults_of(item, UsageEvent, index)
    try:
        used = msgspec.json.decode(item, type=_UsageOnly).usage
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return
    if has_usage(used) and (fault := _usage_fault(used)) is not None:
        yield Fault("invalid_usage", fault.detail, usage_path(fault), index)


class _UsageOnly(msgspec.Struct):
    usage: msgspec.Raw = NO_USAGE


def has_usage(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in (b"", b"null")


def _usage_fault(raw: msgspec.Raw) -> UsageError | None:
    try:
        usage.read(raw)
    except UsageError as fault:
        return fault
    return None


def usage_path(fault: UsageError) -> str:
    """The place within the event of a fault that the usage's reader placed within the usage."""
    return "$.usage" + fault.path.removeprefix("$")


def _check_size(size: int, events_max: int) -> None:
    if size == 0:
        raise Invalid("empty_batch", "There is no event in the body.")
    if size > events_max:
        raise TooLarge(
            "too_many_events",
            f"The body has {size} events; at most {events_max} are taken at once (BILLING_BATCH_EVENTS_MAX).",
        )
