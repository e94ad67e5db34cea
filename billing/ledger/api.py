"""The ledger over HTTP: top-ups, adjustments, refunds, and the journal."""

from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody

from billing import idempotency
from billing.accounts.keys import Principal
from billing.accounts.store import get as get_account
from billing.db.pool import Pool
from billing.errors import Fault, Invalid
from billing.http import StrictRequest, requires
from billing.idempotency import Work
from billing.ledger.movements import Movement, Refund, book, refund
from billing.ledger.reads import PostingView, journal
from billing.pages import Listing, Page
from billing.text import Dollars, Instant, Name
from pricing import money

T = TypeVar("T")

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


class NewRefund(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What takes back the top-up or adjustment of a `transaction`: all that is left of it, or `amount`."""

    transaction: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    amount: Dollars | None = None
    reason: Name
    reference: Name | None = None


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
    amount = amount_of(data.amount)
    if amount <= 0:
        raise refused_amount("A top-up must be more than zero; an adjustment can take away.")
    movement = Movement(account_id=account_id, kind="top_up", amount=amount, actor=principal.key_id, **_said(data))
    return await booked_once(request, pool, idempotency_key, PostingView, lambda conn: book(conn, movement))


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
    amount = amount_of(data.amount)
    if amount == 0:
        raise refused_amount("An adjustment of nothing changes nothing.")
    movement = Movement(account_id=account_id, kind="adjustment", amount=amount, actor=principal.key_id, **_said(data))
    return await booked_once(request, pool, idempotency_key, PostingView, lambda conn: book(conn, movement))


def _said(data: NewTopUp | NewAdjustment) -> dict[str, Any]:
    return {"effective_at": data.effective_at, "reference": data.reference, "reason": data.reason}


@post("/v1/accounts/{account_id:str}/refunds", guards=[requires("admin")], tags=["ledger"])
async def create_refund(
    request: StrictRequest,
    account_id: FromPath[str],
    data: JSONBody[NewRefund],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    idempotency_key: IdempotencyKey = None,
) -> PostingView:
    """Take back a top-up or an adjustment, in whole or in part, by a posting that names it.

    Never more than is left of it; of a top-up never more than the wallet holds. What remains of a grant is taken back
    by voiding it.
    """
    amount = None if data.amount is None else amount_of(data.amount)
    if amount is not None and amount <= 0:
        raise refused_amount("A refund must be more than zero.")
    asked = Refund(
        account_id=account_id,
        transaction=data.transaction,
        amount=amount,
        reference=data.reference,
        reason=data.reason,
        actor=principal.key_id,
    )
    return await booked_once(request, pool, idempotency_key, PostingView, lambda conn: refund(conn, asked))


async def booked_once(request: StrictRequest, pool: Pool, key: str | None, kind: type[T], work: Work[T]) -> T:
    """The answer to a request that moves money: sent again with the same Idempotency-Key, it is the first one."""
    target = "?".join(filter(None, (request.url.path, request.url.query)))
    asked = f"{request.method} {target}\n".encode() + await request.body()
    return await idempotency.once(pool, actor=request.auth.key_id, key=key, request=asked, kind=kind, work=work)


def amount_of(text: str) -> int:
    """Dollars in picodollars. Raises Invalid."""
    try:
        return money.parse(text)
    except money.MoneyError as error:
        raise refused_amount(str(error)) from None


def refused_amount(detail: str) -> Invalid:
    return Invalid("invalid_amount", detail, (Fault("invalid_amount", detail, "$.amount"),))


@get("/v1/postings", guards=[requires("customer", "admin")], tags=["ledger"])
async def list_postings(
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    page: NamedDependency[Page],
    account: FromQuery[str | None] = None,
) -> Listing[PostingView]:
    """The journal of an account, newest first. What upstreams take is shown to admins only."""
    account_id = principal.account(account)
    async with pool.connection() as conn:
        await get_account(conn, account_id)
        found, more = await journal(conn, account_id, page, costs=principal.account_id is None)
    return Listing(url="/v1/postings", has_more=more, data=found)


router = Router("/", route_handlers=[create_top_up, create_adjustment, create_refund, list_postings])
