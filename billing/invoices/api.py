"""Closing months and reading invoices over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from billing.accounts import store as accounts
from billing.accounts.keys import Principal
from billing.credits import current as credits
from billing.db.pool import Pool
from billing.errors import Invalid, NotFound
from billing.http import StrictRequest, requires
from billing.invoices import event_files, files_api, store
from billing.invoices.close import OUTCOMES, Outcome, Result, Summary, close_month
from billing.invoices.drafts_api import draft_view
from billing.invoices.periods import label_of, month
from billing.invoices.render import FORMATS
from billing.invoices.settlement import reading
from billing.invoices.settlement.standing import Status
from billing.invoices.settlement.views import CurrentInvoiceView
from billing.invoices.view import PeriodView, StatementView, view
from billing.pages import Listing, Page
from billing.prices.words import Language
from billing.settings import Settings
from billing.times import instant
from pricing import money


class ResultView(msgspec.Struct, frozen=True, kw_only=True):
    """What closing did to one account. `detail` says what to do, where it could not be closed."""

    account: str
    outcome: Outcome
    invoice: str | None
    number: str | None
    total: str
    detail: str | None


class SummaryView(msgspec.Struct, frozen=True, kw_only=True):
    """What closing a month did. `total` and `residue` are of all its invoices, those of earlier runs included."""

    period: str
    counts: dict[Outcome, int]
    total: str
    residue: str
    results: list[ResultView]


@post("/v1/periods/{period:str}/close", guards=[requires("admin")], status_code=200, tags=["invoices"])
async def close_period(
    period: FromPath[str],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    account: FromQuery[str | None] = None,
) -> SummaryView:
    """Close a month (`YYYY-MM`) of every account, or of one: an invoice for each that used something.

    Each account's month is that of its own time zone. Closing again changes nothing and answers with the same
    invoices. An account that could not be closed says why in `detail`; the others are closed all the same.
    """
    return summary_view(await close_month(pool, settings, period, account))


@get("/v1/invoices", guards=[requires("customer", "admin")], tags=["invoices"])
async def list_invoices(
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    page: NamedDependency[Page],
    account: FromQuery[str | None] = None,
    status: FromQuery[Status | None] = None,
) -> Listing[CurrentInvoiceView]:
    """Invoices, newest period first: a customer's own, or with an admin's key those of `account` or of all.

    `status` asks for those that are open, partly paid, paid, overdue or void today.
    """
    async with pool.connection() as conn:
        found, more = await reading.listed(conn, principal.owner(account), status, page)
    return Listing(url="/v1/invoices", has_more=more, data=found)


DRAFT = "draft"


@get("/v1/invoices/{invoice_id:str}", guards=[requires("customer", "admin")], tags=["invoices"])
async def get_invoice(
    request: StrictRequest,
    invoice_id: FromPath[str],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    settings: NamedDependency[Settings],
    account: FromQuery[str | None] = None,
    period: FromQuery[str | None] = None,
    lang: FromQuery[Language | None] = None,
) -> Response[CurrentInvoiceView | bytes]:
    """One invoice and what has become of it (`standing`), as JSON.

    Behind the id, `.json`, `.csv`, `.ndjson`, `.html`, `.pdf`, `.focus.csv`, `.focus.ndjson` (FOCUS 1.2) or `.xml` (EN
    16931) asks for a file of that kind; `.events.csv` for the events of all lines. Data never change; HTML and PDF also
    say when it is void, credited or paid by now, in `lang`, else in the browser's language. `draft.pdf` (and so on) is
    the draft of the running period or of an open `period`, with an admin's key that of `account`.
    """
    name, kind = files_api.split(invoice_id, (*FORMATS, event_files.KIND), "An invoice")
    if name == DRAFT and kind in FORMATS:
        draft = await draft_view(pool, settings, principal.account(account), period)
        return await files_api.file(request, FORMATS[kind], draft, f"{DRAFT}.{kind}", lang)
    async with pool.connection() as conn:
        invoice = await store.find(conn, name, principal.account_id)
        if invoice is None:
            raise NotFound("unknown_invoice", f"There is no invoice {name[:80]}.")
        current = (await reading.current(conn, [invoice]))[0]
    if not kind:
        return Response(current)
    if kind == event_files.KIND:
        return files_api.stream(event_files.table(pool, invoice), event_files.MEDIA_TYPE, f"{invoice.number}.{kind}")
    form = FORMATS[kind]
    return await files_api.file(
        request, form, current if form.read else view(invoice), f"{invoice.number}.{kind}", lang
    )


class AccountStatement(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to all an account has in a span of time, by the days that movements count from.

    Of a closed month it says what its invoice says; of open time what is booked by now.
    """

    account: str
    currency: str
    period: PeriodView
    statement: StatementView


@get("/v1/statements", guards=[requires("customer", "admin")], tags=["invoices"])
async def get_statement(
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    account: FromQuery[str | None] = None,
    since: Annotated[str | None, QueryParameter(name="from")] = None,
    to: FromQuery[str | None] = None,
) -> AccountStatement:
    """The statement of [from, to): instants, or days in the account's time zone; this month so far, if not said.

    Usage is summed by the quarter hour, so a span is widened to whole ones.
    """
    async with pool.connection() as conn:
        owner = await accounts.get(conn, principal.account(account))
        zone = ZoneInfo(owner.time_zone)
        now = await store.clock(conn)
        start = _quarter_hour(instant(since, zone, "from") or month(label_of(now, zone), zone).start)
        end = _quarter_hour(instant(to, zone, "to") or now, LAST_OF_QUARTER_HOUR)
        if start >= end:
            raise Invalid("empty_span", f"The span from {start.isoformat()} to {end.isoformat()} is empty.")
        await credits.balance(conn, owner.id)
        found = await store.statement(conn, owner.id, start, end)
    return AccountStatement(
        account=owner.id,
        currency="USD",
        period=PeriodView(start=start, end=end, time_zone=owner.time_zone),
        statement=StatementView(**found.amounts()),
    )


LAST_OF_QUARTER_HOUR = timedelta(minutes=15) - timedelta(microseconds=1)


def _quarter_hour(at: datetime, add: timedelta = timedelta()) -> datetime:
    """The quarter hour that an instant, with something added, lies in. Every zone's midnight is one."""
    moved = at.astimezone(UTC) + add
    return moved.replace(minute=moved.minute // 15 * 15, second=0, microsecond=0)


def summary_view(summary: Summary) -> SummaryView:
    return SummaryView(
        period=summary.period,
        counts={outcome: summary.count(outcome) for outcome in OUTCOMES},
        total=money.format(summary.total),
        residue=money.format(summary.residue),
        results=[_result_view(result) for result in summary.results],
    )


def _result_view(result: Result) -> ResultView:
    return ResultView(
        account=result.account,
        outcome=result.outcome,
        invoice=result.invoice,
        number=result.number,
        total=money.format(result.total),
        detail=result.detail,
    )


router = Router("/", route_handlers=[close_period, list_invoices, get_invoice, get_statement])
