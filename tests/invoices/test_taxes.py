"""Taxes: worked out in exact fractions, posted, printed, and who pays which (rules.md Invoices 3)."""

from decimal import Decimal
from fractions import Fraction

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.invoices.taxes import Rate, added, included, taxes_of
from pricing import money
from tests.invoices.conftest import Relay, differences

pytestmark = pytest.mark.anyio

usd = money.parse
CENT = money.PICOS_PER_CENT


def rate(percent: str, *, inclusive: bool = False) -> Rate:
    return Rate(id="t", name=f"Tax {percent}%", percent=Decimal(percent), inclusive=inclusive)


def test_a_tax_on_top_is_rounded_once_half_away_from_zero() -> None:
    [vat] = taxes_of(usd("10.50"), [rate("19")])
    assert (vat.taxable, vat.amount) == (usd("10.50"), usd("2.00"))  # 1.995
    [less] = taxes_of(-usd("10.50"), [rate("19")])
    assert (less.taxable, less.amount) == (-usd("10.50"), -usd("2.00"))


def test_a_tax_within_leaves_the_subtotal_as_it_is() -> None:
    [vat] = taxes_of(usd("119"), [rate("19", inclusive=True)])
    assert (vat.taxable, vat.amount) == (usd("100"), usd("19"))
    state, city = taxes_of(usd("100"), [rate("5", inclusive=True), rate("9.975", inclusive=True)])
    assert (state.amount, city.amount) == (usd("4.35"), usd("8.68"))  # of 100 / 1.14975 = 86.975…
    assert state.taxable == city.taxable == usd("86.97")


percents = st.decimals(0, 100, places=6)
subtotals = st.integers(-(10**9), 10**9).map(lambda cents: cents * CENT)


@given(subtotals, st.lists(percents, max_size=4), st.booleans())
def test_taxes_are_percentages_to_the_cent(subtotal: int, percents: list[Decimal], inclusive: bool) -> None:
    taxes = taxes_of(subtotal, [rate(str(percent), inclusive=inclusive) for percent in percents])
    assert (added(taxes) if not inclusive else included(taxes)) == sum(tax.amount for tax in taxes)
    assert (included(taxes) if not inclusive else added(taxes)) == 0
    whole = 100 + (sum(map(Fraction, percents)) if inclusive else 0)
    for tax, percent in zip(taxes, percents, strict=True):
        assert tax.amount % CENT == 0
        assert abs(tax.amount - Fraction(subtotal) * Fraction(percent) / whole) <= Fraction(CENT, 2)
        assert tax.taxable + included(taxes) == subtotal


async def add_rate(client: httpx.AsyncClient, name: str, percent: str, **more: object) -> str:
    body = {"id": name, "name": f"VAT {percent}%", "percent": percent, **more}
    answer = await client.post("/v1/tax-rates", json=body)
    assert answer.status_code in (201, 409), answer.text
    return name


async def set_taxes(client: httpx.AsyncClient, account: str, *rates: str, since: str = "2020-01-01T00:00:00Z") -> None:
    body = {"account": account, "rates": list(rates), "effective_from": since}
    assert (await client.post("/v1/taxes", json=body)).status_code == 201


async def books(relay: Relay, account: str) -> dict[str, int]:
    """What the account's books hold, in picodollars."""
    async with relay.pool.connection() as conn:
        cursor = await conn.execute(
            """
            SELECT book, sum(amount) AS amount
            FROM (
              SELECT destination AS book, amount FROM postings WHERE account_id = %(account)s
              UNION ALL
              SELECT source, -amount FROM postings WHERE account_id = %(account)s
            ) AS legs
            GROUP BY book
            """,
            {"account": account},
        )
        return {row["book"]: int(row["amount"] * money.PICOS_PER_DOLLAR) for row in await cursor.fetchall()}


async def test_a_tax_on_top_is_taken_from_the_wallet_and_the_statement_meets_the_ledger(
    client: httpx.AsyncClient, relay: Relay
) -> None:
    account = await relay.account()
    await set_taxes(client, account, await add_rate(client, "vat-19", "19"))
    await relay.move(account, "100", "2026-10-01T00:00Z")
    await relay.use(account, "2026-10-15T12:00Z", tokens=(1_000_000, 0))
    invoice = await relay.invoiced("2026-10", account)
    assert (invoice.subtotal, invoice.tax, invoice.total) == (usd("15"), usd("2.85"), usd("17.85"))
    assert invoice.statement.closing == await relay.posted(account) == usd("82.15")
    assert (await books(relay, account))["taxes"] == usd("2.85")
    shown = (await client.get(f"/v1/invoices/{invoice.id}")).json()
    assert shown["taxes"] == [
        {
            "name": "VAT 19%",
            "percent": "19",
            "inclusive": False,
            "reverse_charge": False,
            "note": None,
            "taxable": "15",
            "amount": "2.85",
        }
    ]
    assert (shown["tax"], shown["tax_included"], shown["statement"]["tax"]) == ("2.85", "0", "2.85")
    october = await client.get(f"/v1/statements?account={account}&from=2026-10-01&to=2026-11-01")
    assert october.json()["statement"] == shown["statement"]
    async with relay.pool.connection() as conn:
        assert [found for found in await differences(conn) if invoice.number in found] == []


async def test_a_tax_within_is_taken_from_revenue_and_the_wallet_is_as_it_was(
    client: httpx.AsyncClient, relay: Relay
) -> None:
    account = await relay.account()
    await set_taxes(client, account, await add_rate(client, "gst-10", "10", inclusive=True))
    await relay.use(account, "2026-10-15T12:00Z", tokens=(1_100_000, 0))
    invoice = await relay.invoiced("2026-10", account)
    assert (invoice.subtotal, invoice.tax, invoice.tax_included, invoice.total) == (
        *(usd("16.50"), 0, usd("1.50"), usd("16.50")),
    )
    assert invoice.statement.closing == await relay.posted(account) == -usd("16.50")
    held = await books(relay, account)
    assert (held["taxes"], held["revenue"]) == (usd("1.50"), usd("15"))
    async with relay.pool.connection() as conn:
        assert [found for found in await differences(conn) if invoice.number in found] == []


async def test_reverse_charge_prints_its_text_and_charges_nothing(client: httpx.AsyncClient, relay: Relay) -> None:
    account = await relay.account()
    text = "Steuerschuldnerschaft des Leistungsempfängers"
    await set_taxes(client, account, await add_rate(client, "reverse", "0", reverse_charge=True, note=text))
    await client.patch(f"/v1/accounts/{account}", json={"tax_id": "DE123456789"})
    await relay.use(account, "2026-10-15T12:00Z", tokens=(1_000_000, 0))
    invoice = await relay.invoiced("2026-10", account)
    [tax] = invoice.taxes
    assert (tax.reverse_charge, tax.note, tax.taxable, tax.amount) == (True, text, usd("15"), 0)
    assert (invoice.total, invoice.customer.tax_id) == (usd("15"), "DE123456789")
    assert invoice.tax_transaction is None


async def test_the_taxes_in_force_when_the_period_ends_are_borne(client: httpx.AsyncClient, relay: Relay) -> None:
    account = await relay.account()
    low, high = await add_rate(client, "vat-16", "16"), await add_rate(client, "vat-19", "19")
    await set_taxes(client, account, low, since="2026-08-31T23:59:59Z")
    await set_taxes(client, account, high, since="2026-09-01T00:00:00Z")
    await set_taxes(client, account, since="2026-10-01T00:00:00Z")
    months = ("08", "09", "10")
    for month in months:
        await relay.use(account, f"2026-{month}-15T12:00Z", tokens=(1_000_000, 0))
    borne = [[tax.percent for tax in (await relay.invoiced(f"2026-{month}", account)).taxes] for month in months]
    assert borne == [["16"], ["19"], []]


async def test_everybodys_taxes_are_those_of_who_has_none_of_its_own(own_relay: Relay) -> None:
    relay = own_relay
    accounts = [await relay.account() for _ in range(3)]
    async with relay.pool.connection() as conn:
        await conn.execute(
            """
            INSERT INTO tax_rates (id, name, percent, inclusive, reverse_charge, actor)
            VALUES ('all', 'All', 10, false, false, 'test'), ('own', 'Own', 5, false, false, 'test')
            """
        )
        for account, rates in ((None, ["all"]), (accounts[1], ["own"]), (accounts[2], ["own"]), (accounts[2], None)):
            await conn.execute(
                """
                INSERT INTO account_taxes (account_id, rates, effective_from, actor)
                VALUES (%s, %s, '2020-01-01Z', 'test')
                """,
                [account, rates],
            )
    for account in accounts:
        await relay.use(account, "2026-10-15T12:00Z", tokens=(1_000_000, 0))
    assert [(await relay.invoiced("2026-10", account)).tax for account in accounts] == [
        *(usd("1.50"), usd("0.75"), usd("1.50")),
    ]


async def test_what_makes_no_tax_is_refused(client: httpx.AsyncClient, relay: Relay) -> None:
    account = await relay.account()
    outside, inside = await add_rate(client, "on-top", "5"), await add_rate(client, "within", "5", inclusive=True)
    mixed = await client.post("/v1/taxes", json={"account": account, "rates": [outside, inside]})
    assert (mixed.status_code, mixed.json()["code"]) == (422, "mixed_taxes")
    unknown = await client.post("/v1/taxes", json={"account": account, "rates": ["nothing"]})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_tax_rate")
    twice = await client.post("/v1/taxes", json={"account": account, "rates": [outside, outside]})
    assert (twice.status_code, twice.json()["code"]) == (422, "repeated_tax_rate")
    again = await client.post("/v1/tax-rates", json={"id": outside, "name": "Other", "percent": "7"})
    assert (again.status_code, again.json()["code"]) == (409, "tax_rate_exists")
    nobody = await client.post("/v1/taxes", json={"account": "acct_nobody", "rates": []})
    assert (nobody.status_code, nobody.json()["code"]) == (404, "unknown_account")
    for percent in ("-1", "101", "1e1", "19.1234567"):
        assert (
            await client.post("/v1/tax-rates", json={"id": "x", "name": "X", "percent": percent})
        ).status_code == 400
    charged = {"id": "x", "name": "X", "percent": "19", "reverse_charge": True}
    assert (await client.post("/v1/tax-rates", json=charged)).status_code == 400
    assert [row["rates"] for row in (await client.get(f"/v1/taxes?account={account}")).json()["data"]] == []
    assert {"on-top", "within"} <= {row["id"] for row in (await client.get("/v1/tax-rates")).json()["data"]}
