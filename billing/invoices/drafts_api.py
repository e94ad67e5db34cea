"""What is not on paper over HTTP: drafts of open periods, and the events behind a line."""

from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from billing.accounts.keys import Principal
from billing.credits import current
from billing.db.pool import Pool
from billing.errors import NotFound
from billing.http import requires
from billing.invoices import drafts, line_events, store
from billing.invoices.line_events import LineEvent
from billing.invoices.view import InvoiceView, view
from billing.pages import Listing, Page
from billing.settings import Settings


@get("/v1/accounts/{account_id:str}/draft", guards=[requires("admin")], tags=["invoices"])
async def get_account_draft(
    account_id: FromPath[str],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    period: FromQuery[str | None] = None,
) -> InvoiceView:
    """What an account's running period, or another open `period` (`YYYY-MM`), comes to by now: an invoice without a
    number. Nothing is written."""
    return await draft_view(pool, settings, account_id, period)


@get("/v1/invoices/draft", guards=[requires("customer", "admin")], tags=["invoices"])
async def get_draft(
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    principal: NamedDependency[Principal],
    account: FromQuery[str | None] = None,
    period: FromQuery[str | None] = None,
) -> InvoiceView:
    """What the customer's running period, or another open `period` (`YYYY-MM`), comes to by now; with an admin's key,
    that of `account`."""
    return await draft_view(pool, settings, principal.account(account), period)


async def draft_view(pool: Pool, settings: Settings, account_id: str, period: str | None) -> InvoiceView:
    """The draft of an open period, by default the running one, as one snapshot of the database has it."""
    async with pool.connection() as conn:
        await current.balance(conn, account_id)
        async with conn.transaction():
            await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return view(await drafts.preview(conn, settings, account_id, period))


@get(
    "/v1/invoices/{invoice_id:str}/lines/{position:int}/events",
    guards=[requires("customer", "admin")],
    tags=["invoices"],
)
async def list_line_events(
    invoice_id: FromPath[str],
    position: FromPath[int],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    page: NamedDependency[Page],
    source: Annotated[str, QueryParameter(max_length=500, description="Of the event at the edge of the page.")] = "",
) -> Listing[LineEvent]:
    """The events that a line of an invoice bills (the first is line 1), newest first. The edge of a page is an event's
    id together with its `source`. `GET /v1/events/{id}?source=` explains each."""
    async with pool.connection() as conn:
        invoice = await store.find(conn, invoice_id, principal.account_id)
        if invoice is None:
            raise NotFound("unknown_invoice", f"There is no invoice {invoice_id[:80]}.")
        if not 1 <= position <= len(invoice.lines):
            raise NotFound("unknown_line", f"Invoice {invoice.number} has lines from 1 to {len(invoice.lines)}.")
        found, more = await line_events.listed(conn, invoice, invoice.lines[position - 1], source, page)
    return Listing(url=f"/v1/invoices/{invoice_id}/lines/{position}/events", has_more=more, data=found)


router = Router("/", route_handlers=[get_account_draft, get_draft, list_line_events])
