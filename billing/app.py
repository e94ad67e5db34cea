"""The composition root: the only room that knows every other."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ASGIApp, ControllerRouterHandler

from billing import chores, docs_page, health, observe
from billing.accounts import api as accounts
from billing.audit import api as audit
from billing.credits import api as credits
from billing.credits import current
from billing.db import partitions
from billing.db.pool import Pool, open_pool
from billing.gather import Bounds
from billing.holds import api as holds
from billing.holds.authorizer import Authorizer
from billing.http import StrictRequest, door, page, principal
from billing.invoices import api as invoices
from billing.invoices import drafts_api as drafts
from billing.invoices import taxes_api as taxes
from billing.invoices.exports import api as exports
from billing.invoices.settlement import api as settlement
from billing.ledger import api as ledger
from billing.metering import api as metering
from billing.metering.intake import Intake
from billing.observe.middleware import Observed
from billing.prices import api as prices
from billing.prices import models, relays
from billing.prices import pages as price_pages
from billing.prices import terms_api as prices_terms
from billing.prices.keeper import TermsKeeper
from billing.problems import answer
from billing.reports import api as reports
from billing.settings import Settings, SettingsError, load
from billing.tokens import pages as tokens
from billing.webhooks import api as webhooks
from billing.webhooks.sending import Sender
from pricing.book import Book

ROUTES: Sequence[ControllerRouterHandler] = [
    docs_page.home,
    *health.handlers,
    accounts.router,
    audit.router,
    ledger.router,
    credits.router,
    metering.router,
    holds.router,
    prices.router,
    prices_terms.router,
    models.router,
    relays.router,
    price_pages.router,
    tokens.router,
    invoices.router,
    exports.router,
    drafts.router,
    taxes.router,
    settlement.router,
    reports.router,
    webhooks.router,
]


def create_app(settings: Settings | None = None) -> Litestar:
    """The service. Without settings it reads them from the environment, as each worker of `billing serve` does."""
    settings = settings or load(os.environ)
    if settings.database_url is None:
        raise SettingsError("The app needs BILLING_DATABASE_URL; `billing serve` starts a database when there is none.")
    observe.configure_logging(settings.log_level)
    app = Litestar(
        ROUTES,
        request_class=StrictRequest,
        request_max_body_size=settings.body_bytes_max,
        exception_handlers={Exception: answer},
        dependencies=provided(),
        state=State({"settings": settings, "terms": TermsKeeper.by(settings)}),
        lifespan=[running],
        openapi_config=docs_page.config(metering.BODIES),
        logging_config=None,
    )
    app.asgi_handler = cast("ASGIApp", Observed(app.asgi_handler))  # around everything, also what no route takes
    return app


@asynccontextmanager
async def running(app: Litestar) -> AsyncIterator[None]:
    """What lives as long as the service: the pool, what gathers requests for it, the intake, the chores."""
    state = app.state
    settings: Settings = state.settings
    sending = Sender.opened(settings.webhook_seconds_max, private=settings.webhook_private)
    async with await open_pool(settings, state.settings.database_url) as state.pool, sending as state.sender:
        bounds = Bounds(settings.waiting_max, settings.pool_wait_seconds_max)
        state.door = door(state.pool, bounds)
        state.balances = current.gathered(state.pool, bounds)
        state.authorizer = Authorizer(state.pool, state.terms, bounds)
        state.intake = Intake(state.pool, state.terms, settings)
        await partitions.tend(state.pool)
        housekeeping = asyncio.create_task(chores.keep_house(state.pool, state.terms, settings, state.sender))
        try:
            yield
        finally:
            await chores.end(housekeeping)
            await state.intake.close()


def settings(state: State) -> Settings:
    return state.settings  # type: ignore[no-any-return]


def pool(state: State) -> Pool:
    return state.pool  # type: ignore[no-any-return]


def sender(state: State) -> Sender:
    return state.sender  # type: ignore[no-any-return]


def price_book(state: State) -> Book:
    return state.terms.current.standard.book  # type: ignore[no-any-return]


def terms(state: State) -> TermsKeeper:
    return state.terms  # type: ignore[no-any-return]


def intake(state: State) -> Intake:
    return state.intake  # type: ignore[no-any-return]


# What handlers may ask for by name. The second one costs a request 80 µs, so the hottest take `state: State` instead.
DEPENDENCIES: dict[str, Callable[..., Any]] = {
    "settings": settings,
    "pool": pool,
    "sender": sender,
    "book": price_book,
    "terms": terms,
    "intake": intake,
    "principal": principal,
    "page": page,
}


def provided() -> dict[str, Provide]:
    """The dependencies, as Litestar takes them."""
    return {name: Provide(provide, sync_to_thread=False) for name, provide in DEPENDENCIES.items()}
