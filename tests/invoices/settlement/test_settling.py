"""What happens to a final invoice: credit notes, payments, replacement; each refusal by its code."""

import asyncio
import csv
import io
from decimal import Decimal
from typing import Any

import pytest

from billing.db.pool import Connection
from billing.invoices.invoice import Invoice
from billing.invoices.settlement import store
from billing.invoices.settlement.payments import reverse
from pricing import money
from tests import factories
from tests.invoices.conftest import Relay
from tests.invoices.settlement.conftest import Bookkeeper, taxed

pytestmark = pytest.mark.anyio


async def test_an_invoice_is_credited_by_line(books: Bookkeeper, invoice: Invoice) -> None:
    assert [money.format(line.amount) for line in invoice.lines] == ["32.97", "20.1"]
    lines = [{"position": 1, "amount": "2.97"}, {"position": 2, "quantity": 335_000}]
    note = await books.done(f"invoices/{invoice.id}/credit-notes", reason="outage", lines=lines)
    assert note["number"].startswith("CN-")
    assert (note["subtotal"], note["tax"], note["total"], note["settle"]) == ("13.02", "0", "13.02", "wallet")
    assert [(line["position"], line["quantity"], line["amount"]) for line in note["lines"]] == [
        (1, 0, "2.97"),
        (2, 335_000, "10.05"),
    ]
    assert (note["invoice"]["number"], note["customer"]["name"]) == (invoice.number, invoice.customer.name)
    standing = await books.standing(invoice)
    assert (standing["status"], standing["credited"], standing["open"]) == ("partly_paid", "13.02", "40.05")
    assert [named["number"] for named in standing["credit_notes"]] == [note["number"]]
    assert await books.balance(invoice) == "-40.05"
    rest = await books.done(f"invoices/{invoice.id}/void", reason="all of it")
    assert [line["amount"] for line in rest["lines"]] == ["30", "10.05"]
    standing = await books.standing(invoice)
    assert (standing["status"], standing["credited"], standing["open"]) == ("void", "53.07", "0")
    assert await books.balance(invoice) == "0"
    assert await books.refused(f"invoices/{invoice.id}/void", reason="again") == (409, "invoice_void")
    assert await books.refused(f"invoices/{invoice.id}/payments", reference="x") == (409, "invoice_void")


async def test_tax_is_given_back_with_what_it_is_on(books: Bookkeeper, relay: Relay) -> None:
    account = await relay.account()
    await taxed(relay.pool, account, "19")
    await relay.use(account, "2026-10-02T00:00Z", tokens=(2_198_000, 670_000))
    invoice = await relay.invoiced("2026-10", account)
    assert (money.format(invoice.total), money.format(invoice.tax)) == ("63.15", "10.08")
    part = await books.done(
        f"invoices/{invoice.id}/credit-notes", reason="x", lines=[{"position": 1, "amount": "10.03"}]
    )
    assert (part["subtotal"], part["tax"], part["total"]) == ("10.03", "1.91", "11.94")
    assert part["taxes"][0]["taxable"] == "10.03"
    rest = await books.done(f"invoices/{invoice.id}/void", reason="x")
    assert Decimal(part["total"]) + Decimal(rest["total"]) == Decimal("63.15")
    assert await books.balance(invoice) == "0"


@pytest.mark.parametrize("inclusive", [True, False])
async def test_a_credited_month_meets_the_next_statement(books: Bookkeeper, relay: Relay, inclusive: bool) -> None:
    """What is credited and paid now is in the statement of the month it is made in, and that is the ledger."""
    account = await relay.account()
    await taxed(relay.pool, account, "19", inclusive=inclusive)
    await relay.use(account, "2026-09-02T00:00Z", tokens=(2_198_000, 670_000))
    invoice = await relay.invoiced("2026-09", account)
    await books.done(f"invoices/{invoice.id}/credit-notes", reason="x", lines=[{"position": 1, "amount": "10.03"}])
    open_ = (await books.standing(invoice))["open"]
    payment = await books.done(f"invoices/{invoice.id}/payments", reference="T1", paid_at="2026-10-10T00:00:00Z")
    assert payment["amount"] == open_
    await relay.use(account, "2026-10-15T00:00Z", tokens=(1000, 0))
    october = await relay.invoiced("2026-10", account)
    assert money.format(october.statement.payments) == open_
    assert october.statement.credit_notes == 0
    shown = await books.client.get("/v1/statements", params={"account": account})
    statement = shown.json()["statement"]
    assert Decimal(statement["credit_notes"]) == Decimal((await books.standing(invoice))["credited"])
    assert statement["closing"] == await books.balance(invoice)


async def test_a_note_is_paid_out_when_the_invoice_is_paid(books: Bookkeeper, invoice: Invoice) -> None:
    asked = {"reason": "x", "refund": True, "lines": [{"position": 1, "amount": "1"}]}
    url = f"invoices/{invoice.id}/credit-notes"
    assert await books.refused(url, **asked) == (422, "invoice_unpaid")
    await books.done(f"invoices/{invoice.id}/payments", reference="T1")
    note = await books.done(url, **asked)
    assert note["settle"] == "refund"
    assert await books.balance(invoice) == "0"
    posting = (await books.client.get("/v1/postings", params={"account": invoice.account_id})).json()["data"][0]
    assert (posting["kind"], posting["source"], posting["destination"]) == ("credit_note", "revenue", "cash")
    assert (posting["transaction"], posting["reference"]) == (note["transaction"], note["id"])


@pytest.mark.parametrize(("category", "most"), [("promotional", "32.97"), ("paid", "53.07")])
async def test_only_what_was_paid_with_money_is_paid_out(
    books: Bookkeeper, relay: Relay, category: str, most: str
) -> None:
    account = await relay.account()
    await relay.move(account, "100", "2026-10-01T00:00Z")
    given = {"amount": "20.1", "category": category, "effective_at": "2026-10-01T00:00:00Z"}
    await books.done(f"accounts/{account}/grants", **given)
    await relay.use(account, "2026-10-02T00:00Z", tokens=(2_198_000, 670_000))
    invoice = await relay.invoiced("2026-10", account)
    url = f"invoices/{invoice.id}/credit-notes"
    asked = {"reason": "x", "refund": True}
    if category == "promotional":
        assert await books.refused(f"invoices/{invoice.id}/void", **asked) == (422, "refund_too_large")
        await books.done(url, **asked, lines=[{"position": 1, "amount": "30"}])
        more = {"lines": [{"position": 2, "amount": "2.98"}]}
        assert await books.refused(url, **asked, **more) == (422, "refund_too_large")
        more["lines"][0]["amount"] = "2.97"
        await books.done(url, **asked, **more)
        await books.done(f"invoices/{invoice.id}/void", reason="the rest was a gift")
    else:
        await books.done(f"invoices/{invoice.id}/void", **asked)
    notes = (await books.client.get("/v1/credit-notes", params={"account": account})).json()["data"]
    assert sum(Decimal(note["total"]) for note in notes if note["settle"] == "refund") == Decimal(most)


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"lines": [{"position": 1, "amount": "0.005"}]}, (400, "invalid_amount")),
        ({"lines": [{"position": 1, "amount": "-1"}]}, (400, "invalid_amount")),
        ({"lines": [{"position": 1, "amount": "1", "quantity": 1}]}, (400, "invalid_amount")),
        ({"lines": []}, (400, "invalid_body")),
        ({"lines": [{"position": 9}]}, (422, "invalid_line")),
        ({"lines": [{"position": 1, "amount": "32.98"}]}, (422, "credit_too_large")),
    ],
)
async def test_what_cannot_be_credited_is_refused(
    books: Bookkeeper, invoice: Invoice, body: dict[str, object], refusal: tuple[int, str]
) -> None:
    assert await books.refused(f"invoices/{invoice.id}/credit-notes", reason="x", **body) == refusal
    assert (await books.standing(invoice))["credit_notes"] == []


async def test_what_is_not_there_is_named(books: Bookkeeper) -> None:
    assert await books.refused("invoices/inv_none/credit-notes", reason="x") == (404, "unknown_invoice")
    assert await books.refused("invoices/inv_none/replace", reason="x") == (404, "unknown_invoice")
    assert await books.refused("payments/pay_none/reverse", reason="x") == (404, "unknown_payment")
    for url, code in [("cn_none", "unknown_credit_note"), ("cn_none.exe", "unknown_format")]:
        answer = await books.client.get(f"/v1/credit-notes/{url}")
        assert (answer.status_code, answer.json()["code"]) == (404, code)


async def test_notes_at_once_never_credit_more_than_there_is(books: Bookkeeper, invoice: Invoice) -> None:
    asked = [{"position": 1, "amount": "10"}]
    url = f"invoices/{invoice.id}/credit-notes"
    answers = await asyncio.gather(*(books.post(url, reason="race", lines=asked) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 422, 422, 422]
    assert (await books.standing(invoice))["credited"] == "30"
    answers = await asyncio.gather(*(books.post(f"invoices/{invoice.id}/void", reason="race") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert await books.balance(invoice) == "0"


async def test_the_same_key_is_the_same_note(books: Bookkeeper, invoice: Invoice) -> None:
    url, body = f"invoices/{invoice.id}/credit-notes", {"reason": "x", "lines": [{"position": 1, "amount": "1"}]}
    first = await books.post(url, key=f"{invoice.id} 1", **body)
    again = await books.post(url, key=f"{invoice.id} 1", **body)
    assert first.json() == again.json()
    assert (await books.post(url, key=f"{invoice.id} 1", reason="y")).json()["code"] == "idempotency_key_reused"
    assert (await books.client.post(f"/v1/{url}", json=body)).json()["code"] == "idempotency_key"


async def test_the_same_key_has_the_same_answer_of_every_request(books: Bookkeeper, invoice: Invoice) -> None:
    async def twice(url: str, **body: object) -> dict[str, Any]:
        first, again = [await books.post(url, key=f"{invoice.id} {url}", **body) for _ in range(2)]
        assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
        done: dict[str, Any] = first.json()
        return done

    account = f"accounts/{invoice.account_id}"
    top_up = await twice(f"{account}/top-ups", amount="60", reference="T0")
    await twice(f"{account}/refunds", transaction=top_up["transaction"], amount="1", reason="x")
    await twice(f"{account}/adjustments", amount="-1", reason="x")
    grant = await twice(f"{account}/grants", amount="1", category="promotional")
    await twice(f"{account}/grants/{grant['id']}/void", reason="x")
    payment = await twice(f"invoices/{invoice.id}/payments", reference="T1", amount="1")
    await twice(f"payments/{payment['id']}/reverse", reason="x")
    new = await twice(f"invoices/{invoice.id}/replace", reason="x")
    await twice(f"invoices/{new['id']}/credit-notes", reason="x", lines=[{"position": 1, "amount": "1"}])
    await twice(f"invoices/{new['id']}/void", reason="x")


async def test_an_invoice_is_paid_in_parts(books: Bookkeeper, invoice: Invoice) -> None:
    url = f"invoices/{invoice.id}/payments"
    first = await books.done(url, reference="T1", amount="50", method="transfer")
    assert (first["method"], first["reference"]) == ("transfer", "T1")
    standing = await books.standing(invoice)
    assert (standing["status"], standing["paid"], standing["open"]) == ("partly_paid", "50", "3.07")
    assert await books.balance(invoice) == "-3.07"
    assert await books.refused(url, reference="T1", amount="1") == (409, "payment_exists")
    assert await books.refused(url, reference="T2", amount="3.08") == (422, "payment_too_large")
    assert await books.refused(url, reference="T2", amount="0") == (400, "invalid_amount")
    assert await books.refused(url, reference="T2", paid_at="2199-01-01T00:00:00Z") == (422, "future")
    assert await books.refused(url, reference="T2", paid_at="2019-01-01T00:00:00Z") == (422, "too_early")
    await books.done(url, reference="T2")
    standing = await books.standing(invoice)
    assert (standing["status"], standing["open"], len(standing["payments"])) == ("paid", "0", 2)
    assert await books.refused(url, reference="T3") == (422, "payment_too_large")


async def test_the_same_transfer_at_once_is_booked_once(books: Bookkeeper, invoice: Invoice) -> None:
    url = f"invoices/{invoice.id}/payments"
    answers = await asyncio.gather(*(books.post(url, reference="T1", amount="5") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert await books.balance(invoice) == "-48.07"


async def test_a_payment_that_bounces_goes_out_again(books: Bookkeeper, invoice: Invoice) -> None:
    url = f"invoices/{invoice.id}/payments"
    payment = await books.done(url, reference="T1")
    back = await books.done(f"payments/{payment['id']}/reverse", reason="no funds")
    assert (back["reason"], back["reversal"] is None) == ("no funds", False)
    standing = await books.standing(invoice)
    assert (standing["status"], standing["paid"], standing["open"]) == ("open", "0", "53.07")
    assert await books.balance(invoice) == "-53.07"
    assert await books.refused(f"payments/{payment['id']}/reverse", reason="x") == (409, "payment_reversed")
    posting = (await books.client.get("/v1/postings", params={"account": invoice.account_id})).json()["data"][0]
    assert (posting["kind"], posting["reverses"]) == ("payment", payment["transaction"])
    await books.done(url, reference="T1")
    assert (await books.standing(invoice))["status"] == "paid"


async def test_what_went_off_the_open_amount_stays_as_it_was(
    books: Bookkeeper, invoice: Invoice, conn: Connection
) -> None:
    """A bounced payment is taken back by a transaction that began before the note, and waited."""
    payment = await books.done(f"invoices/{invoice.id}/payments", reference="T1", amount="52")
    async with conn.transaction():
        await conn.execute("SELECT now()")
        lines = [{"position": 1, "amount": "10"}]
        note = await books.done(f"invoices/{invoice.id}/credit-notes", reason="x", lines=lines)
        assert note["off_due"] == "1.07"
        await reverse(conn, payment["id"], reason="bounced", actor="test")
    assert (await books.client.get(f"/v1/credit-notes/{note['id']}")).json() == note


async def test_a_top_up_is_counted_towards_an_invoice(books: Bookkeeper, invoice: Invoice) -> None:
    url = f"invoices/{invoice.id}/payments"
    top_up = await books.done(f"accounts/{invoice.account_id}/top-ups", amount="60", reference="T1")
    assert await books.refused(url, reference="T1") == (409, "payment_exists")
    assert await books.refused(url, reference="T2", from_top_up=True) == (404, "unknown_top_up")
    for day, code in (("2199-01-01T00:00:00Z", "future"), ("2019-01-01T00:00:00Z", "too_early")):
        assert await books.refused(url, reference="T1", from_top_up=True, paid_at=day) == (422, code)
    payment = await books.done(url, reference="T1", from_top_up=True, amount="50")
    assert (payment["transaction"], await books.balance(invoice)) == (top_up["transaction"], "6.93")
    refunds, asked = f"accounts/{invoice.account_id}/refunds", {"transaction": top_up["transaction"], "reason": "x"}
    assert await books.refused(refunds, amount="10.01", **asked) == (422, "refund_too_large")
    await books.done(refunds, amount="6.93", **asked)
    assert await books.refused(url, reference="T1", from_top_up=True, amount="3.07001") == (422, "payment_too_large")
    await books.done(url, reference="T1", from_top_up=True)
    assert (await books.standing(invoice))["status"] == "paid"
    back = await books.done(f"payments/{payment['id']}/reverse", reason="another invoice")
    assert (back["reversal"], await books.balance(invoice)) == (None, "0")
    assert (await books.standing(invoice))["open"] == "50"


async def test_an_invoice_is_replaced(books: Bookkeeper, invoice: Invoice, relay: Relay) -> None:
    """The customer had moved: the same lines, a new address, another number; the payment goes along."""
    await books.done(f"invoices/{invoice.id}/payments", reference="T1", amount="50")
    await books.client.patch(f"/v1/accounts/{invoice.account_id}", json={"name": "Ada AG", "address": "Zürich"})
    new = await books.done(f"invoices/{invoice.id}/replace", reason="the customer moved")
    assert (new["customer"]["name"], new["customer"]["address"]) == ("Ada AG", "Zürich")
    assert (new["total"], new["standing"]["replaces"], new["standing"]["open"]) == ("53.07", invoice.id, "3.07")
    assert new["number"] != invoice.number
    old = (await books.client.get(f"/v1/invoices/{invoice.id}")).json()
    assert (old["customer"]["name"], old["lines"]) == (invoice.customer.name, new["lines"])
    standing = old["standing"]
    assert (standing["status"], standing["replaced_by"], standing["open"]) == ("void", new["id"], "0")
    [note] = standing["credit_notes"]
    assert (note["settle"], note["total"]) == ("replacement", "53.07")
    assert await books.balance(invoice) == "-3.07"
    assert await books.refused(f"invoices/{invoice.id}/replace", reason="x") == (409, "invoice_void")
    [payment] = new["standing"]["payments"]
    await books.done(f"payments/{payment['id']}/reverse", reason="bounced")
    assert await books.balance(invoice) == "-53.07"
    again = await books.done(f"invoices/{new['id']}/replace", reason="once more")
    await books.done(f"invoices/{again['id']}/credit-notes", reason="x", lines=[{"position": 2}])
    assert await books.refused(f"invoices/{again['id']}/replace", reason="x") == (409, "invoice_credited")
    await relay.use(invoice.account_id, "2026-10-20T00:00Z")  # late: billed in November
    assert (await relay.close("2026-10", invoice.account_id)).outcome == "already_closed"


async def test_invoices_are_listed_by_what_has_become_of_them(books: Bookkeeper, relay: Relay) -> None:
    account = await relay.account()
    made = []
    for month in ("05", "06", "07", "08"):
        await relay.use(account, f"2026-{month}-02T00:00Z", tokens=(2_198_000, 670_000))
        made.append(await relay.invoiced(f"2026-{month}", account))
    await books.done(f"invoices/{made[0].id}/void", reason="x")
    await books.done(f"invoices/{made[1].id}/payments", reference="T1")
    await books.done(f"invoices/{made[2].id}/payments", reference="T2", amount="1")

    async def listed(status: str) -> list[str]:
        answer = await books.client.get("/v1/invoices", params={"account": account, "status": status})
        return [found["id"] for found in answer.json()["data"]]

    assert await listed("void") == [made[0].id]
    assert await listed("paid") == [made[1].id]
    assert await listed("partly_paid") == [made[2].id]
    assert await listed("open") == [made[3].id]
    assert await listed("overdue") == []
    answer = await books.client.get("/v1/invoices", params={"status": "lost"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")


async def test_what_is_not_paid_in_time_is_overdue(books: Bookkeeper, own_relay: Relay) -> None:
    account = await own_relay.account()
    await own_relay.use(account, "2026-10-02T00:00Z", tokens=(2_198_000, 670_000))
    invoice = await own_relay.invoiced("2026-10", account)
    async with own_relay.pool.connection() as conn:
        assert (await store.standing(conn, invoice.id)).status == "open"
        await conn.execute("SET session_replication_role = replica")
        await conn.execute("UPDATE invoices SET due_date = current_date - 2")
        assert (await store.standing(conn, invoice.id)).status == "overdue"


async def test_a_customer_sees_notes_of_its_own_only(books: Bookkeeper, invoice: Invoice, conn: Connection) -> None:
    note = await books.done(f"invoices/{invoice.id}/void", reason="=cmd()")
    mine = {"Authorization": f"Bearer {await factories.key(conn, 'customer', invoice.account_id)}"}
    other = {"Authorization": f"Bearer {await factories.key(conn, 'customer', await factories.account(conn))}"}
    client = books.client
    assert (await client.get("/v1/credit-notes", headers=mine)).json()["data"] == [note]
    assert (await client.get("/v1/credit-notes", headers=other)).json()["data"] == []
    assert (await client.get("/v1/credit-notes", params={"account": invoice.account_id})).json()["data"] == [note]
    url = f"/v1/credit-notes/{note['id']}"
    assert (await client.get(url, headers=mine)).json() == note
    assert (await client.get(url, headers=other)).json()["code"] == "unknown_credit_note"
    assert (await client.get(f"{url}.json", headers=mine)).json() == note
    assert (await client.get(f"{url}.ndjson", headers=mine)).json() == note
    table = list(csv.DictReader(io.StringIO((await client.get(f"{url}.csv", headers=mine)).text)))
    assert [(row["record"], row["amount"]) for row in table] == [
        ("line", "32.97"),
        ("line", "20.1"),
        ("subtotal", "53.07"),
        ("tax", "0"),
        ("tax_included", "0"),
        ("total", "53.07"),
    ]
    for name in ("credit-notes", "void", "replace", "payments"):
        answer = await client.post(f"/v1/invoices/{invoice.id}/{name}", json={}, headers=mine)
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_scope")
