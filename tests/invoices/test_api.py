"""Invoices over HTTP: who sees what, in which form, a page at a time."""

import csv
import io

import httpx
import pytest

from billing.db.pool import Connection
from tests import factories
from tests.invoices.conftest import Relay

pytestmark = pytest.mark.anyio


async def bearer(conn: Connection, account: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {await factories.key(conn, 'customer', account)}"}


async def closed_month(client: httpx.AsyncClient, relay: Relay) -> tuple[str, dict[str, object]]:
    """An account and its invoice of October 2026."""
    account = await relay.account()
    await relay.use(account, "2026-10-15T12:00Z", tokens=(1000, 100))
    answer = await client.post(f"/v1/periods/2026-10/close?account={account}")
    assert answer.status_code == 200
    [result] = answer.json()["results"]
    return account, (await client.get(f"/v1/invoices/{result['invoice']}")).json()


async def test_closing_answers_for_each_account(client: httpx.AsyncClient, relay: Relay) -> None:
    account = await relay.account()
    await relay.use(account, "2026-10-15T12:00Z", tokens=(1000, 100))
    first = (await client.post(f"/v1/periods/2026-10/close?account={account}")).json()
    assert first["counts"] == {
        "invoiced": 1,
        **dict.fromkeys(("empty", "already_closed", "parked", "refused", "failed"), 0),
    }
    assert (first["period"], first["total"], first["residue"]) == ("2026-10", "0.02", "0.002")
    [result] = first["results"]
    assert result["account"] == account
    assert (result["outcome"], result["total"], result["detail"]) == ("invoiced", "0.02", None)
    again = (await client.post(f"/v1/periods/2026-10/close?account={account}")).json()
    assert again["results"] == [{**result, "outcome": "already_closed"}]
    assert again["total"] == "0.02"


async def test_what_cannot_be_closed_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/periods/October/close")).json()["code"] == "invalid_period"
    assert (await client.post("/v1/periods/2999-01/close")).json()["code"] == "period_not_over"
    unknown = await client.post("/v1/periods/2026-10/close?account=acct_nobody")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_account")


async def test_only_an_admin_closes(client: httpx.AsyncClient, relay: Relay, conn: Connection) -> None:
    headers = await bearer(conn, await relay.account())
    assert (await client.post("/v1/periods/2026-10/close", headers=headers)).status_code == 403


async def test_an_invoice_in_each_form(client: httpx.AsyncClient, relay: Relay, conn: Connection) -> None:
    account, invoice = await closed_month(client, relay)
    headers = await bearer(conn, account)
    url = f"/v1/invoices/{invoice['id']}"
    assert (await client.get(url, headers=headers)).json() == invoice
    as_json = await client.get(f"{url}.json", headers=headers)
    assert as_json.json() == {name: value for name, value in invoice.items() if name != "standing"}
    assert as_json.headers["content-disposition"] == f'attachment; filename="{invoice["number"]}.json"'
    as_csv = await client.get(f"{url}.csv", headers=headers)
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    records = csv.DictReader(io.StringIO(as_csv.text, newline=""))
    assert {row["record"]: row["amount"] for row in records}["total"] == invoice["total"] == "0.02"


async def test_a_customer_never_sees_anothers(client: httpx.AsyncClient, relay: Relay, conn: Connection) -> None:
    account, invoice = await closed_month(client, relay)
    stranger = await bearer(conn, await relay.account())
    for path in (f"/v1/invoices/{invoice['id']}", f"/v1/invoices/{invoice['id']}.csv", "/v1/invoices/inv_none"):
        answer = await client.get(path, headers=stranger)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_invoice")
    assert (await client.get("/v1/invoices", headers=stranger)).json()["data"] == []
    assert (await client.get(f"/v1/invoices?account={account}", headers=stranger)).status_code == 404
    cursor = await client.get(f"/v1/invoices?starting_after={invoice['id']}", headers=stranger)
    assert (cursor.status_code, cursor.json()["code"]) == (400, "unknown_cursor")


async def test_invoices_a_page_at_a_time(client: httpx.AsyncClient, relay: Relay, conn: Connection) -> None:
    account = await relay.account()
    months = [f"2026-{number:02}" for number in range(4, 11)]
    await relay.use(account, *(f"{month}-15T12:00Z" for month in months), tokens=(1000, 100))
    numbers = [(await relay.invoiced(month, account)).number for month in months]
    headers = await bearer(conn, account)

    async def page(**query: object) -> tuple[list[dict[str, str]], bool]:
        answer = (await client.get("/v1/invoices", params={"limit": 3, **query}, headers=headers)).json()
        assert (answer["object"], answer["url"]) == ("list", "/v1/invoices")
        return answer["data"], answer["has_more"]

    seen: list[str] = []
    found, more = await page()
    while more:
        seen += [invoice["number"] for invoice in found]
        found, more = await page(starting_after=found[-1]["id"])
    assert [*seen, *(invoice["number"] for invoice in found)] == numbers[::-1]
    back, more = await page(ending_before=found[0]["id"])
    assert ([invoice["number"] for invoice in back], more) == (numbers[1:4][::-1], True)
    by_admin = (await client.get("/v1/invoices", params={"account": account, "limit": 100})).json()
    assert [invoice["number"] for invoice in by_admin["data"]] == numbers[::-1]
    assert by_admin["data"][0]["lines"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x"])
async def test_limits_are_held(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/v1/invoices?{query}")).status_code == 400


async def test_the_statement_of_a_month_is_that_of_its_invoice(
    client: httpx.AsyncClient, conn: Connection, relay: Relay
) -> None:
    account, invoice = await closed_month(client, relay)
    mine = await bearer(conn, account)
    asked = {"from": "2026-10-01", "to": "2026-11-01"}
    october = (await client.get("/v1/statements", params=asked, headers=mine)).json()
    assert october["statement"] == invoice["statement"]
    assert {name: october[name] for name in ("account", "currency", "period")} == {
        "account": account,
        "currency": "USD",
        "period": invoice["period"],
    }
    now = (await client.get("/v1/statements", headers=mine)).json()["statement"]
    assert (now["opening"], now["closing"], now["usage"]) == ("-0.02", "-0.02", "0")
    within = {"account": account, "from": "2026-10-15T12:01:00Z", "to": "2026-10-15T12:02:00Z"}
    widened = (await client.get("/v1/statements", params=within)).json()
    assert (widened["period"]["start"], widened["period"]["end"]) == ("2026-10-15T12:00:00Z", "2026-10-15T12:15:00Z")
    assert widened["statement"]["usage"] == "0.018"
    empty = await client.get("/v1/statements", params={**asked, "to": "2026-10-01"}, headers=mine)
    assert (empty.status_code, empty.json()["code"]) == (400, "empty_span")
