"""Webhooks over HTTP: the operator's with an admin's key, a customer's own with theirs."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta

from billing.accounts.keys import Principal
from billing.db.pool import Pool
from billing.errors import Invalid
from billing.http import requires
from billing.outbox import MessageType
from billing.pages import Listing, Page
from billing.settings import Settings
from billing.text import AccountId
from billing.times import instant
from billing.webhooks import courier, endpoints, store
from billing.webhooks.addresses import URL_CHARACTERS_MAX
from billing.webhooks.endpoints import Changes, Issued
from billing.webhooks.messages import Attempt
from billing.webhooks.sending import Sender
from billing.webhooks.store import Delivery, Endpoint

URL = Annotated[str, Meta(min_length=1, max_length=URL_CHARACTERS_MAX)]
Types = Annotated[list[MessageType], Meta(min_length=1, max_length=20)]
OnlyState = Annotated[Literal["pending", "delivered", "failed"] | None, QueryParameter(name="state")]


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to send what. Without `types`: everything. An admin's without `account` is told of all accounts, and no
    customer sees it; a customer's is told of their own."""

    url: URL
    types: Types | None = None
    account: AccountId | None = None


class WebhookChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to change; what is not named stays. `types` null: everything."""

    url: URL | msgspec.UnsetType = msgspec.UNSET
    types: Types | msgspec.UnsetType | None = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages are on their way once more."""

    messages: int


@post("/v1/webhooks", guards=[requires("customer", "admin")], tags=["webhooks"])
async def create_webhook(
    data: JSONBody[NewWebhook],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    principal: NamedDependency[Principal],
) -> Issued:
    """Have messages sent to a URL, from now on. The secret that signs them is in this answer and nowhere else."""
    account = principal.owner(data.account)
    async with pool.connection() as conn:
        return await endpoints.create(
            conn, settings, owner=principal.account_id, account=account, url=data.url, types=data.types
        )


@get("/v1/webhooks", guards=[requires("customer", "admin")], tags=["webhooks"])
async def list_webhooks(
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    page: NamedDependency[Page],
    account: FromQuery[str | None] = None,
) -> Listing[Endpoint]:
    """Webhooks, newest first: a customer's own, or with an admin's key all, or those told of `account` only."""
    async with pool.connection() as conn:
        found, more = await store.listed(conn, principal.account_id, principal.owner(account), page)
    return Listing(url="/v1/webhooks", has_more=more, data=found)


@get("/v1/webhooks/{webhook_id:str}", guards=[requires("customer", "admin")], tags=["webhooks"])
async def get_webhook(
    webhook_id: FromPath[str], pool: NamedDependency[Pool], principal: NamedDependency[Principal]
) -> Endpoint:
    """One webhook, without its secret."""
    async with pool.connection() as conn:
        return await store.find(conn, webhook_id, principal.account_id)


@patch("/v1/webhooks/{webhook_id:str}", guards=[requires("customer", "admin")], tags=["webhooks"])
async def change_webhook(
    webhook_id: FromPath[str],
    data: JSONBody[WebhookChanges],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    principal: NamedDependency[Principal],
) -> Endpoint:
    """Change where messages go and which, stop them (`disabled`: true), or let them come again: what was still pending
    is delivered then; what happened meanwhile can be replayed."""
    changes = Changes(url=data.url, types=data.types, disabled=data.disabled)
    async with pool.connection() as conn:
        return await endpoints.change(conn, settings, webhook_id, principal.account_id, changes)


@delete("/v1/webhooks/{webhook_id:str}", guards=[requires("customer", "admin")], status_code=200, tags=["webhooks"])
async def delete_webhook(
    webhook_id: FromPath[str], pool: NamedDependency[Pool], principal: NamedDependency[Principal]
) -> Endpoint:
    """Take a webhook away, with all that was to be delivered to it."""
    async with pool.connection() as conn:
        return await endpoints.delete(conn, webhook_id, principal.account_id)


@post(
    "/v1/webhooks/{webhook_id:str}/rotate", guards=[requires("customer", "admin")], status_code=200, tags=["webhooks"]
)
async def rotate_secret(
    webhook_id: FromPath[str],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    principal: NamedDependency[Principal],
) -> Issued:
    """Give a webhook a new secret. Until `old_secret_ends_at` each message is signed with the old one, too."""
    async with pool.connection() as conn:
        return await endpoints.rotate(conn, settings, webhook_id, principal.account_id)


@post("/v1/webhooks/{webhook_id:str}/test", guards=[requires("customer", "admin")], status_code=200, tags=["webhooks"])
async def test_webhook(
    webhook_id: FromPath[str],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    sender: NamedDependency[Sender],
    principal: NamedDependency[Principal],
) -> Attempt:
    """Send a message of type `webhook.test` now, once, and say what came of it: delivered when `reason` is null."""
    return await courier.test(pool, settings, sender, webhook_id, principal.account_id)


@post(
    "/v1/webhooks/{webhook_id:str}/replay", guards=[requires("customer", "admin")], status_code=200, tags=["webhooks"]
)
async def replay_messages(
    webhook_id: FromPath[str],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    principal: NamedDependency[Principal],
    since: FromQuery[str | None] = None,
    message: FromQuery[str | None] = None,
) -> Replayed:
    """Send messages once more under the same ids, delivered or not: all `since` a day (UTC) or an instant, those from
    before the webhook was made included, or one `message`. Those that come within five minutes anyway are left to
    it."""
    at = instant(since, ZoneInfo("UTC"), "since")
    if (at is None) == (message is None):
        raise Invalid("missing_parameter", "Say what to replay: ?since=2026-11-01 or ?message=msg_…")
    async with pool.connection() as conn:
        many = await endpoints.replay(conn, settings, webhook_id, principal.account_id, since=at, message=message)
    return Replayed(messages=many)


@get("/v1/webhooks/{webhook_id:str}/deliveries", guards=[requires("customer", "admin")], tags=["webhooks"])
async def list_deliveries(
    webhook_id: FromPath[str],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    page: NamedDependency[Page],
    only: OnlyState = None,
) -> Listing[Delivery]:
    """What became of each message at a webhook, with its attempts; newest first."""
    async with pool.connection() as conn:
        await store.find(conn, webhook_id, principal.account_id)
        found, more = await store.deliveries(conn, webhook_id, only, page)
    return Listing(url=f"/v1/webhooks/{webhook_id}/deliveries", has_more=more, data=found)


router = Router(
    "/",
    route_handlers=[
        create_webhook,
        list_webhooks,
        get_webhook,
        change_webhook,
        delete_webhook,
        rotate_secret,
        test_webhook,
        replay_messages,
        list_deliveries,
    ],
)
