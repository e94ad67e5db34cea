"""Whoever stops reading in the middle of an export keeps nothing of the service."""

import asyncio

import msgspec
import pytest

from billing.accounts import keys
from billing.app import create_app
from billing.invoices.close import close_month
from billing.invoices.exports import month as months
from billing.invoices.exports.writing import Export
from tests.invoices.conftest import Relay

pytestmark = pytest.mark.anyio


async def test_a_reader_holds_no_connection_and_who_leaves_frees_all(
    own_relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        account = await own_relay.account()
        await own_relay.use(account, "2026-09-10T10:00Z")
    await close_month(own_relay.pool, own_relay.settings, "2026-09")
    monkeypatch.setattr(months, "LINES_MAX", 1)
    async with own_relay.pool.connection() as conn:
        month = await months.find(conn, "2026-09")
    made = Export(own_relay.pool, month, "ndjson")
    with made.manifest:
        sent = made.stream()
        await anext(sent)
        stats = own_relay.pool.get_stats()
        assert stats["pool_available"] == stats["pool_size"]
        await sent.aclose()


async def test_a_client_that_disconnects_ends_the_export(
    own_relay: Relay, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the server says it: after the first part the client is gone, and nothing more is read."""
    for _ in range(6):
        account = await own_relay.account()
        await own_relay.use(account, "2026-09-10T10:00Z")
    await close_month(own_relay.pool, own_relay.settings, "2026-09")
    monkeypatch.setattr(months, "LINES_MAX", 1)
    app = create_app(msgspec.structs.replace(own_relay.settings, database_url=fresh_database))
    gone, sent = asyncio.Event(), []

    async def receive() -> dict[str, object]:
        if not sent:
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            gone.set()
            await asyncio.sleep(0)

    headers = [(b"authorization", f"Bearer {own_relay.settings.admin_key}".encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/v1/periods/2026-09/export",
        "raw_path": b"/v1/periods/2026-09/export",
        "root_path": "",
        "scheme": "http",
        "query_string": b"format=ndjson",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    async with app.lifespan(), app.state.pool.connection() as conn:
        await keys.bootstrap(conn, own_relay.settings.admin_key)
        await app(scope, receive, send)
    parts = [message for message in sent if message["type"] == "http.response.body"]
    assert 1 <= len(parts) < 6
    assert sent[0]["status"] == 200
