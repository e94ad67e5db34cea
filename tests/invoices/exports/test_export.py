"""A month's export: complete, equal to the ledger, the same every time, and its manifest says so."""

import csv
import hashlib
import io
import json
import subprocess
import zipfile
from datetime import UTC, datetime
from decimal import Decimal

import anyio
import httpx
import msgspec
import pytest

from billing.accounts import keys
from billing.app import create_app
from billing.invoices.close import close_month
from billing.invoices.exports import month as months
from billing.invoices.exports.tables import CSV_COLUMNS
from billing.invoices.exports.writing import TABLES, Changed, Export, Kind, file_name
from tests import factories
from tests.invoices.conftest import Relay
from tests.serving import ADMIN_KEY, billing

pytestmark = pytest.mark.anyio

MONTH = "2026-09"
SERIES = f"INV-{datetime.now(UTC).year}"
ZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Pacific/Apia", "Pacific/Kiritimati")


@pytest.fixture
async def relay(own_relay: Relay) -> Relay:
    """Five accounts around the world, of which four used something in September, and some in August, too."""
    for number, zone in enumerate(ZONES):
        account = await own_relay.account(zone)
        if number == 4:
            continue
        await own_relay.use(account, "2026-08-15T12:00Z", tokens=(7, 1))
        await own_relay.use(account, "2026-09-01T15:00Z", "2026-09-20T10:00Z", tokens=(1000 + number, 3))
        await own_relay.use(account, "2026-09-21T10:00Z", model="gpt-3.5-turbo", tokens=(12345, 678))
    for label in ("2026-08", MONTH):
        summary = await close_month(own_relay.pool, own_relay.settings, label)
        assert not any(result.needs_attention for result in summary.results)
    return own_relay


async def export(relay: Relay, kind: Kind, label: str = MONTH, *, pdf: bool = False) -> tuple[bytes, dict]:
    """The bytes, and the manifest."""
    async with relay.pool.connection() as conn:
        month = await months.find(conn, label)
    made = Export(relay.pool, month, kind, pdf=pdf)
    with made.manifest:
        content = b"".join([part async for part in made.stream()])
        return content, json.loads(made.document())


async def ledger(relay: Relay, kind: str, label: str) -> Decimal:
    """What the postings of a kind come to in the month's periods, from the postings themselves."""
    async with relay.pool.connection() as conn:
        cursor = await conn.execute(
            """
            SELECT coalesce(sum(CASE WHEN source = 'wallet' THEN amount ELSE -amount END), 0) AS amount
            FROM postings JOIN invoices USING (account_id)
            WHERE kind = %s AND effective_at >= period_start AND effective_at < period_end
              AND to_char((period_start + interval '10 days'), 'YYYY-MM') = %s
            """,
            [kind, label],
        )
        row = await cursor.fetchone()
    return row["amount"]


@pytest.mark.parametrize("label", ["2026-08", MONTH])
async def test_the_totals_are_the_ledgers(relay: Relay, label: str) -> None:
    _, manifest = await export(relay, "ndjson", label)
    assert (manifest["invoices"], manifest["ledger"]["agrees"], manifest["unbilled_accounts"]) == (4, True, 0)
    totals = {name: Decimal(amount) for name, amount in manifest["totals"]["invoices"].items()}
    assert totals["amount_exact"] == Decimal(manifest["ledger"]["revenue"]) == await ledger(relay, "usage", label)
    assert totals["residue"] == Decimal(manifest["ledger"]["rounding"]) == await ledger(relay, "rounding", label)
    assert totals["total"] == totals["amount_exact"] + totals["residue"]


async def test_it_says_whether_documents_may_be_added(relay: Relay) -> None:
    """Until the month is over everywhere, and closed for all that were there: also for who used nothing so far."""
    assert (await export(relay, "ndjson"))[1]["final"] is True
    assert (await export(relay, "ndjson", f"{datetime.now(UTC):%Y-%m}"))[1]["final"] is False
    account = await relay.account()
    assert (await export(relay, "ndjson"))[1]["final"] is True
    async with relay.pool.connection() as conn:
        await conn.execute("UPDATE accounts SET created_at = '2026-09-30T23:00Z' WHERE id = %s", [account])
    manifest = (await export(relay, "ndjson"))[1]
    assert (manifest["final"], manifest["unbilled_accounts"]) == (False, 0)
    assert (await relay.close(MONTH, account)).outcome == "empty"
    assert (await export(relay, "ndjson"))[1]["final"] is True
    later = await relay.account()
    await relay.use(later, "2026-09-30T23:00Z")
    manifest = (await export(relay, "ndjson"))[1]
    assert (manifest["final"], manifest["unbilled_accounts"]) == (False, 1)


async def test_an_archive_has_all_files_and_says_which(relay: Relay) -> None:
    content, manifest = await export(relay, "zip", pdf=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        files = {name: archive.read(name) for name in names}
    numbers = [f"{SERIES}-{number:06}" for number in range(5, 9)]
    assert names == [
        *(f"invoices/{number}.{kind}" for number in numbers for kind in ("json", "csv", "html", "pdf")),
        *(file_name(MONTH, kind) for kind in TABLES),
        "manifest.json",
    ]
    assert json.loads(files.pop("manifest.json")) == manifest
    said = {file["name"]: (file["bytes"], file["sha256"]) for file in manifest["files"]}
    assert said == {name: (len(text), hashlib.sha256(text).hexdigest()) for name, text in files.items()}
    assert all(files[f"invoices/{number}.pdf"].startswith(b"%PDF") for number in numbers)
    totals = [Decimal(json.loads(files[f"invoices/{number}.json"])["total"]) for number in numbers]
    assert sum(totals) == Decimal(manifest["totals"]["net"]["total"])


async def test_tables_are_the_invoices_one_behind_the_other(relay: Relay) -> None:
    _, manifest = await export(relay, "zip")
    text, _ = await export(relay, "ndjson")
    shown = [json.loads(line) for line in text.splitlines()]
    assert {one["document"] for one in shown} == {"invoice"}
    assert [one["number"] for one in shown] == [f"{SERIES}-{number:06}" for number in range(5, 9)]
    assert {one["period"]["time_zone"] for one in shown} == set(ZONES[:4])

    text, own = await export(relay, "csv")
    rows = list(csv.reader(io.StringIO(text.decode(), newline="")))
    assert rows[0] == list(CSV_COLUMNS)
    records = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    assert rows.count(rows[0]) == 1
    total = sum(Decimal(one["amount"]) for one in records if one["record"] == "total")
    assert total == Decimal(manifest["totals"]["net"]["total"])
    assert [file for file in manifest["files"] if file["name"] == "invoices-2026-09.csv"] == own["files"]

    text, _ = await export(relay, "focus")
    rows = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
    billed = sum(Decimal(row["EffectiveCost"]) for row in rows if row["ChargeCategory"] == "Usage")
    assert billed == Decimal(manifest["totals"]["net"]["subtotal"])


@pytest.mark.parametrize("kind", ["zip", "csv", "ndjson", "focus"])
async def test_the_same_invoices_give_the_same_bytes(relay: Relay, monkeypatch: pytest.MonkeyPatch, kind: Kind) -> None:
    """However they are read, and with other invoices made in between."""
    first, manifest = await export(relay, kind)
    late = await relay.account()
    await relay.use(late, "2026-08-10T10:00Z")
    await relay.close("2026-08", late)
    monkeypatch.setattr(months, "SELECTED", 3)
    monkeypatch.setattr(months, "LINES_MAX", 1)
    assert await export(relay, kind) == (first, manifest)


async def test_invoices_made_meanwhile_are_of_the_next_export(relay: Relay) -> None:
    async with relay.pool.connection() as conn:
        month = await months.find(conn, MONTH)
    late = await relay.account()
    await relay.use(late, "2026-09-10T10:00Z")
    async with relay.pool.connection() as conn:
        assert (await months.find(conn, MONTH)).unbilled_accounts == 1
    await relay.close(MONTH, late)
    made = Export(relay.pool, month, "ndjson")
    with made.manifest:
        assert b"".join([part async for part in made.stream()]).count(b"\n") == 4
    assert (await export(relay, "ndjson"))[1]["invoices"] == 5


async def test_what_is_not_what_was_counted_is_no_export(relay: Relay) -> None:
    async with relay.pool.connection() as conn:
        month = await months.find(conn, MONTH)
    month.invoices.total += 1
    made = Export(relay.pool, month, "csv")
    with made.manifest, pytest.raises(Changed):
        async for _ in made.stream():
            pass


async def test_a_ledger_that_does_not_agree_is_said(relay: Relay) -> None:
    async with relay.pool.connection() as conn:
        await conn.execute("UPDATE usage_rollups SET amount = amount + 1 WHERE billed >= '2026-09-19'")
    _, manifest = await export(relay, "ndjson")
    assert manifest["ledger"]["agrees"] is False
    assert manifest["ledger"]["different_documents"] == 4


async def test_a_month_without_invoices(relay: Relay) -> None:
    for kind in ("csv", "ndjson", "focus"):
        content, manifest = await export(relay, kind, "2026-05")
        assert (content, manifest["invoices"], manifest["totals"]["net"]["total"]) == (b"", 0, "0")
    content, _ = await export(relay, "zip", "2026-05")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert "manifest.json" in archive.namelist()


async def test_over_http(relay: Relay, fresh_database: str) -> None:
    app = create_app(msgspec.structs.replace(relay.settings, database_url=fresh_database))
    transport = httpx.ASGITransport(app)
    async with (
        app.lifespan(),
        app.state.pool.connection() as conn,
        httpx.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        await keys.bootstrap(conn, ADMIN_KEY)
        client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        path = f"/v1/periods/{MONTH}/export"
        sent = await client.get(path)
        expected, manifest = await export(relay, "zip")
        assert sent.headers["content-type"] == "application/zip"
        assert sent.headers["content-disposition"] == 'attachment; filename="invoices-2026-09.zip"'
        assert sent.content == expected
        for kind in ("csv", "ndjson", "focus"):
            sent = await client.get(path, params={"format": kind})
            assert sent.content == (await export(relay, kind))[0]
        said = (await client.get(path, params={"manifest": "true"})).json()
        assert said == manifest
        refused = await client.get("/v1/periods/2026-13/export")
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_period")
        refused = await client.get(path, params={"format": "xls"})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")
        customer = {"Authorization": f"Bearer {await factories.key(conn, 'customer', await relay.account())}"}
        assert (await client.get(path, headers=customer)).status_code == 403


async def test_the_command(relay: Relay, fresh_database: str, tmp_path) -> None:
    settings = {"BILLING_DATABASE_URL": fresh_database}

    async def run(*arguments: str) -> tuple[int, str]:
        with billing(
            "export", *arguments, settings=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as command:
            said, _ = await anyio.to_thread.run_sync(command.communicate)
        return command.returncode, said

    archive, table = tmp_path / "september.zip", tmp_path / "september.csv"
    status, said = await run(MONTH, "-o", str(archive))
    expected, manifest = await export(relay, "zip")
    assert (status, archive.read_bytes()) == (0, expected)
    assert "4 invoices and 0 credit notes of 2026-09" in said
    assert "The ledger agrees" in said
    status, said = await run(MONTH, "--format", "csv", "-o", str(table))
    expected, manifest = await export(relay, "csv")
    assert (status, table.read_bytes()) == (0, expected)
    assert json.loads((tmp_path / "september.csv.manifest.json").read_text()) == manifest
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("sep")) == [
        "september.csv",
        "september.csv.manifest.json",
        "september.zip",
    ]
    assert "not final" not in said
    status, said = await run(MONTH, "-o", str(archive))
    assert status == 1
    assert "--force" in said
    async with relay.pool.connection() as conn:
        await conn.execute("UPDATE accounts SET created_at = '2026-09-30Z' WHERE id = %s", [await relay.account()])
    status, said = await run(MONTH, "-o", str(archive), "--force")
    assert status == 0
    assert "This is not final" in said
    async with relay.pool.connection() as conn:
        await conn.execute("UPDATE usage_rollups SET amount = amount + 1 WHERE billed >= '2026-09-19'")
    status, said = await run(MONTH, "-o", str(archive), "--force")
    assert status == 1
    assert "billing verify" in said
