"""Each kind of file over HTTP and from the command line."""

import asyncio
import csv
import io
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import msgspec
import pytest

from billing.db.pool import Connection
from billing.invoices import event_files
from billing.invoices.drafts import issuer_of
from billing.invoices.formats import html
from billing.invoices.render import FORMATS
from billing.invoices.settlement.replacing import Replacement, replace
from tests import factories
from tests.invoices.conftest import Relay
from tests.serving import billing

pytestmark = pytest.mark.anyio

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "focus.csv": "text/csv; charset=utf-8",
    "focus.ndjson": "application/x-ndjson",
    "xml": "application/xml",
}


async def closed(relay: Relay) -> tuple[str, str]:
    """The id and number of an invoice, from Ireland to Ireland."""
    relay.settings = msgspec.structs.replace(relay.settings, issuer_country="IE", issuer_tax_id="IE1234567T")
    account = await relay.account()
    async with relay.pool.connection() as conn:
        await conn.execute("UPDATE accounts SET country = 'IE' WHERE id = %s", [account])
    await relay.use(account, "2026-10-15T12:00Z", tokens=(1000, 100))
    invoice = await relay.invoiced("2026-10", account)
    return invoice.id, invoice.number


async def test_each_kind_has_its_type_and_name(client: httpx.AsyncClient, relay: Relay) -> None:
    assert MEDIA_TYPES.keys() == FORMATS.keys()
    invoice_id, number = await closed(relay)
    for kind, media_type in MEDIA_TYPES.items():
        answer = await client.get(f"/v1/invoices/{invoice_id}.{kind}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        disposition = "inline" if kind in ("html", "pdf") else "attachment"
        assert answer.headers["content-disposition"] == f'{disposition}; filename="{number}.{kind}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert number.encode() in answer.content or kind == "pdf"


async def test_without_countries_there_is_no_structured_invoice_until_it_is_replaced(
    client: httpx.AsyncClient, relay: Relay
) -> None:
    account = await relay.account()
    await relay.use(account, "2026-10-15T12:00Z", tokens=(1000, 100))
    invoice = await relay.invoiced("2026-10", account)
    refused = await client.get(f"/v1/invoices/{invoice.id}.xml")
    assert (refused.status_code, refused.json()["code"]) == (422, "incomplete_parties")
    assert "BILLING_ISSUER_COUNTRY" in refused.json()["detail"]
    assert (await client.get(f"/v1/invoices/{invoice.id}.pdf")).status_code == 200

    assert (await client.patch(f"/v1/accounts/{account}", json={"country": "AT"})).json()["country"] == "AT"
    later = msgspec.structs.replace(relay.settings, issuer_country="IE", issuer_tax_id="IE1234567T")
    async with relay.pool.connection() as conn, conn.transaction():
        asked = Replacement(invoice_id=invoice.id, reason="countries", actor="test")
        new = await replace(conn, asked, issuer_of(later), invoice_prefix="INV", note_prefix="CN")
    document = (await client.get(f"/v1/invoices/{new.id}.xml")).text
    assert document.index("<ram:CountryID>IE<") < document.index("<ram:CountryID>AT<")


async def test_people_read_it_in_their_language(client: httpx.AsyncClient, relay: Relay) -> None:
    invoice_id, _ = await closed(relay)
    url = f"/v1/invoices/{invoice_id}.html"
    english = await client.get(url)
    assert (english.headers["content-language"], "Bill to" in english.text) == ("en", True)
    assert english.headers["content-security-policy"] == html.POLICY
    chinese = await client.get(url, headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert (chinese.headers["content-language"], chinese.headers["vary"]) == ("zh-CN", "Accept-Language")
    assert "账单编号" in chinese.text
    asked = await client.get(f"{url}?lang=zh", headers={"Accept-Language": "en"})
    assert asked.text == chinese.text
    assert (await client.get(f"{url}?lang=fr")).status_code == 400


async def test_a_kind_there_is_not_names_those_there_are(client: httpx.AsyncClient, relay: Relay) -> None:
    invoice_id, _ = await closed(relay)
    answer = await client.get(f"/v1/invoices/{invoice_id}.docx")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_format")
    assert answer.json()["detail"] == (
        "An invoice comes as json, csv, ndjson, html, pdf, focus.csv, focus.ndjson, xml or events.csv, not as 'docx'."
    )


async def test_a_draft_can_be_read(client: httpx.AsyncClient, relay: Relay, conn: Connection) -> None:
    account = await relay.account()
    await relay.use(account, f"{datetime.now(UTC) - timedelta(minutes=1):%Y-%m-%dT%H:%MZ}", tokens=(1000, 100))
    page = await client.get(f"/v1/invoices/draft.html?account={account}")
    assert "This is a draft" in page.text
    mine = {"Authorization": f"Bearer {await factories.key(conn, 'customer', account)}"}
    paper = await client.get("/v1/invoices/draft.pdf", headers=mine)
    assert (paper.status_code, paper.content[:4]) == (200, b"%PDF")
    assert paper.headers["content-disposition"] == 'inline; filename="draft.pdf"'
    structured = await client.get("/v1/invoices/draft.xml", headers=mine)
    assert (structured.status_code, structured.json()["code"]) == (422, "draft_has_no_number")
    events = await client.get("/v1/invoices/draft.events.csv", headers=mine)
    assert (events.status_code, events.json()["code"]) == (404, "unknown_invoice")


async def test_the_events_of_all_lines(
    client: httpx.AsyncClient, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await relay.account()
    times = [f"2026-10-{day:02}T12:00Z" for day in range(1, 8)]
    await relay.use(account, *times, tokens=(1001, 103))
    await relay.use(account, times[0], tokens=(0, 7))
    invoice = await relay.invoiced("2026-10", account)
    monkeypatch.setattr(event_files, "AT_ONCE", 3)
    answer = await client.get(f"/v1/invoices/{invoice.id}.events.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{invoice.number}.events.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    for position, line in enumerate(invoice.lines, start=1):
        events = [row for row in rows if row["line"] == str(position)]
        assert len({row["id"] for row in events}) == len(events) == line.events
        assert sum(int(row["quantity"]) for row in events) == line.quantity
        assert sum(Decimal(row["amount"]) for row in events).scaleb(12) == line.amount_exact
        assert {(row["number"], row["model"]) for row in events} == {(invoice.number, "gpt-4")}


async def test_many_at_once_are_set_beside_other_requests(client: httpx.AsyncClient, relay: Relay) -> None:
    invoice_id, _ = await closed(relay)
    url = f"/v1/invoices/{invoice_id}.pdf"
    setting = [asyncio.create_task(client.get(url)) for _ in range(8)]
    assert (await client.get("/healthz")).status_code == 200
    assert not all(task.done() for task in setting)
    assert len({answer.content for answer in await asyncio.gather(*setting)}) == 1


async def test_from_the_command_line(own_relay: Relay, fresh_database: str, tmp_path: Path) -> None:
    invoice_id, number = await closed(own_relay)

    def run(*arguments: str) -> tuple[int, str]:
        settings = {"BILLING_DATABASE_URL": fresh_database}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = billing("invoice", *arguments, settings=settings, **pipes)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    target = tmp_path / "invoice.pdf"
    assert run(invoice_id, "--format", "pdf", "--lang", "zh", "-o", str(target)) == (0, "")
    assert target.read_bytes().startswith(b"%PDF-1.7")
    by_number = tmp_path / "october.focus.csv"
    assert run(number, "-o", str(by_number)) == (0, "")
    code, output = run(invoice_id, "--format", "focus.csv")
    assert output == by_number.read_text()
    assert (code, number in output) == (0, True)
    code, output = run("inv_none")
    assert (code, output.strip()) == (1, "Error: There is no invoice inv_none.")
