"""Drafts, what is due, and the events behind a line, over HTTP."""

from datetime import UTC, datetime

import httpx
import pytest

from billing.db.pool import Connection
from billing.invoices import line_events
from billing.invoices.invoice import Invoice
from billing.pages import Page
from pricing import money
from tests import factories
from tests.invoices.conftest import Relay, differences

pytestmark = pytest.mark.anyio

usd = money.parse


async def bearer(conn: Connection, account: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {await factories.key(conn, 'customer', account)}"}


async def counts(conn: Connection, account: str) -> tuple[int, ...]:
    """How many rows there are that closing would add to or change."""
    cursor = await conn.execute(
        """
        SELECT (SELECT count(*) FROM invoices WHERE account_id = %(account)s) AS invoices,
               (SELECT count(*) FROM postings WHERE account_id = %(account)s) AS postings,
               (SELECT count(*) FROM balances WHERE account_id = %(account)s AND open_from IS NOT NULL) AS closed,
               (SELECT coalesce(sum(last_sequence), 0) FROM invoice_series) AS taken
        """,
        {"account": account},
    )
    row = await cursor.fetchone()
    assert row is not None
    return tuple(row.values())


async def test_each_open_period_has_a_draft(client: httpx.AsyncClient, relay: Relay, conn: Connection) -> None:
    account = await relay.account()
    await relay.use(account, "2026-09-15T12:00Z", "2026-10-15T12:00Z", tokens=(1_000_000, 0))
    url = f"/v1/accounts/{account}/draft?period="
    september, october = [(await client.get(f"{url}{label}")).json() for label in ("2026-09", "2026-10")]
    assert [draft["statement"]["closing"] for draft in (september, october)] == ["-15", "-30"]
    closed = await relay.invoiced("2026-09", account)
    assert september["period"]["end"] == closed.period.end.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (september["total"], closed.total) == ("15", usd("15"))
    own = await bearer(conn, account)
    assert (await client.get("/v1/invoices/draft?period=2026-10", headers=own)).json()["lines"] == october["lines"]
    page = await client.get("/v1/invoices/draft.html?period=2026-10&lang=en", headers=own)
    assert "1 October 2026 – 31 October 2026" in page.text
    for label, status, code in (
        ("2026-09", 422, "period_not_open"),
        ("2126-01", 422, "period_not_open"),
        ("2026-13", 400, "invalid_period"),
    ):
        refused = await client.get(f"{url}{label}")
        assert (refused.status_code, refused.json()["code"]) == (status, code)


async def test_the_draft_is_the_invoice_to_be_and_writes_nothing(
    client: httpx.AsyncClient, relay: Relay, conn: Connection
) -> None:
    account = await relay.account()
    await relay.move(account, "5", "2026-09-01T00:00Z")
    await relay.use(account, "2026-10-15T12:00Z", datetime.now(UTC).isoformat(), tokens=(1_000_000, 0))
    before = await counts(conn, account)
    draft = (await client.get(f"/v1/accounts/{account}/draft")).json()
    assert await counts(conn, account) == before
    assert (draft["id"], draft["number"], draft["status"], draft["finalized_at"]) == (None, None, "draft", None)
    assert (draft["subtotal"], draft["total"], draft["statement"]["opening"]) == ("15", "15", "-10")
    assert (draft["amount_due"], draft["earlier_due"], draft["statement"]["closing"]) == ("15", "10", "-25")
    assert datetime.fromisoformat(draft["period"]["end"]) > datetime.now(UTC)
    await relay.invoiced("2026-10", account)
    own = (await client.get("/v1/invoices/draft", headers=await bearer(conn, account))).json()
    assert own == {**draft, "lines": own["lines"]}
    nobody = await client.get("/v1/accounts/acct_nobody/draft")
    assert (nobody.status_code, nobody.json()["code"]) == (404, "unknown_account")
    stranger = await bearer(conn, await relay.account())
    assert (await client.get(f"/v1/invoices/draft?account={account}", headers=stranger)).status_code == 404


async def due(relay: Relay, *, before: str, amount: str) -> Invoice:
    """The invoice of an account that has so much, and then uses this much of it (dollars, multiples of 15)."""
    account = await relay.account()
    if usd(before):
        await relay.move(account, before, "2026-09-01T00:00Z", kind="adjustment")
    await relay.use(account, "2026-10-15T12:00Z", tokens=(usd(amount) // usd("15") * 1_000_000, 0))
    return await relay.invoiced("2026-10", account)


@pytest.mark.parametrize(
    ("before", "amount", "settlement", "applied", "amount_due", "earlier_due"),
    [
        ("20", "15", "prepaid", "15", "0", "0"),
        ("15", "15", "prepaid", "15", "0", "0"),
        ("10", "15", "mixed", "10", "5", "0"),
        ("0", "15", "postpaid", "0", "15", "0"),
        ("-7", "15", "postpaid", "0", "15", "7"),
    ],
)
async def test_what_is_due_is_what_the_balance_did_not_cover(
    relay: Relay, before: str, amount: str, settlement: str, applied: str, amount_due: str, earlier_due: str
) -> None:
    invoice = await due(relay, before=before, amount=amount)
    assert (invoice.settlement, invoice.applied, invoice.amount_due, invoice.earlier_due) == (
        *(settlement, usd(applied), usd(amount_due), usd(earlier_due)),
    )
    assert (invoice.due_date is None) == (invoice.amount_due == 0)
    async with relay.pool.connection() as conn:
        cursor = await conn.execute("SELECT amount_due FROM invoices WHERE id = %s", [invoice.id])
        row = await cursor.fetchone()
    assert row["amount_due"] * money.PICOS_PER_DOLLAR == invoice.amount_due


async def test_what_no_invoice_asks_for_is_owed_besides(client: httpx.AsyncClient, relay: Relay) -> None:
    """An adjustment is no invoice: what it took below zero is not said to be due by one."""
    invoice = await due(relay, before="-20", amount="15")
    for language, said in (("en", "Owed besides this invoice"), ("zh", "未计入本账单的应付金额")):
        page = (await client.get(f"/v1/invoices/{invoice.id}.html?lang={language}")).text
        assert said in page
    assert (invoice.amount_due, invoice.earlier_due) == (usd("15"), usd("20"))


async def test_credits_come_before_the_wallet(client: httpx.AsyncClient, relay: Relay) -> None:
    account = await relay.account()
    await relay.move(account, "20", "2026-10-01T00:00Z")
    grant = {"amount": "4", "category": "paid", "effective_at": "2026-10-01T00:00:00Z"}
    given = await client.post(f"/v1/accounts/{account}/grants", json=grant, headers={"Idempotency-Key": account})
    assert given.status_code == 201, given.text
    await relay.use(account, "2026-10-15T12:00Z", tokens=(1_000_000, 0))
    invoice = await relay.invoiced("2026-10", account)
    shown = (await client.get(f"/v1/invoices/{invoice.id}")).json()
    assert shown["applied"] == {"credits": "4", "balance": "11"}
    assert shown["statement"]["closing"] == "9"


@pytest.mark.parametrize(
    ("wallet", "applied", "amount_due"),
    [("20", {"credits": "4", "balance": "11"}, "0"), ("0", {"credits": "4", "balance": "0"}, "11")],
)
async def test_a_grant_of_the_next_period_is_not_on_the_invoice(
    client: httpx.AsyncClient, relay: Relay, wallet: str, applied: dict[str, str], amount_due: str
) -> None:
    """Before October is closed, late usage of it burns November's grant: October's statement knows only its own."""
    account = await relay.account()
    if wallet != "0":
        await relay.move(account, wallet, "2026-10-01T00:00Z")
    for amount, since in (("4", "2026-10-01T00:00:00Z"), ("5", "2026-11-01T00:00:00Z")):
        grant = {"amount": amount, "category": "paid", "effective_at": since}
        given = await client.post(
            f"/v1/accounts/{account}/grants", json=grant, headers={"Idempotency-Key": f"{account} {since}"}
        )
        assert given.status_code == 201, given.text
    await relay.use(account, "2026-10-31T23:59:59Z", tokens=(1_000_000, 0))
    balance = (await client.get(f"/v1/accounts/{account}/balance")).json()
    assert (balance["posted"], balance["credits"]) == (str(int(wallet) - 6), "0")
    shown = (await client.get(f"/v1/invoices/{(await relay.invoiced('2026-10', account)).id}")).json()
    assert (shown["applied"], shown["amount_due"], shown["statement"]["grants"]) == (applied, amount_due, "4")
    statement = await client.get("/v1/statements", params={"account": account, "from": "2026-11-01"})
    assert statement.json()["statement"]["grants"] == "5"
    async with relay.pool.connection() as conn:
        found = [text for text in await differences(conn) if shown["number"] in text]
    assert found == []


async def test_the_due_date_is_by_the_accounts_terms(client: httpx.AsyncClient, relay: Relay) -> None:
    account = await relay.account()
    await client.patch(f"/v1/accounts/{account}", json={"payment_days": 30})
    await relay.use(account, "2026-09-15T12:00Z", "2026-10-15T12:00Z", tokens=(1_000_000, 0))
    own = await relay.invoiced("2026-09", account)
    assert (own.due_date - own.finalized_at.date()).days in (29, 30)
    await client.patch(f"/v1/accounts/{account}", json={"payment_days": None})
    common = await relay.invoiced("2026-10", account)
    assert (common.due_date - common.finalized_at.date()).days in (13, 14)


async def test_the_events_of_each_line_are_listed_and_add_up(client: httpx.AsyncClient, relay: Relay) -> None:
    account = await relay.account("America/New_York")
    await relay.use(account, "2026-08-20T12:00Z")
    await relay.invoiced("2026-08", account)
    await relay.use(account, "2026-08-20T12:01Z", "2026-09-20T12:00Z", "2026-09-20T12:00Z", tokens=(7, 3))
    await relay.use(account, *(f"2026-09-{day:02}T12:00Z" for day in range(2, 28)), model="gpt-3.5-turbo")
    await relay.use(account, "2026-09-21T12:00Z", tokens=(11, 5))
    september = await relay.invoiced("2026-09", account)
    await relay.use(account, "2026-09-21T12:00Z", "2026-10-21T12:00Z", tokens=(1000, 1000))
    invoices = [september, await relay.invoiced("2026-10", account)]
    for invoice in invoices:
        for position, line in enumerate(invoice.lines, start=1):
            events = await all_pages(client, f"/v1/invoices/{invoice.id}/lines/{position}/events?limit=10")
            assert len({(event["source"], event["id"]) for event in events}) == len(events) == line.events
            assert sum(usd(event["amount"]) for event in events) == line.amount_exact
            assert sum(event["quantity"] for event in events) == line.quantity
            of = line.correction_of or invoice.period
            assert all(of.start <= datetime.fromisoformat(event["time"]) < of.end for event in events)


async def all_pages(client: httpx.AsyncClient, url: str) -> list[dict[str, str]]:
    """Forwards, and backwards from the last one, which must be the same."""
    page = (await client.get(url)).json()
    found = page["data"]
    while page["has_more"]:
        last = found[-1]
        page = (await client.get(f"{url}&starting_after={last['id']}&source={last['source']}")).json()
        found += page["data"]
    last = found[-1]
    back = (await client.get(f"{url}&ending_before={last['id']}&source={last['source']}")).json()
    assert back["data"] == found[-11:-1]
    assert back["has_more"] == (len(found) > 11)
    return found


async def test_events_that_were_dropped_are_still_named(client: httpx.AsyncClient, own_relay: Relay) -> None:
    account = await own_relay.account()
    await own_relay.use(account, "2026-10-20T12:00Z", "2026-10-21T12:00Z")
    invoice = await own_relay.invoiced("2026-10", account)
    async with own_relay.pool.connection() as conn:
        kept, _ = await line_events.listed(conn, invoice, invoice.lines[0], "", Page())
        await conn.execute("INSERT INTO dropped_months (start, until, events) VALUES ('2026-10-01Z', '2026-12-01Z', 2)")
        await conn.execute("DELETE FROM events")
        assert (await line_events.listed(conn, invoice, invoice.lines[0], "", Page()))[0] == kept
    assert len(kept) == 2


async def test_what_is_no_line_is_refused(client: httpx.AsyncClient, relay: Relay, conn: Connection) -> None:
    account = await relay.account()
    await relay.use(account, "2026-10-20T12:00Z")
    invoice = await relay.invoiced("2026-10", account)
    url = f"/v1/invoices/{invoice.id}/lines"
    for position in (0, 3, 99):
        answer = await client.get(f"{url}/{position}/events")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_line")
    edge = await client.get(f"{url}/1/events?starting_after=nothing&source=test")
    assert edge.json()["code"] == "unknown_cursor"
    both = await client.get(f"{url}/1/events?starting_after=a&ending_before=b")
    assert both.json()["code"] == "two_cursors"
    stranger = await bearer(conn, await relay.account())
    assert (await client.get(f"{url}/1/events", headers=stranger)).json()["code"] == "unknown_invoice"
