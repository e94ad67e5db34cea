"""Usage over HTTP: events in, events and sums out."""

from typing import Literal

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromQuery

from billing.errors import Invalid
from billing.http import StrictRequest, requires
from billing.metering.answers import LISTED_MAX, Answer, Result, answer
from billing.metering.events import JSON, NDJSON, read
from billing.metering.intake import Intake
from billing.settings import Settings

Listed = Literal["all", "notable"]


@post("/v1/events", guards=[requires("gateway", "admin")], status_code=200, tags=["usage"])
async def post_events(
    request: StrictRequest,
    intake: NamedDependency[Intake],
    settings: NamedDependency[Settings],
    results: FromQuery[Listed | None] = None,
    all_or_nothing: FromQuery[bool] = False,
) -> Answer:
    """Book usage events: one object, an array, or NDJSON.

    What is answered `accepted` or `unpriced` is committed. Posting the same events again is safe: they are
    `duplicate`s. Good events are booked beside bad ones, unless `all_or_nothing` is asked for. More than 100 results
    are listed only with `results=all`; those that need looking at always are.
    """
    content_type = request.expect_content_type(JSON, NDJSON)
    batch = read(await request.body(), content_type, settings.batch_events_max)
    found = await intake.post(batch, all_or_nothing=all_or_nothing)
    if all(result.status == "rejected" for result in found):
        raise _nothing_accepted(found)
    everything = results == "all" or (results is None and len(found) <= LISTED_MAX)
    return answer(found, everything=everything)


def _nothing_accepted(found: list[Result]) -> Invalid:
    faults = tuple(fault for result in found for fault in result.errors)
    subject = "The event was" if len(found) == 1 else f"None of the {len(found)} events was"
    return Invalid("nothing_accepted", f"{subject} accepted: {found[0].reason}", faults)
