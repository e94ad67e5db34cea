"""What is done with endpoints: made, changed, given a new secret, taken away. Each act is in the audit log."""

from collections.abc import Sequence
from datetime import datetime

import httpx
import msgspec

from billing import ids
from billing.audit import log as audit
from billing.db.pool import Connection
from billing.settings import Settings
from billing.webhooks import signing, store
from billing.webhooks.addresses import check_url
from billing.webhooks.store import Endpoint


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint and its secret, which is shown this once."""

    webhook: Endpoint
    secret: str

    def __repr__(self) -> str:
        return f"Issued({self.webhook.id!r})"


async def create(
    conn: Connection,
    settings: Settings,
    *,
    owner: str | None,
    account: str | None,
    url: str,
    types: Sequence[str] | None,
) -> Issued:
    """What is the operator's (`owner` None) may be told of any account or of all, others of their own only.

    Raises Invalid for an URL that nothing may be sent to, NotFound for an unknown account, Unprocessable for too
    many endpoints."""
    check_url(url, private=settings.webhook_private)
    secret = signing.new_secret()
    async with conn.transaction():
        await store.check_room(conn, owner, account, settings.webhooks_max)
        made = await store.create(
            conn, endpoint_id=ids.new("we"), owner=owner, account=account, url=url, types=types, secret=secret
        )
        await _record(conn, "webhook.create", made, types=types, host=httpx.URL(url).host)
    return Issued(webhook=made, secret=signing.shown(secret))


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change of an endpoint; what is UNSET stays. `types` None: all."""

    url: str | msgspec.UnsetType = msgspec.UNSET
    types: Sequence[str] | msgspec.UnsetType | None = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET


async def change(
    conn: Connection, settings: Settings, endpoint_id: str, owner: str | None, changes: Changes
) -> Endpoint:
    """Raises NotFound, and Invalid as `create` does."""
    host: str | msgspec.UnsetType = msgspec.UNSET
    if changes.url is not msgspec.UNSET:
        check_url(changes.url, private=settings.webhook_private)
        host = httpx.URL(changes.url).host
    async with conn.transaction():
        await store.find(conn, endpoint_id, owner)
        await store.change(conn, endpoint_id, url=changes.url, types=changes.types, disabled=changes.disabled)
        changed = await store.find(conn, endpoint_id, owner)
        await _record(conn, "webhook.change", changed, types=changes.types, host=host, disabled=changes.disabled)
    return changed


async def rotate(conn: Connection, settings: Settings, endpoint_id: str, owner: str | None) -> Issued:
    """A new secret; the one before it signs, too, for a while. Raises NotFound."""
    secret = signing.new_secret()
    async with conn.transaction():
        await store.find(conn, endpoint_id, owner)
        await store.rotate(conn, endpoint_id, secret, settings.webhook_rotation_hours)
        rotated = await store.find(conn, endpoint_id, owner)
        await _record(conn, "webhook.rotate", rotated)
    return Issued(webhook=rotated, secret=signing.shown(secret))


async def replay(
    conn: Connection,
    settings: Settings,
    endpoint_id: str,
    owner: str | None,
    *,
    since: datetime | None,
    message: str | None,
) -> int:
    """Have messages sent once more, as `store.replay` does; how many. Raises NotFound, Conflict, and TooMany, which the
    operator is spared."""
    async with conn.transaction():
        endpoint = await store.find(conn, endpoint_id, owner)
        if owner is not None:
            await store.check_replays(conn, owner, audit.actor.get(), settings.webhook_replays_max)
        many = await store.replay(conn, endpoint, since=since, message=message)
        await _record(conn, "webhook.replay", endpoint, since=since, message=message)
    return many


async def delete(conn: Connection, endpoint_id: str, owner: str | None) -> Endpoint:
    """Take it away with all that was to be delivered to it. Raises NotFound."""
    async with conn.transaction():
        gone = await store.find(conn, endpoint_id, owner)
        await store.delete(conn, endpoint_id)
        await _record(conn, "webhook.delete", gone)
    return gone


async def _record(conn: Connection, action: str, endpoint: Endpoint, **details: object) -> None:
    """Not the URL: its path may be a secret."""
    await audit.record(conn, action, account=endpoint.account, subject=endpoint.id, **details)
