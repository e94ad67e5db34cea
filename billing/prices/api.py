"""Prices over HTTP: what everything costs, and what one request would cost."""

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from billing.errors import Fault, Invalid, NotFound, Unprocessable
from billing.http import requires
from billing.metering.events import Name, usage_path
from billing.pages import Listing
from billing.prices.catalogue import ANY_MODEL, PriceView, prices
from billing.settings import Settings
from billing.times import instant
from pricing.book import Book
from pricing.errors import Unpriced, UsageError
from pricing.rating import rate_request
from pricing.usage import read

Instant = Annotated[datetime, Meta(tz=True)]


class QuoteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request whose price is asked for: the model, its usage in any spelling, and when (now, if not said)."""

    model: Name
    usage: msgspec.Raw
    served_model: Name | None = None
    at: Instant | None = None
    service_tier: Name | None = None
    batch: bool = False


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


@get("/v1/prices", tags=["prices"])
async def list_prices(
    book: NamedDependency[Book], settings: NamedDependency[Settings], at: FromQuery[str | None] = None
) -> Listing[PriceView]:
    """Every price in force now, or at an instant. Needs no key."""
    found = prices(book, [*book.models, ANY_MODEL], _at(at), settings.multiplier)
    return Listing(url="/v1/prices", has_more=False, data=found)


@get("/v1/prices/{model:path}", tags=["prices"])
async def model_prices(
    model: FromPath[str],
    book: NamedDependency[Book],
    settings: NamedDependency[Settings],
    at: FromQuery[str | None] = None,
) -> Listing[PriceView]:
    """The prices of one model, by any of its names, now or at an instant. Needs no key."""
    name = model.removeprefix("/")
    try:
        found = prices(book, [name], _at(at), settings.multiplier)
    except Unpriced as fault:
        raise NotFound("unknown_model", str(fault)) from None
    return Listing(url=f"/v1/prices/{name}", has_more=False, data=found)


@post("/v1/quote", guards=[requires("gateway", "customer", "admin")], status_code=200, tags=["prices"])
async def quote(
    data: JSONBody[QuoteRequest], book: NamedDependency[Book], settings: NamedDependency[Settings]
) -> Quote:
    """What a request would cost, explained line by line; nothing is booked."""
    try:
        usage = read(data.usage)
        charge = rate_request(
            book,
            usage,
            model=data.model,
            at=data.at or datetime.now(UTC),
            served_model=data.served_model,
            service_tier=data.service_tier,
            batch=data.batch,
            multiplier=settings.multiplier,
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
