"""Credits over HTTP: given, listed, taken back."""

from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from billing.accounts.keys import Principal
from billing.accounts.store import get as get_account
from billing.credits import giving, store
from billing.credits.giving import GrantView
from billing.credits.grants import PRIORITY, Category, NewGrant
from billing.db.pool import Connection, Pool
from billing.http import StrictRequest, requires
from billing.ledger.api import IdempotencyKey, amount_of, booked_once, refused_amount
from billing.pages import Listing, Page
from billing.text import Dollars, Instant, Name
from billing.times import bounded

Priority = Annotated[int, msgspec.Meta(ge=0, le=1000, description="Lower ones are used first.")]


class GrantToGive(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Credit, more than zero: `paid` for, or `promotional`. It begins now and never ends, if not said otherwise."""

    amount: Dollars
    category: Category
    priority: Priority = PRIORITY
    effective_at: Instant | None = None
    expires_at: Instant | None = None
    reference: Name | None = None
    reason: Name | None = None


class GrantToVoid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why what remains of a grant is taken back."""

    reason: Name


@post("/v1/accounts/{account_id:str}/grants", guards=[requires("admin")], tags=["credits"])
async def create_grant(
    request: StrictRequest,
    account_id: FromPath[str],
    data: JSONBody[GrantToGive],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    idempotency_key: IdempotencyKey = None,
) -> GrantView:
    """Give credit. It pays usage before the wallet does: lower priority first, then what expires first, then older."""
    asked = grant_asked(account_id, data, principal.key_id)
    return await booked_once(request, pool, idempotency_key, GrantView, lambda conn: giving.give(conn, asked))


def grant_asked(account_id: str, data: GrantToGive, actor: str) -> NewGrant:
    """Raises Invalid for an amount or a year that cannot be."""
    amount = amount_of(data.amount)
    if amount <= 0:
        raise refused_amount("A grant must be more than zero.")
    return NewGrant(
        account_id=account_id,
        category=data.category,
        priority=data.priority,
        amount=amount,
        effective_at=bounded(data.effective_at, "$.effective_at"),
        expires_at=bounded(data.expires_at, "$.expires_at"),
        reference=data.reference,
        reason=data.reason,
        actor=actor,
    )


@post("/v1/accounts/{account_id:str}/grants/{grant_id:str}/void", guards=[requires("admin")], tags=["credits"])
async def void_grant(
    request: StrictRequest,
    account_id: FromPath[str],
    grant_id: FromPath[str],
    data: JSONBody[GrantToVoid],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    idempotency_key: IdempotencyKey = None,
) -> GrantView:
    """Take back what remains of a grant, by a posting that names the one that gave it."""

    async def work(conn: Connection) -> GrantView:
        return await giving.void(conn, account_id, grant_id, reason=data.reason, actor=principal.key_id)

    return await booked_once(request, pool, idempotency_key, GrantView, work)


@get("/v1/accounts/{account_id:str}/grants", guards=[requires("admin")], tags=["credits"])
async def list_account_grants(
    account_id: FromPath[str],
    pool: NamedDependency[Pool],
    page: NamedDependency[Page],
) -> Listing[GrantView]:
    """An account's grants, newest first."""
    return await _listed(pool, account_id, page, f"/v1/accounts/{account_id}/grants")


@get("/v1/grants", guards=[requires("customer", "admin")], tags=["credits"])
async def list_grants(
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    page: NamedDependency[Page],
    account: FromQuery[str | None] = None,
) -> Listing[GrantView]:
    """The grants of the customer whose key this is, newest first; with an admin's key, of `account`."""
    return await _listed(pool, principal.account(account), page, "/v1/grants")


async def _listed(pool: Pool, account_id: str, page: Page, url: str) -> Listing[GrantView]:
    async with pool.connection() as conn:
        await get_account(conn, account_id)
        async with conn.transaction():
            await store.settle(conn, [account_id])
        found, more = await store.listed(conn, account_id, page)
    return Listing(url=url, has_more=more, data=[giving.view(grant) for grant in found])


router = Router("/", route_handlers=[create_grant, void_grant, list_account_grants, list_grants])
