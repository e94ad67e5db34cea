"""Our prices for other relays to sync: GET /api/pricing and /api/ratio_config, as new-api answers them.

A relay that buys here reads them as its cost, so they are our prices, official × multiplier, and the only group has
the ratio 1 (docs/decisions/0020-relay-sync.md).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from billing.http import StrictRequest
from billing.prices.catalogue import last_change, offered
from billing.prices.documents import Document, document, respond
from billing.prices.kept import kept
from billing.prices.kinds import Kind, kind_of
from billing.prices.ratios import Ratios, ratios
from billing.settings import Settings
from pricing.book import Book
from pricing.rating import price_list

GROUP = "default"
BY_TOKENS, BY_CALL = 0, 1
"""new-api's `quota_type`."""

ENDPOINTS: dict[Kind, str] = {"text": "openai", "image": "image-generation", "embedding": "embeddings"}
PATHS = {
    "openai": "/v1/chat/completions",
    "image-generation": "/v1/images/generations",
    "embeddings": "/v1/embeddings",
}
SYNCED = {200: ResponseSpec(dict[str, Any], generate_examples=False, description="Our prices as ratios.")}


@get("/api/pricing", tags=["prices"], responses=SYNCED)
async def pricing(
    request: StrictRequest, book: NamedDependency[Book], settings: NamedDependency[Settings]
) -> Response[bytes]:
    """Our prices in new-api's shape: one item a model. Needs no key."""
    return respond(request, _document(book, settings.multiplier, _today(book), items))


@get("/api/ratio_config", tags=["prices"], responses=SYNCED)
async def ratio_config(
    request: StrictRequest, book: NamedDependency[Book], settings: NamedDependency[Settings]
) -> Response[bytes]:
    """Our prices in new-api's shape: one map of models for each ratio. Needs no key."""
    return respond(request, _document(book, settings.multiplier, _today(book), maps))


def items(sold: dict[str, tuple[Kind, Ratios]], version: str) -> dict[str, Any]:
    """What new-api answers at /api/pricing. It has every model's two ratios and price, 0 where they do not apply."""
    return {
        "success": True,
        "message": "",
        "data": [_item(name, kind, found) for name, (kind, found) in sold.items()],
        "vendors": [{"id": 1, "name": "OpenAI", "icon": "OpenAI"}],
        "group_ratio": {GROUP: 1},
        "usable_group": {GROUP: GROUP},
        "supported_endpoint": {name: {"path": path, "method": "POST"} for name, path in PATHS.items()},
        "auto_groups": [],
        "pricing_version": version,
    }


def _item(name: str, kind: Kind, found: Ratios) -> dict[str, Any]:
    return {
        "model_name": name,
        "vendor_id": 1,
        "quota_type": BY_TOKENS if found.model_price is None else BY_CALL,
        **dict.fromkeys(("model_ratio", "model_price", "completion_ratio"), 0),
        **said(found),
        "owner_by": "openai",
        "enable_groups": [GROUP],
        "supported_endpoint_types": [ENDPOINTS[kind]] if kind in ENDPOINTS else [],
    }


def maps(sold: dict[str, tuple[Kind, Ratios]], _version: str) -> dict[str, Any]:
    """What new-api answers at /api/ratio_config."""
    data: dict[str, dict[str, Any]] = {field: {} for field in Ratios.__struct_fields__}
    for name, (_, found) in sold.items():
        for field, value in said(found).items():
            data[field][name] = value
    return {"success": True, "message": "", "data": data}


def said(found: Ratios) -> dict[str, Any]:
    """The ratios there are, by name, as JSON numbers without an exponent."""
    values = msgspec.structs.asdict(found).items()
    return {field: msgspec.Raw(f"{value:f}".encode()) for field, value in values if value is not None}


@kept
def _document(book: Book, multiplier: str, since: datetime, shape: Callable[..., dict[str, Any]]) -> Document:
    sold: dict[str, tuple[Kind, Ratios]] = {}
    for name in offered(book, since):
        prices = price_list(book, name, at=since, multiplier=multiplier)
        found = ratios(prices)
        if found is not None:
            sold[name] = kind_of(name, {price.dimension for price in prices}), found
    return document(msgspec.json.encode(shape(sold, book.digest)), "application/json")


def _today(book: Book) -> datetime:
    return last_change(book, datetime.now(UTC))


router = Router("/", route_handlers=[pricing, ratio_config])
