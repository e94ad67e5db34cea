"""Authorisations over HTTP: may this customer spend this much? If so, it is set aside until the usage is posted."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any

import msgspec
from litestar import Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta

from billing import ids
from billing.accounts.keys import hash_of
from billing.accounts.networks import address
from billing.db.pool import Connection, Pool
from billing.errors import Conflict, Fault, Invalid, NotFound
from billing.holds import estimates, store
from billing.holds.authorizer import Authorizer
from billing.holds.rules import Asked, Hold, Price
from billing.holds.rules import State as HoldState
from billing.http import requires
from billing.pages import Listing, Page
from billing.settings import Settings, environment_name
from billing.text import END, Name, Sha256
from billing.text import Price as Dollars
from billing.tokens.api import calculator
from billing.tokens.calculator import examine
from billing.tokens.questions import OUTPUT_TOKENS_MAX, Question
from pricing import money

HoldId = Annotated[str, Meta(pattern=f"^[A-Za-z0-9][A-Za-z0-9._:-]{{0,199}}{END}")]
"""An id of the caller's own, such as his name of the request. It can stand in a path as it is."""
InState = Annotated[HoldState | None, QueryParameter(name="state", description="Those in this state only.")]
Tokens = Annotated[int, Meta(ge=0, le=OUTPUT_TOKENS_MAX)]


class Estimate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The most a request can use: its `input_tokens`, its `usage` in any spelling, or the `request` itself, whose
    tokens are counted. `max_output_tokens` bounds the answer where the request does not."""

    input_tokens: Tokens | None = None
    usage: dict[str, Any] | None = None
    request: dict[str, Any] | None = None
    max_output_tokens: Tokens | None = None
    service_tier: Name | None = None
    batch: bool = False
    __repr__ = object.__repr__  # holds text

    def __post_init__(self) -> None:
        if (self.input_tokens is None) + (self.usage is None) + (self.request is None) != 2:
            raise ValueError("Give one of `input_tokens`, `usage` and `request`")


class NewAuthorization(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who wants to spend, on which model, and how much at most. Sent again with an `id` of your own, it is the same."""

    account: Name | None = None
    api_key: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    api_key_hash: Sha256 | None = None
    model: Name
    max_cost: Dollars | None = None
    estimate: Estimate | None = None
    expires_in: Annotated[int, Meta(ge=1, description="Seconds.")] | None = None
    ip: Name | None = None
    id: HoldId | None = None
    __repr__ = object.__repr__  # holds a key

    def __post_init__(self) -> None:
        if (self.account is None) + (self.api_key is None) + (self.api_key_hash is None) != 2:
            raise ValueError("Exactly one of `account`, `api_key` and `api_key_hash` says who wants to spend")
        if (self.max_cost is None) == (self.estimate is None):
            raise ValueError("Give either `max_cost` or `estimate`")

    def owner(self) -> str | bytes:
        if self.account is not None:
            return self.account
        return hash_of(self.api_key) if self.api_key is not None else bytes.fromhex(self.api_key_hash or "")


class CapturedBy(msgspec.Struct, frozen=True):
    """The usage event that captured a hold."""

    source: str
    id: str


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """What is set aside, in dollars, while it is `open`. `event` is the usage that captured it."""

    id: str
    account: str
    key: str | None
    model: str
    amount: str
    state: HoldState
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    event: CapturedBy | None


class Granted(Authorization, frozen=True, kw_only=True):
    """An authorization, and what is left `available` to the account."""

    available: str


def _told(hold: Hold) -> dict[str, Any]:
    return {
        "id": hold.id,
        "account": hold.account_id,
        "key": hold.key_id,
        "model": hold.model,
        "amount": money.format(hold.amount),
        "state": hold.state,
        "created_at": hold.created_at,
        "expires_at": hold.expires_at,
        "ended_at": hold.ended_at,
        "event": CapturedBy(*hold.event) if hold.event else None,
    }


@post("/v1/authorizations", guards=[requires("gateway", "admin")], tags=["authorizations"])
async def authorize(data: JSONBody[NewAuthorization], state: State) -> Granted:
    """Ask whether a customer may spend this much, and set it aside if so.

    The usage event that names the `id` (`authorization`) captures it: the whole charge is posted, and what was set
    aside is free again. A request that came to nothing is released; what is neither is free again when it expires.
    """
    settings: Settings = state.settings
    authorizer: Authorizer = state.authorizer
    asked = Asked(
        owner=data.owner(),
        model=data.model,
        price=await _price(data, state),
        max_cost=None if data.max_cost is None else money.parse(data.max_cost),
        seconds=_seconds(data.expires_in, settings),
        ip=address(data.ip, "$.ip") if data.ip is not None else None,
        id=data.id,
        new_id=data.id or ids.new("auth"),
    )
    granted = await authorizer.authorize(asked)
    return Granted(**_told(granted.hold), available=money.format(granted.available))


async def _price(data: NewAuthorization, state: State) -> Price:
    estimate = data.estimate
    if estimate is None:
        return estimates.exactly(money.parse(data.max_cost or "0"))
    if estimate.request is not None:
        output = estimates.output_most(data.model, estimate.request, estimate.max_output_tokens)
        question = Question(model=data.model, request=estimate.request)
        found = await calculator(state).run(partial(examine, question))
        return estimates.of_request(data.model, estimate.request, found.counted, output)
    report = estimate.usage
    if report is None:
        output = estimates.output_most(data.model, {}, estimate.max_output_tokens)
        report = {"prompt_tokens": estimate.input_tokens, "completion_tokens": output or 0}
    usage = estimates.usage_of(report)
    return estimates.of_usage(data.model, usage, service_tier=estimate.service_tier, batch=estimate.batch)


def _seconds(given: int | None, settings: Settings) -> int:
    most = settings.authorization_seconds_max
    if given is None:
        return min(settings.authorization_seconds, most)
    if given > most:
        detail = f"An authorization lasts at most {most} seconds ({environment_name('authorization_seconds_max')})."
        raise Invalid("too_long", detail, (Fault("too_long", detail, "$.expires_in"),))
    return given


@get("/v1/authorizations/{hold_id:str}", guards=[requires("gateway", "admin")], tags=["authorizations"])
async def get_authorization(
    hold_id: FromPath[str], pool: NamedDependency[Pool], account: FromQuery[str | None] = None
) -> Authorization:
    """One authorization, as it is now."""
    async with pool.connection() as conn:
        return Authorization(**_told(await _found(conn, hold_id, account)))


@post(
    "/v1/authorizations/{hold_id:str}/release",
    guards=[requires("gateway", "admin")],
    status_code=200,
    tags=["authorizations"],
)
async def release_authorization(
    hold_id: FromPath[str], pool: NamedDependency[Pool], account: FromQuery[str | None] = None
) -> Authorization:
    """Give back what was set aside for a request that came to nothing. One that has ended stays as it is (`state`)."""
    async with pool.connection() as conn:
        hold = await _found(conn, hold_id, account)
        await store.end(conn, [(hold.account_id, hold.id)])
        return Authorization(**_told(await _found(conn, hold.id, hold.account_id)))


async def _found(conn: Connection, hold_id: str, account: str | None) -> Hold:
    found = await store.find(conn, hold_id, account)
    if not found:
        raise NotFound("unknown_authorization", f"There is no authorization {hold_id[:200]}.")
    if len(found) > 1:
        sentence = f"More than one account has an authorization {hold_id}: add ?account=."
        raise Conflict("ambiguous_authorization", sentence)
    return found[0]


@get("/v1/authorizations", guards=[requires("gateway", "admin")], tags=["authorizations"])
async def list_authorizations(
    pool: NamedDependency[Pool],
    account: FromQuery[str],
    page: NamedDependency[Page],
    in_state: InState = None,
) -> Listing[Authorization]:
    """An account's authorizations in the order of their ids: of those whose ids are ours, the newest first."""
    async with pool.connection() as conn:
        found, more = await store.listed(conn, account, in_state, page)
    return Listing(url="/v1/authorizations", has_more=more, data=[Authorization(**_told(hold)) for hold in found])


router = Router("/", route_handlers=[authorize, get_authorization, release_authorization, list_authorizations])
