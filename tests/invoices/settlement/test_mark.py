"""HTML and PDF say what has become of an invoice; data and exports stay as they were."""

import re
import zipfile
from io import BytesIO

import httpx
import pytest
from pypdf import PdfReader

from billing.invoices.formats import html, pdf
from billing.invoices.invoice import Invoice
from billing.invoices.view import view
from tests.invoices.settlement.conftest import Bookkeeper

pytestmark = pytest.mark.anyio

DAY = r"\d{1,2} \w+ \d{4}"


async def said(client: httpx.AsyncClient, invoice: Invoice, lang: str = "en") -> tuple[str, list[str]]:
    """The stamp of the page and the sentences above all else."""
    page = (await client.get(f"/v1/invoices/{invoice.id}.html?lang={lang}")).text
    stamp = re.search('<div class="stamp">(.*)</div>', page)
    banner = re.search('<div class="banner[ a-z]*">(.*?)</div>', page, re.DOTALL)
    return stamp[1] if stamp else "", re.findall("<p>(.*)</p>", banner[1]) if banner else []


async def paper(client: httpx.AsyncClient, invoice: Invoice) -> list[str]:
    document = await client.get(f"/v1/invoices/{invoice.id}.pdf")
    return [page.extract_text() for page in PdfReader(BytesIO(document.content)).pages]


async def test_nothing_is_added_while_nothing_happened(client: httpx.AsyncClient, invoice: Invoice) -> None:
    assert (await client.get(f"/v1/invoices/{invoice.id}.html")).content == html.document(view(invoice), "en")
    assert (await client.get(f"/v1/invoices/{invoice.id}.pdf")).content == pdf.document(view(invoice), "en")


async def test_a_void_invoice_says_so_and_is_as_it_was(
    client: httpx.AsyncClient, books: Bookkeeper, invoice: Invoice
) -> None:
    data = ("json", "csv", "ndjson", "focus.csv", "focus.ndjson")
    before = [(await client.get(f"/v1/invoices/{invoice.id}.{kind}")).content for kind in data]
    note = await books.done(f"invoices/{invoice.id}/void", reason="never used")
    stamp, lines = await said(client, invoice)
    assert stamp == "VOID"
    assert re.fullmatch(rf"This invoice is void since {DAY}: all of it is credited \({note['number']}\).", lines[0])
    stamp, lines = await said(client, invoice, "zh")
    assert (stamp, "已全额贷记" in lines[0]) == ("作废", True)
    pages = await paper(client, invoice)
    assert all("VOID" in page for page in pages)
    assert note["number"] in pages[0]
    assert [(await client.get(f"/v1/invoices/{invoice.id}.{kind}")).content for kind in data] == before


async def test_one_that_was_replaced_names_the_other_and_the_other_way_round(
    client: httpx.AsyncClient, books: Bookkeeper, invoice: Invoice
) -> None:
    new = await books.done(f"invoices/{invoice.id}/replace", reason="address")
    note = (await books.standing(invoice))["credit_notes"][0]["number"]
    stamp, lines = await said(client, invoice)
    assert (stamp, lines[0].endswith(f": invoice {new['number']} takes its place ({note}).")) == ("VOID", True)
    page = (await client.get(f"/v1/invoices/{new['id']}.html")).text
    assert f"This invoice takes the place of invoice {invoice.number}." in page
    assert 'class="stamp"' not in page
    assert (new["standing"]["replaces_number"], new["standing"]["replaced_by_number"]) == (invoice.number, None)


async def test_what_is_credited_and_paid_is_said(
    client: httpx.AsyncClient, books: Bookkeeper, invoice: Invoice
) -> None:
    note = await books.done(
        f"invoices/{invoice.id}/credit-notes", reason="outage", lines=[{"position": 1, "amount": "10"}]
    )
    credited = f"Of this invoice USD 10.00 is credited ({note['number']})."
    assert await said(client, invoice) == ("", [credited, "USD 43.07 is left to pay."])
    payment = await books.done(f"invoices/{invoice.id}/payments", reference="wire-1", amount="3.07")
    _, (_, paid, left) = await said(client, invoice)
    assert re.fullmatch(rf"USD 3.07 is paid, the last of it on {DAY}.", paid)
    assert left == "USD 40.00 is left to pay."
    await books.done(f"payments/{payment['id']}/reverse", reason="bounced")
    assert await said(client, invoice) == ("", [credited, "USD 43.07 is left to pay."])
    await books.done(f"invoices/{invoice.id}/payments", reference="wire-2")
    _, (_, _, left) = await said(client, invoice)
    assert left == "Nothing is left to pay."
    assert "Nothing is left to pay." in (await paper(client, invoice))[0]


async def test_an_export_does_not_know(client: httpx.AsyncClient, books: Bookkeeper, invoice: Invoice) -> None:
    await books.done(f"invoices/{invoice.id}/void", reason="never used")
    archive = zipfile.ZipFile(BytesIO((await client.get("/v1/periods/2026-10/export")).content))
    assert archive.read(f"invoices/{invoice.number}.html") == html.document(view(invoice), "en")
