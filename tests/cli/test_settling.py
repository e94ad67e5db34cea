"""Invoices credited, replaced and paid from the command line: the same rules as over HTTP."""

import anyio
import pytest

from billing.db.pool import open_pool
from billing.invoices.invoice import Invoice
from billing.settings import Settings
from tests.cli.conftest import Billing, printed
from tests.invoices.conftest import Relay


@pytest.fixture
def invoice(url: str, settings: Settings) -> Invoice:
    """53.07 dollars of October, all of it due."""

    async def make() -> Invoice:
        async with await open_pool(settings, url) as pool:
            relay = Relay(pool, settings)
            account = await relay.account()
            await relay.use(account, "2026-10-02T00:00Z", tokens=(2_198_000, 670_000))
            return await relay.invoiced("2026-10", account)

    return anyio.run(make)


def test_an_invoice_is_paid_credited_and_replaced(billing: Billing, invoice: Invoice) -> None:
    pay = ("pay", invoice.id, "50", "--reference", "T1")
    assert "$50.00 by T1" in billing(*pay).output
    again = printed(billing("pay", invoice.number, *pay[2:], "--json"))
    assert (again["amount"], again["reference"]) == ("50", "T1")
    new = printed(billing("credit-note", invoice.id, "--reason", "moved", "--replace", "--json"))
    assert (new["standing"]["open"], new["standing"]["replaces"]) == ("3.07", invoice.id)
    moved = billing(*pay)
    assert moved.exit_code == 1
    assert "by T1 does not count any more (moved)" in moved.stderr
    for named in (new["id"], new["number"]):  # which is the same note
        noted = billing("credit-note", named, "--reason", "outage", "--line", "1=3", "--line", "2")
        assert noted.exit_code == 0, noted.output
    assert f"$23.10 of invoice {new['number']}, to the wallet" in noted.output
    rest = printed(billing("credit-note", new["id"], "--reason", "all", "--json"))
    assert rest["total"] == "29.97"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("credit-note", "inv_none", "--reason", "x"), 1, "There is no invoice inv_none."),
        (("credit-note", "inv_none", "--reason", "x", "--line", "a"), 2, "'a' is no line"),
        (("credit-note", "inv_none", "--reason", "x", "--line", "1=a"), 2, "An amount is plain dollars"),
        (("credit-note", "inv_none", "--reason", "x", "--replace", "--refund"), 2, "moves no money"),
        (("pay", "inv_none", "--reference", "x"), 1, "There is no invoice inv_none."),
        (("pay", "inv_none", "0", "--reference", "x"), 1, "A payment must be more than zero."),
    ],
)
def test_what_is_asked_for_wrongly_is_refused(
    billing: Billing, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    result = billing(*arguments)
    assert result.exit_code == code
    assert sentence in result.stderr
