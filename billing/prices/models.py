"""GET /v1/models: the names that are priced, in OpenAI's shape, so that chat apps can offer them."""

import re
from datetime import UTC, datetime
from typing import Literal

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from billing.errors import Fault, NotFound
from billing.http import requires
from billing.prices import envelope
from billing.prices.catalogue import last_change, offered
from billing.prices.kept import kept
from pricing.book import Book
from pricing.entries import BEGINNING

ANY_KEY = requires("customer", "gateway", "admin")
REFUSED = {401: ResponseSpec(envelope.Envelope, generate_examples=False, description="The key is not accepted.")}
SNAPSHOT = re.compile(r"-(20\d\d-\d\d-\d\d)$", re.ASCII)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """`created` is when the model's first dated price began, in Unix seconds; 0 when that is not established."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "openai"


class Models(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[Model]


@get("/v1/models", guards=[ANY_KEY], tags=["prices"], responses=REFUSED)
async def list_models(book: NamedDependency[Book]) -> Models:
    """Every model with a price, also those OpenAI has shut down: other upstreams serve some of them still."""
    return Models(data=list(_models(book, last_change(book, datetime.now(UTC))).values()))


@get("/v1/models/{model:path}", guards=[ANY_KEY], tags=["prices"], responses=REFUSED)
async def one_model(model: FromPath[str], book: NamedDependency[Book]) -> Model:
    """One model, by any of its names."""
    name = model.removeprefix("/")
    card = book.card(name)
    models = _models(book, last_change(book, datetime.now(UTC)))
    if card is None or card.name not in models:
        near = book.nearest(name)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        sentence = f"The model `{name[:100]}` does not exist or has no price here.{hint}"
        raise NotFound("model_not_found", sentence, (Fault("model_not_found", sentence, "model"),))
    return models[card.name]


@kept
def _models(book: Book, since: datetime) -> dict[str, Model]:
    return {name: Model(id=name, created=_created(book, name)) for name in offered(book, since)}


def _created(book: Book, name: str) -> int:
    """The first day that the book, an alias or the name of the snapshot itself gives."""
    priced = (entry.since for entry in book.entries() if entry.key[0] == name)
    named = (alias.since for alias in book.aliases if name in (alias.alias, alias.model) and alias.kind == "snapshot")
    dated = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in SNAPSHOT.findall(name))
    known = {*priced, *named, *dated} - {BEGINNING}
    return int(min(known).timestamp()) if known else 0


router = Router("/", route_handlers=[list_models, one_model], exception_handlers={Exception: envelope.answer})
