"""The ledger over HTTP: top-ups, adjustments, and the journal."""

from typing import Annotated, Any

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody

from billing import idempotency
from billing.accounts.keys import Principal
from billing.accounts.store import get as get_account
from billing.db.pool import Connection, Pool
from billing.errors import Fault, Invalid
from billing.http import Cursor, Limit, StrictRequest, requires
from billing.ledger.movements import Movement, book
from billing.ledger.reads import PostingView, journal
from billing.pages import Listing, Page
from billing.text import Dollars, Instant, Name
from pricing import money

IdempotencyKey = Annotated[
    str | None, HeaderParameter(name="Idempotency-Key", description="Makes the request safe to send again.")
]


class NewTopUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Money that came in, more than zero. `effective_at` is the day it counts from: now, if not said."""

    amount: Dollars
    reference: Name | None = None
    reason: Name | None = None
    effective_at: Instant | None = None


class NewAdjustment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A correction of the wallet, with its reason; a negative amount takes away."""

    amount: Dollars
    reason: Name
    reference: Name | None = None
    effective_at: Instant | None = None


@post("/v1/accounts/{account_id:str}/top-ups", guards=[requires("admin")], tags=["ledger"])
async def create_top_up(
    request: StrictRequest,
    account_id: FromPath[str],
    data: JSONBody[NewTopUp],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    idempotency_key: IdempotencyKey = None,
) -> PostingView:
    """Add money to a wallet. Sent again with the same Idempotency-Key, it is the same top-up."""
    amount = _amount(data.amount)
    if amount <= 0:
        raise _refused_amount("A top-up must be more than zero; an adjustment can take away.")
    movement = Movement(account_id=account_id, kind="top_up", amount=amount, actor=principal.key_id, **_said(data))
    return await _book_once(request, pool, movement, idempotency_key)


@post("/v1/accounts/{account_id:str}/adjustments", guards=[requires("admin")], tags=["ledger"])
async def create_adjustment(
    request: StrictRequest,
    account_id: FromPath[str],
    data: JSONBody[NewAdjustment],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    idempotency_key: IdempotencyKey = None,
) -> PostingView:
    """Correct a wallet, with a reason. Sent again with the same Idempotency-Key, it is the same adjustment."""
    amount = _amount(data.amount)
    if amount == 0:
        raise _refused_amount("An adjustment of nothing changes nothing.")
    movement = Movement(account_id=account_id, kind="adjustment", amount=amount, actor=principal.key_id, **_said(data))
    return await _book_once(request, pool, movement, idempotency_key)


def _said(data: NewTopUp | NewAdjustment) -> dict[str, Any]:
    return {"effective_at": data.effective_at, "reference": data.reference, "reason": data.reason}


async def _book_once(request: StrictRequest, pool: Pool, movement: Movement, key: str | None) -> PostingView:
    async def work(conn: Connection) -> PostingView:
        return await book(conn, movement)

    asked = f"{request.method} {request.url.path}\n".encode() + await request.body()
    return await idempotency.once(pool, actor=movement.actor, key=key, request=asked, kind=PostingView, work=work)


def _amount(text: str) -> int:
    try:
        return money.parse(text)
    except money.MoneyError as error:
        raise _refused_amount(str(error)) from None


def _refused_amount(detail: str) -> Invalid:
    return Invalid("invalid_amount", detail, (Fault("invalid_amount", detail, "$.amount"),))


@get("/v1/postings", guards=[requires("customer", "admin")], tags=["ledger"])
async def list_postings(
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    account: FromQuery[str | None] = None,
    limit: Limit = 20,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
) -> Listing[PostingView]:
    """The journal of an account, newest first."""
    account_id = principal.account(account)
    async with pool.connection() as conn:
        await get_account(conn, account_id)
        found, more = await journal(conn, account_id, Page(limit, starting_after, ending_before))
    return Listing(url="/v1/postings", has_more=more, data=found)


router = Router("/", route_handlers=[create_top_up, create_adjustment, list_postings])
