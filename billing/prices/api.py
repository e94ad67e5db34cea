"""Prices over HTTP: what everything costs, and what one request would cost."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody

from billing.accounts.keys import Principal
from billing.errors import Fault, Invalid, NotFound, Unprocessable
from billing.http import StrictRequest, requires
from billing.metering.events import usage_path
from billing.pages import Listing
from billing.prices.catalogue import PriceView, last_change, prices
from billing.prices.documents import respond
from billing.prices.keeper import TermsKeeper
from billing.prices.lists import Form, everything, listing
from billing.settings import Settings
from billing.text import Instant, Name
from billing.times import instant
from pricing.book import Book
from pricing.errors import Unpriced, UsageError
from pricing.rating import rate_request
from pricing.usage import read

LISTED = {200: ResponseSpec(Listing[PriceView], generate_examples=False, description="The prices.")}


class QuoteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request whose price is asked for: the model, its usage in any spelling, and when (now, if not said).

    At the terms of the customer whose key it is, of `account`, or else the standard ones.
    """

    model: Name
    usage: msgspec.Raw
    served_model: Name | None = None
    at: Instant | None = None
    service_tier: Name | None = None
    batch: bool = False
    account: Name | None = None


class QuoteLine(msgspec.Struct, frozen=True, kw_only=True):
    """quantity ÷ unit_size × official_unit_price × multiplier = amount, in dollars."""

    dimension: str
    variant: str
    quantity: int
    unit: str
    unit_size: int
    official_unit_price: str
    multiplier: str
    amount: str
    entry: str
    source: str


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What a request would cost, line by line. Nothing is booked. `book` is the digest of the price book."""

    amount: str
    currency: str
    model: str
    lines: list[QuoteLine]
    book: str


@get("/v1/prices", tags=["prices"], responses=LISTED)
async def list_prices(
    request: StrictRequest,
    book: NamedDependency[Book],
    settings: NamedDependency[Settings],
    at: FromQuery[str | None] = None,
    format: FromQuery[Form] = "json",
) -> Response[bytes]:
    """Every price in force now, or at an instant, as JSON or CSV. Needs no key."""
    return respond(request, everything(book, settings.multiplier, last_change(book, _at(at)), format))


@get("/v1/prices/{model:path}", tags=["prices"], responses=LISTED)
async def model_prices(
    request: StrictRequest,
    model: FromPath[str],
    book: NamedDependency[Book],
    settings: NamedDependency[Settings],
    at: FromQuery[str | None] = None,
    format: FromQuery[Form] = "json",
) -> Response[bytes]:
    """The prices of one model, by any of its names, now or at an instant, as JSON or CSV. Needs no key."""
    name = model.removeprefix("/")
    try:
        found = prices(book, [name], _at(at), settings.multiplier)
    except Unpriced as fault:
        raise NotFound("unknown_model", str(fault)) from None
    return respond(request, listing(found, f"/v1/prices/{name}", format))


@post("/v1/quote", guards=[requires("gateway", "customer", "admin")], status_code=200, tags=["prices"])
async def quote(
    data: JSONBody[QuoteRequest], terms: NamedDependency[TermsKeeper], principal: NamedDependency[Principal]
) -> Quote:
    """What a request would cost, explained line by line; nothing is booked."""
    at = data.at or datetime.now(UTC)
    account = principal.owner(data.account)
    agreed = terms.current.of(account or "", at)
    try:
        usage = read(data.usage)
        charge = rate_request(
            agreed.book,
            usage,
            model=data.model,
            at=at,
            served_model=data.served_model,
            service_tier=data.service_tier,
            batch=data.batch,
            multiplier=agreed.multiplier,
        )
    except UsageError as fault:
        faults = (Fault("invalid_usage", fault.detail, usage_path(fault)),)
        raise Invalid("invalid_usage", f"The usage is not acceptable: {fault.detail}", faults) from None
    except Unpriced as fault:
        near = tuple(Fault("nearest_model", name, "$.model") for name in fault.nearest)
        raise Unprocessable("unpriced", str(fault), near) from None
    return msgspec.convert(charge.as_dict(), Quote)


def _at(at: str | None) -> datetime:
    return instant(at, ZoneInfo("UTC"), "at") or datetime.now(UTC)


router = Router("/", route_handlers=[list_prices, model_prices, quote])
