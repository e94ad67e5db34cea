"""The audit log over HTTP."""

from typing import Annotated
from zoneinfo import ZoneInfo

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from billing.audit.log import Act, Asked, listed
from billing.db.pool import Pool
from billing.http import requires
from billing.pages import Listing, Page
from billing.times import instant

UTC_ZONE = ZoneInfo("UTC")
From = Annotated[str | None, QueryParameter(name="from", description="A day of UTC, or an instant.")]


@get("/v1/audit-log", guards=[requires("admin")], tags=["operations"])
async def list_acts(
    pool: NamedDependency[Pool],
    page: NamedDependency[Page],
    account: FromQuery[str | None] = None,
    actor: FromQuery[str | None] = None,
    action: FromQuery[str | None] = None,
    start: From = None,
    to: FromQuery[str | None] = None,
) -> Listing[Act]:
    """What administrators did, newest first: of an account, of a key (`actor`), of a kind, in a span of time."""
    asked = Asked(
        account=account,
        actor=actor,
        action=action,
        start=instant(start, UTC_ZONE, "from"),
        end=instant(to, UTC_ZONE, "to"),
    )
    async with pool.connection() as conn:
        found, more = await listed(conn, asked, page)
    return Listing(url="/v1/audit-log", has_more=more, data=found)


router = Router("/", route_handlers=[list_acts])
