"""The operator's reports over HTTP."""

from functools import partial
from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery, QueryParameter

from billing.db.pool import Pool
from billing.http import requires
from billing.reports import status, sums, verification
from billing.reports.asked import Interval, span
from billing.reports.grouped import Reader
from billing.settings import Settings

EDGE = "a day such as 2026-11-01 in the time zone, or an instant such as 2026-11-01T00:00:00Z"
From = Annotated[str | None, QueryParameter(name="from", description=f"From {EDGE}. 30 days before `to`.")]
To = Annotated[str | None, QueryParameter(name="to", description=f"To before {EDGE}. Now, if not said.")]
Only = Annotated[list[str] | None, QueryParameter(max_items=100, description="Only these; several may be named.")]
Worst = Annotated[int, QueryParameter(ge=0, le=verification.WORST_MAX, description="So many of the worst events.")]
Largest = Annotated[int, QueryParameter(ge=1, le=sums.CUSTOMERS_MAX, description="So many customers.")]


def reader(
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    since: From = None,
    until: To = None,
    interval: FromQuery[Interval | None] = None,
    time_zone: FromQuery[str] = "UTC",
) -> Reader:
    """Of every report."""
    rows_max = settings.report_rows_max
    return Reader(pool, span(since, until, time_zone, interval, rows_max=rows_max), rows_max)


def undivided(
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    since: From = None,
    until: To = None,
    time_zone: FromQuery[str] = "UTC",
) -> Reader:
    """Of a report whose span is not divided into intervals."""
    return reader(pool, settings, since, until, time_zone=time_zone)


@get("/v1/reports/revenue", guards=[requires("admin")], tags=["reports"])
async def get_revenue_report(
    reader: NamedDependency[Reader],
    group_by: FromQuery[list[sums.Group] | None] = None,
    model: Only = None,
    upstream: Only = None,
    dimension: Only = None,
    account: Only = None,
) -> sums.Report:
    """Requests and what they were charged, by time, model, upstream and dimension; one sum, if nothing is said."""
    only = {"model": model, "upstream": upstream, "dimension": dimension, "account": account}
    return await reader.read(sums.revenue, group_by, **only)


@get("/v1/reports/usage", guards=[requires("admin")], tags=["reports"])
async def get_usage_report(
    reader: NamedDependency[Reader],
    group_by: FromQuery[list[sums.Group] | None] = None,
    model: Only = None,
    upstream: Only = None,
    dimension: Only = None,
    account: Only = None,
) -> sums.Report:
    """How much was used of each dimension, such as input tokens, and what that was charged."""
    only = {"model": model, "upstream": upstream, "dimension": dimension, "account": account}
    return await reader.read(sums.usage, group_by, **only)


@get("/v1/reports/models", guards=[requires("admin")], tags=["reports"])
async def get_models_report(
    reader: NamedDependency[Reader],
    model: Only = None,
    upstream: Only = None,
    account: Only = None,
) -> sums.Report:
    """The models: requests, what they were charged and what they cost us; those first that were charged most."""
    return await reader.read(sums.models, model=model, upstream=upstream, account=account)


@get("/v1/reports/margin", guards=[requires("admin")], tags=["reports"])
async def get_margin_report(
    reader: NamedDependency[Reader],
    group_by: FromQuery[list[sums.Group] | None] = None,
    model: Only = None,
    upstream: Only = None,
    account: Only = None,
) -> sums.Report:
    """What requests were charged, what they cost us, and what is left; by upstream, unless said otherwise."""
    by = group_by or sums.MARGIN_BY
    return await reader.read(sums.margin, by, model=model, upstream=upstream, account=account)


@get(
    "/v1/reports/customers",
    guards=[requires("admin")],
    tags=["reports"],
    dependencies={"reader": Provide(undivided, sync_to_thread=False)},
)
async def get_customers_report(
    reader: NamedDependency[Reader],
    account: Only = None,
    limit: Largest = 20,
) -> sums.Report:
    """The customers who were charged most, with what they cost us; the total is of all customers."""
    return await reader.read(partial(sums.customers, limit=limit), account=account)


@get("/v1/reports/status", guards=[requires("admin")], tags=["reports"])
async def get_status_report(
    reader: NamedDependency[Reader],
    group_by: FromQuery[list[status.Group] | None] = None,
    model: Only = None,
    upstream: Only = None,
) -> status.Report:
    """How many requests failed, were aborted or cut, and how long they took; by model, unless said otherwise."""
    return await reader.read(status.report, group_by or status.GROUPED_BY, model=model, upstream=upstream)


@get("/v1/reports/verification", guards=[requires("admin")], tags=["reports"])
async def get_verification_report(
    reader: NamedDependency[Reader],
    group_by: FromQuery[list[verification.Group] | None] = None,
    model: Only = None,
    upstream: Only = None,
    source: Only = None,
    account: Only = None,
    worst: Worst = 10,
) -> verification.Report:
    """How reported token counts compare with ours, of the events that carried their text: by time of use, grouped by
    model and upstream unless said otherwise, with the worst events and the commonest reasons for not verifying."""
    report, by = partial(verification.report, worst=worst), group_by or verification.GROUPED_BY
    return await reader.read(report, by, model=model, upstream=upstream, source=source, account=account)


router = Router(
    "/",
    route_handlers=[
        get_revenue_report,
        get_usage_report,
        get_customers_report,
        get_models_report,
        get_margin_report,
        get_status_report,
        get_verification_report,
    ],
    dependencies={"reader": Provide(reader, sync_to_thread=False)},
)
