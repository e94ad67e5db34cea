"""The operator's reports over HTTP."""

from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery, QueryParameter

from billing.db.pool import Pool
from billing.http import requires
from billing.reports import verification
from billing.reports.asked import Interval, Span, span
from billing.reports.grouped import Asked
from billing.settings import Settings

Only = Annotated[list[str] | None, QueryParameter(max_items=100, description="Only these; several may be named.")]
Edge = "a day such as 2026-11-01 in the time zone, or an instant such as 2026-11-01T00:00:00Z"
Worst = Annotated[int, QueryParameter(ge=0, le=verification.WORST_MAX, description="So many of the worst events.")]


def asked_span(
    settings: NamedDependency[Settings],
    since: Annotated[str | None, QueryParameter(name="from", description=f"From {Edge}. 30 days before `to`.")] = None,
    until: Annotated[str | None, QueryParameter(name="to", description=f"To before {Edge}. Now, if not said.")] = None,
    interval: FromQuery[Interval | None] = None,
    time_zone: FromQuery[str] = "UTC",
) -> Span:
    """The span of every report."""
    return span(since, until, time_zone, interval, rows_max=settings.report_rows_max)


@get("/v1/reports/verification", guards=[requires("admin")], tags=["reports"])
async def get_verification_report(
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    span: NamedDependency[Span],
    group_by: FromQuery[list[verification.Group] | None] = None,
    model: Only = None,
    upstream: Only = None,
    source: Only = None,
    account: Only = None,
    worst: Worst = 10,
) -> verification.Report:
    """How reported token counts compare with ours, of the events that carried their text: by time of use, grouped by
    model and upstream unless said otherwise, with the worst events and the commonest reasons for not verifying."""
    only = {"model": model, "upstream": upstream, "source": source, "account": account}
    asked = Asked(
        span=span,
        group_by=list(dict.fromkeys(group_by or verification.GROUPED_BY)),
        filters={name: values for name, values in only.items() if values is not None},
        rows_max=settings.report_rows_max,
    )
    async with pool.connection() as conn:
        return await verification.report(conn, asked, worst=worst)


router = Router(
    "/",
    route_handlers=[get_verification_report],
    dependencies={"span": Provide(asked_span, sync_to_thread=False)},
)
