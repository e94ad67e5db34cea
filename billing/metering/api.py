"""Usage over HTTP: events in, events and sums out."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, get_type_hints
from zoneinfo import ZoneInfo

import msgspec
from litestar import Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from billing.accounts import store as accounts
from billing.accounts.keys import Principal
from billing.db.pool import Pool
from billing.errors import Conflict, Fault, Invalid, NotFound
from billing.http import StrictRequest, requires
from billing.metering import cloudevents, reads
from billing.metering.answers import LISTED_MAX, Answer, Result, answer
from billing.metering.cloudevents import CLOUDEVENT, CLOUDEVENTS, Envelope, Places
from billing.metering.events import JSON, NDJSON, Batch, UsageEvent, read
from billing.metering.intake import Intake
from billing.metering.reads import EventView, Grouping, UsageRow
from billing.metering.rerate import Summary, rerate
from billing.pages import Listing, Page
from billing.settings import Settings
from billing.times import instant
from pricing import money

Listed = Literal["all", "notable"]


def _described(event: type[UsageEvent]) -> type[msgspec.Struct]:
    """The event as the API's description shows it: what is read by itself later is an object there."""
    later = {"usage": "In any spelling of docs/pricing.md.", "content": "Request and answer; never stored."}
    hints = get_type_hints(event, include_extras=True)
    fields: list[tuple[str, Any, Any]] = []
    for field in msgspec.structs.fields(event):
        if field.name in later:
            kind: Any = Annotated[dict[str, Any] | None, Meta(description=later[field.name])]
            fields.append((field.name, kind, None))
        else:
            fields.append((field.name, hints[field.name], field.default))
    described = msgspec.defstruct("UsageEvent", fields, kw_only=True, forbid_unknown_fields=True)
    described.__doc__ = event.__doc__
    return described


DESCRIBED = _described(UsageEvent)


class CloudEvent(Envelope, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A usage event in the envelope of CloudEvents 1.0; extension attributes may come along."""

    data: Annotated[dict[str, Any], Meta(description="A usage event's other fields, or OpenTelemetry attributes.")]


BODIES = {
    "/v1/events": {
        JSON: DESCRIBED | list[DESCRIBED],  # type: ignore[valid-type]
        NDJSON: DESCRIBED,
        CLOUDEVENT: CloudEvent,
        CLOUDEVENTS: list[CloudEvent],
    }
}


@post("/v1/events", guards=[requires("gateway", "admin")], status_code=200, tags=["usage"])
async def post_events(
    request: StrictRequest,
    state: State,
    results: FromQuery[Listed | None] = None,
    all_or_nothing: FromQuery[bool] = False,
) -> Answer:
    """Book usage events: one object, an array, NDJSON, or CloudEvents (structured, a batch, or binary).

    What is answered `accepted` or `unpriced` is committed. Posting the same events again is safe: they are
    `duplicate`s. Good events are booked beside bad ones, unless `all_or_nothing` is asked for. More than 100 results
    are listed only with `results=all`; those that need looking at always are.
    """
    settings: Settings = state.settings
    intake: Intake = state.intake
    batch, places = await _read(request, settings.batch_events_max)
    found = cloudevents.as_sent(await intake.post(batch, all_or_nothing=all_or_nothing), places)
    if all_or_nothing and any(result.status == "conflict" for result in found):
        raise _conflicting(found)
    if all(result.status == "rejected" for result in found):
        raise _nothing_accepted(found)
    everything = results == "all" or (results is None and len(found) <= LISTED_MAX)
    return answer(found, everything=everything)


async def _read(request: StrictRequest, events_max: int) -> tuple[Batch, Places]:
    """The events of a request, in whatever spelling they come, and where their fields are in it."""
    content_type = request.expect_content_type(JSON, NDJSON, CLOUDEVENT, CLOUDEVENTS)
    body = await request.body()
    if content_type in (CLOUDEVENT, CLOUDEVENTS):
        return cloudevents.read(body, content_type, events_max)
    if cloudevents.is_binary(request.headers):
        request.expect_content_type(JSON)
        return cloudevents.read_binary(request.headers.multi_items(), body)
    return read(body, content_type, events_max), {}


def _nothing_accepted(found: list[Result]) -> Invalid:
    faults = tuple(fault for result in found for fault in result.errors)
    subject = "The event was not" if len(found) == 1 else f"None of the {len(found)} events was"
    first = next((result for result in found if result.errors), found[0])
    return Invalid("nothing_accepted", f"{subject} accepted. {first.reason}", faults)


def _conflicting(found: list[Result]) -> Conflict:
    """Of a batch that was to be booked whole, some events are booked already, as something else."""
    faults = tuple(
        Fault("conflict", result.reason or "", "$", result.index) for result in found if result.status == "conflict"
    )
    sentence = f"Nothing was booked: {len(faults)} of the {len(found)} events are booked already with another content."
    return Conflict("conflicting_events", sentence, faults)


@get("/v1/events/{event_id:path}", guards=[requires("customer", "gateway", "admin")], tags=["usage"])
async def get_event(
    event_id: FromPath[str],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    source: FromQuery[str | None] = None,
    account: FromQuery[str | None] = None,
) -> EventView:
    """One event: what was posted, its charge explained line by line, and its postings."""
    return await _told(pool, principal, event_id.removeprefix("/"), source, account)


@get("/v1/event", guards=[requires("customer", "gateway", "admin")], tags=["usage"])
async def get_event_by_id(
    id: FromQuery[str],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    source: FromQuery[str | None] = None,
    account: FromQuery[str | None] = None,
) -> EventView:
    """The same for every id, also for one that cannot stand in a path: `..`, `rerate`, `a//b`."""
    return await _told(pool, principal, id, source, account)


async def _told(pool: Pool, principal: Principal, event_id: str, source: str | None, account: str | None) -> EventView:
    account_id = principal.owner(account)
    async with pool.connection() as conn:
        found = await reads.find(conn, event_id=event_id, source=source, account_id=account_id)
    if not found:
        raise NotFound("unknown_event", f"There is no event {event_id}.")
    if len(found) > 1:
        raise Conflict("ambiguous_event", f"More than one event is called {event_id}: add ?source= or ?account=.")
    return found[0] if principal.account_id is None else without_upstream(found[0])


def without_upstream(view: EventView) -> EventView:
    """What a customer is told: not who served the request, nor what it cost us there."""
    postings = [posting for posting in view.postings if posting.kind != "cost"]
    shown = view.event and {name: value for name, value in view.event.items() if name != "upstream"}
    return msgspec.structs.replace(view, event=shown, cost=None, postings=postings)


@get("/v1/events", guards=[requires("admin")], tags=["usage"])
async def list_events_for_review(
    pool: NamedDependency[Pool],
    page: NamedDependency[Page],
    account: FromQuery[str | None] = None,
) -> Listing[EventView]:
    """The review queue: events that are kept but not billed, because no price or no usage is known. Newest first."""
    async with pool.connection() as conn:
        found, more = await reads.waiting(conn, account, page)
    return Listing(url="/v1/events", has_more=more, data=found)


@post("/v1/events/rerate", guards=[requires("admin")], status_code=200, tags=["usage"])
async def rerate_events(
    pool: NamedDependency[Pool], intake: NamedDependency[Intake], account: FromQuery[str | None] = None
) -> Summary:
    """Bill the events that waited for a price and have one by now, of one account or of all. Safe to repeat."""
    return await rerate(pool, intake.large, account)


GROUPED_BY: tuple[Grouping, ...] = ("day", "model")


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of an account's usage in [start, end), by the time of use; days are those of `time_zone`."""

    account: str
    start: datetime
    end: datetime
    time_zone: str
    currency: str
    requests: int
    amount: str
    data: list[UsageRow]
    object: str = "usage"


@get("/v1/usage", guards=[requires("customer", "gateway", "admin")], tags=["usage"])
async def get_usage(
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    account: FromQuery[str | None] = None,
    start: FromQuery[str | None] = None,
    end: FromQuery[str | None] = None,
    group_by: FromQuery[list[Grouping] | None] = None,
) -> UsageReport:
    """What was used and what it cost, by day, model or key, or any of them together.

    `start` and `end` are instants such as 2026-11-01T00:00:00Z, or days such as 2026-11-01 in the account's time zone;
    the last 30 days, if not said. Sums are kept by the quarter hour: a span is widened to whole ones.
    """
    async with pool.connection() as conn:
        owner = await accounts.get(conn, principal.account(account))
        zone = ZoneInfo(owner.time_zone)
        until = instant(end, zone, "end") or datetime.now(UTC)
        since = instant(start, zone, "start") or until - timedelta(days=30)
        if since >= until:
            raise Invalid("empty_span", f"The span from {since.isoformat()} to {until.isoformat()} is empty.")
        groups: list[Grouping] = list(dict.fromkeys(group_by or GROUPED_BY))
        rows = await reads.usage(
            conn, account_id=owner.id, start=since, end=until, time_zone=owner.time_zone, group_by=groups
        )
    return UsageReport(
        account=owner.id,
        start=since,
        end=until,
        time_zone=owner.time_zone,
        currency="USD",
        requests=sum(row.requests for row in rows),
        amount=money.format(sum(money.parse(row.amount) for row in rows)),
        data=rows,
    )


router = Router(
    "/", route_handlers=[post_events, get_event, get_event_by_id, list_events_for_review, rerate_events, get_usage]
)
