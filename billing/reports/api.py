"""The operator's reports over HTTP."""

from collections.abc import Sequence
from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery, QueryParameter

from billing.db.pool import Pool
from billing.http import requires
from billing.reports import status, sums, verification
from billing.reports.asked import Interval, Span, span
from billing.reports.grouped import Asked, snapshot
from billing.settings import Settings

Only = Annotated[list[str] | None, QueryParameter(max_items=100, description="Only these; several may be named.")]
EDGE = "a day such as 2026-11-01 in the time zone, or an instant such as 2026-11-01T00:00:00Z"
Worst = Annotated[int, QueryParameter(ge=0, le=verification.WORST_MAX, description="So many of the worst events.")]
Largest = Annotated[int, QueryParameter(ge=1, le=sums.CUSTOMERS_MAX, description="So many customers.")]


def asked_span(
    settings: NamedDependency[Settings],
    since: Annotated[str | None, QueryParameter(name="from", description=f"From {EDGE}. 30 days before `to`.")] = None,
    until: Annotated[str | None, QueryParameter(name="to", description=f"To before {EDGE}. Now, if not said.")] = None,
    interval: FromQuery[Interval | None] = None,
    time_zone: FromQuery[str] = "UTC",
) -> Span:
    """The span of every report."""
    return span(since, until, time_zone, interval, rows_max=settings.report_rows_max)


def undivided_span(
    settings: NamedDependency[Settings],
    since: Annotated[str | None, QueryParameter(name="from", description=f"From {EDGE}. 30 days before `to`.")] = None,
    until: Annotated[str | None, QueryParameter(name="to", description=f"To before {EDGE}. Now, if not said.")] = None,
    time_zone: FromQuery[str] = "UTC",
) -> Span:
    """The span of a report that is not divided into intervals."""
    return span(since, until, time_zone, rows_max=settings.report_rows_max)


def asking(settings: Settings, span: Span, group_by: Sequence[str], **only: list[str] | None) -> Asked:
    return Asked(
        span=span,
        group_by=list(dict.fromkeys(group_by)),
        filters={name: values for name, values in only.items() if values is not None},
        rows_max=settings.report_rows_max,
    )


@get("/v1/reports/revenue", guards=[requires("admin")], tags=["reports"])
async def get_revenue_report(
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    span: NamedDependency[Span],
    group_by: FromQuery[list[sums.Group] | None] = None,
    model: Only = None,
    upstream: Only = None,
    dimension: Only = None,
    account: Only = None,
) -> sums.Report:
    """Requests and what they were charged, by time, model, upstream and dimension; one sum, if nothing is said."""
    only = {"model": model, "upstream": upstream, "dimension": dimension, "account": account}
    asked = asking(settings, span, group_by or (), **only)
    async with snapshot(pool) as conn:
        return await sums.revenue(conn, asked)


@get("/v1/reports/usage", guards=[requires("admin")], tags=["reports"])
async def get_usage_report(
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    span: NamedDependency[Span],
    group_by: FromQuery[list[sums.Group] | None] = None,
    model: Only = None,
    upstream: Only = None,
    dimension: Only = None,
    account: Only = None,
) -> sums.Report:
    """How much was used of each dimension, such as input tokens, and what that was charged."""
    only = {"model": model, "upstream": upstream, "dimension": dimension, "account": account}
    asked = asking(settings, span, group_by or (), **only)
    async with snapshot(pool) as conn:
        return await sums.usage(conn, asked)


@get("/v1/reports/models", guards=[requires("admin")], tags=["reports"])
async def get_models_report(
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    span: NamedDependency[Span],
    model: Only = None,
    upstream: Only = None,
    account: Only = None,
) -> sums.Report:
    """The models: requests, what they were charged and what they cost us; those first that were charged most."""
    asked = asking(settings, span, [], model=model, upstream=upstream, account=account)
    async with snapshot(pool) as conn:
        return await sums.models(conn, asked)


@get("/v1/reports/margin", guards=[requires("admin")], tags=["reports"])
async def get_margin_report(
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    span: NamedDependency[Span],
    group_by: FromQuery[list[sums.Group] | None] = None,
    model: Only = None,
    upstream: Only = None,
    account: Only = None,
) -> sums.Report:
    """What requests were charged, what they cost us, and what is left; by upstream, unless said otherwise."""
    asked = asking(settings, span, group_by or sums.MARGIN_BY, model=model, upstream=upstream, account=account)
    async with snapshot(pool) as conn:
        return await sums.margin(conn, asked)


@get(
    "/v1/reports/customers",
    guards=[requires("admin")],
    tags=["reports"],
    dependencies={"span": Provide(undivided_span, sync_to_thread=False)},
)
async def get_customers_report(
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    span: NamedDependency[Span],
    account: Only = None,
    limit: Largest = 20,
) -> sums.Report:
    """The customers who were charged most, with what they cost us; the total is of all customers."""
    async with snapshot(pool) as conn:
        return await sums.customers(conn, asking(settings, span, [], account=account), limit=limit)


@get("/v1/reports/status", guards=[requires("admin")], tags=["reports"])
async def get_status_report(
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    span: NamedDependency[Span],
    group_by: FromQuery[list[status.Group] | None] = None,
    model: Only = None,
    upstream: Only = None,
) -> status.Report:
    """How many requests failed, were aborted or cut, and how long they took; by model, unless said otherwise."""
    asked = asking(settings, span, group_by or status.GROUPED_BY, model=model, upstream=upstream)
    async with snapshot(pool) as conn:
        return await status.report(conn, asked)


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
    by = group_by or verification.GROUPED_BY
    asked = asking(settings, span, by, model=model, upstream=upstream, source=source, account=account)
    async with snapshot(pool) as conn:
        return await verification.report(conn, asked, worst=worst)


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
    dependencies={"span": Provide(asked_span, sync_to_thread=False)},
)
