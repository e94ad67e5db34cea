"""A month with credit notes and replacements: its tables, its manifest and the ledger come to the same."""

import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest

from billing.accounts import keys
from billing.app import create_app
from billing.invoices.exports import month as months
from billing.invoices.periods import label_of
from tests.invoices.conftest import Relay, differences
from tests.invoices.exports.test_export import export
from tests.invoices.settlement.conftest import Bookkeeper, taxed
from tests.serving import ADMIN_KEY

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)
USED_AT = NOW - timedelta(minutes=40)
ZONES = ("UTC", "Asia/Shanghai", "America/New_York")
TAXES = (None, ("19", False), ("7", True))
BOOKS = ("revenue", "rounding", "taxes")


@pytest.fixture
async def books(own_relay: Relay, fresh_database: str) -> AsyncIterator[Bookkeeper]:
    app = create_app(msgspec.structs.replace(own_relay.settings, database_url=fresh_database))
    transport = httpx.ASGITransport(app)
    async with (
        app.lifespan(),
        app.state.pool.connection() as conn,
        httpx.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        await keys.bootstrap(conn, ADMIN_KEY)
        client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        yield Bookkeeper(client)


async def business(relay: Relay, books: Bookkeeper) -> None:
    """Months of three accounts: used, paid, corrected late, credited by line and whole, paid out, replaced; taxes."""
    for zone, tax in zip(ZONES, TAXES, strict=True):
        account = await relay.account(zone)
        if tax:
            await taxed(relay.pool, account, tax[0], inclusive=tax[1])
        await relay.move(account, "20", "2026-09-02T00:00Z")
        await relay.use(account, "2026-09-10T10:00Z", "2026-09-11T10:00Z", tokens=(1_234_567, 89_012))
        september = await relay.invoiced("2026-09", account)
        await relay.use(account, "2026-09-12T10:00Z", "2026-10-12T10:00Z", tokens=(345_678, 9_012))
        await relay.use(account, "2026-10-13T10:00Z", model="gpt-3.5-turbo", tokens=(12_345, 678))
        october = await relay.invoiced("2026-10", account)
        assert any(line.correction_of for line in october.lines)
        parts = [{"position": 1, "amount": "1.23"}, {"position": 2, "quantity": 10_000}]
        await books.done(f"invoices/{september.id}/credit-notes", reason="outage", lines=parts)
        await books.done(f"invoices/{september.id}/payments", reference=account)
        again = [{"position": 1, "amount": "2"}]
        await books.done(f"invoices/{september.id}/credit-notes", reason="goodwill", lines=again, refund=True)
        new = await books.done(f"invoices/{october.id}/replace", reason="address")
        if zone != "UTC":
            await books.done(f"invoices/{new['id']}/void", reason="all wrong")


async def closed_early(relay: Relay) -> None:
    """An account that used something this month, and whose period is over because it was closed."""
    account = await relay.account()
    await relay.use(account, USED_AT.isoformat(), tokens=(70_000, 3_000))
    async with relay.pool.connection() as conn:
        await conn.execute(
            "UPDATE accounts SET created_at = %s, closed_at = %s WHERE id = %s",
            [NOW - timedelta(days=1), NOW - timedelta(minutes=30), account],
        )
    await relay.invoiced(label_of(USED_AT, ZoneInfo("UTC")), account)


async def ledger(relay: Relay, label: str) -> dict[str, Decimal]:
    """What the books took in a calendar month by each account's clock: from all postings, whatever they are for."""
    async with relay.pool.connection() as conn:
        cursor = await conn.execute(
            """
            SELECT book, coalesce(sum(CASE book WHEN destination THEN amount WHEN source THEN -amount END), 0) AS taken
            FROM postings
            JOIN accounts ON accounts.id = account_id
            CROSS JOIN unnest(%s::text[]) AS book
            WHERE book IN (source, destination)
              AND to_char(effective_at AT TIME ZONE time_zone, 'YYYY-MM') = %s
            GROUP BY book
            """,
            [list(BOOKS), label],
        )
        return {row["book"]: row["taken"] for row in await cursor.fetchall()}


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def labels() -> list[str]:
    """The two months that are billed, and those in which everything is corrected now."""
    return sorted({"2026-09", "2026-10", *(label_of(at, ZoneInfo(zone)) for zone in ZONES for at in (NOW, USED_AT))})


async def test_every_table_comes_to_what_the_ledger_took(own_relay: Relay, books: Bookkeeper) -> None:
    await business(own_relay, books)
    await closed_early(own_relay)
    for label in labels():
        taken = await ledger(own_relay, label)
        text, manifest = await export(own_relay, "csv", label)
        assert manifest["ledger"]["agrees"] is True
        assert {book: Decimal(manifest["ledger"][book]) for book in taken} == taken
        net = {name: Decimal(amount) for name, amount in manifest["totals"]["net"].items()}
        assert net["total"] == sum(taken.values())
        assert net["tax"] + net["tax_included"] == taken.get("taxes", 0)

        records = table(text)
        for name in ("subtotal", "tax", "tax_included", "total"):
            assert sum(Decimal(row["amount"]) for row in records if row["record"] == name) == net[name]
        assert sum(Decimal(row["amount"]) for row in records if row["record"] == "line") == net["subtotal"]

        text, _ = await export(own_relay, "focus", label)
        rows = table(text)
        for names, category in ((("subtotal",), "Usage"), (("tax",), "Tax")):
            costs = sum(Decimal(row["EffectiveCost"]) for row in rows if row["ChargeCategory"] == category)
            assert costs == sum(net[name] for name in names)

        text, _ = await export(own_relay, "ndjson", label)
        shown = [json.loads(line) for line in text.splitlines()]
        signs = {"invoice": 1, "credit_note": -1}
        assert sum(signs[one["document"]] * Decimal(one["total"]) for one in shown) == net["total"]
        counts = (manifest["invoices"], manifest["credit_notes"])
        assert counts == tuple(sum(one["document"] == sort for one in shown) for sort in signs)
    async with own_relay.pool.connection() as conn:
        assert await differences(conn) == []


async def test_billed_costs_are_what_is_to_be_paid(own_relay: Relay, books: Bookkeeper) -> None:
    """Of all documents together: what invoices still ask for, and what was paid for them and not paid out."""
    await business(own_relay, books)
    billed = Decimal(0)
    for label in labels():
        rows = table((await export(own_relay, "focus", label))[0])
        billed += sum(Decimal(row["BilledCost"]) for row in rows if row["InvoiceId"])
        billed += sum(Decimal(row["BilledCost"]) for row in rows if not row["InvoiceId"])
    invoices = (await books.client.get("/v1/invoices?limit=100")).json()["data"]
    still = sum(Decimal(one["standing"]["open"]) + Decimal(one["standing"]["paid"]) for one in invoices)
    notes = (await books.client.get("/v1/credit-notes?limit=100")).json()["data"]
    out = sum(Decimal(one["total"]) for one in notes if one["settle"] == "refund")
    assert billed == 3 * 20 + still - out


async def test_a_month_that_is_over_stays_as_it_was(own_relay: Relay, books: Bookkeeper) -> None:
    """Whatever is credited, voided and replaced later is of the month in which that is done."""
    account = await own_relay.account()
    await own_relay.use(account, "2026-10-10T10:00Z", tokens=(1_234_567, 89_012))
    invoice = await own_relay.invoiced("2026-10", account)
    before = {kind: await export(own_relay, kind, "2026-10") for kind in ("zip", "csv", "ndjson", "focus")}
    new = await books.done(f"invoices/{invoice.id}/replace", reason="address")
    await books.done(f"invoices/{new['id']}/void", reason="wrong")
    for kind, was in before.items():
        assert await export(own_relay, kind, "2026-10") == was
    content, manifest = await export(own_relay, "zip", label_of(NOW, ZoneInfo("UTC")), pdf=True)
    assert (manifest["invoices"], manifest["credit_notes"]) == (1, 2)
    assert manifest["totals"]["net"]["total"] == f"-{new['total']}"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name.startswith("credit-notes/")]
        assert [name.rpartition(".")[2] for name in names] == ["json", "csv", "html", "pdf"] * 2
        note = json.loads(archive.read(names[0]))
    assert (note["settle"], note["invoice"]["number"], note["total"]) == ("replacement", invoice.number, new["total"])


async def test_batches_of_notes_give_the_same_bytes(
    own_relay: Relay, books: Bookkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    await business(own_relay, books)
    label = label_of(NOW, ZoneInfo("UTC"))
    whole = await export(own_relay, "zip", label)
    monkeypatch.setattr(months, "SELECTED", 3)
    monkeypatch.setattr(months, "LINES_MAX", 1)
    assert await export(own_relay, "zip", label) == whole


async def test_a_note_that_is_posted_otherwise_is_said(own_relay: Relay, books: Bookkeeper) -> None:
    await business(own_relay, books)
    async with own_relay.pool.connection() as conn, conn.transaction():
        await conn.execute("SET LOCAL session_replication_role = replica")
        await conn.execute("UPDATE postings SET amount = amount + 1 WHERE kind = 'credit_note' AND source = 'revenue'")
    _, manifest = await export(own_relay, "ndjson", label_of(NOW, ZoneInfo("UTC")))
    assert manifest["ledger"]["agrees"] is False
    assert manifest["ledger"]["different_documents"] > 0
