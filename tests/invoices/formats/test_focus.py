"""FOCUS 1.2: the rules of the specification, and Σ BilledCost = the payable invoice."""

import csv
import io
import re
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from billing.invoices.formats import focus
from billing.invoices.settlement import focus as focus_of_notes
from billing.invoices.settlement.note import Settle, Wanted
from billing.invoices.settlement.views import CreditNoteView, note_view
from billing.invoices.view import InvoiceView
from pricing.money import parse as usd
from tests.invoices.formats.samples import INVOICES, NOTES, VIEWS, credit_note

MANDATORY = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd"),
    *(
        "BillingPeriodStart",
        "ChargeCategory",
        "ChargeClass",
        "ChargeDescription",
        "ChargePeriodEnd",
        "ChargePeriodStart",
    ),
    *("ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit"),
    *("ProviderName", "PublisherName", "ServiceCategory", "ServiceName"),
)
NEVER_NULL = (
    *("BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory"),
    *("ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost"),
    *("ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "ServiceSubcategory"),
)
PRICED = (
    "ListUnitPrice",
    "ContractedUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "SkuId",
    "SkuPriceId",
    "PricingCategory",
)
NUMERIC = re.compile(r"-?[0-9]+\.[0-9]+", re.ASCII)
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
UNIT = re.compile(r"([0-9]+ )?[A-Z][A-Za-z]*s|USD", re.ASCII)

CATEGORIES = ("Usage", "Purchase", "Tax", "Credit")

Row = dict[str, str]


def rows(shown: InvoiceView) -> list[Row]:
    return list(csv.DictReader(io.StringIO(focus.table(shown).decode(), newline="")))


every_sort = pytest.mark.parametrize("name", VIEWS)


@every_sort
def test_billed_costs_of_an_invoice_are_what_it_asks_for(name: str) -> None:
    shown = VIEWS[name]
    assert sum(Decimal(row["BilledCost"]) for row in rows(shown) if row["InvoiceId"]) == Decimal(shown.amount_due)


@every_sort
def test_effective_costs_are_what_was_consumed(name: str) -> None:
    shown = VIEWS[name]
    costs = {
        category: sum(Decimal(row["EffectiveCost"]) for row in rows(shown) if row["ChargeCategory"] == category)
        for category in ("Usage", "Tax", "Credit", "Purchase")
    }
    assert list(costs.values()) == [
        *(Decimal(amount) for amount in (shown.subtotal, shown.tax)),
        *(-Decimal(shown.applied.credits), 0),
    ]


@every_sort
def test_the_rules_of_columns(name: str) -> None:
    for row in rows(VIEWS[name]):
        assert set(MANDATORY) <= set(row)
        assert all(row[column] for column in NEVER_NULL)
        assert row["ChargeCategory"] in ("Usage", "Purchase", "Tax", "Credit")
        assert row["ChargeClass"] in ("", "Correction")
        assert row["PricingCategory"] in ("", "Standard")
        assert all(NUMERIC.fullmatch(row[column]) for column in focus.DECIMAL_COLUMNS if row[column])
        assert all(INSTANT.fullmatch(row[column]) for column in row if column.endswith(("PeriodStart", "PeriodEnd")))
        assert all(UNIT.fullmatch(row[column]) for column in ("PricingUnit", "ConsumedUnit") if row[column])
        assert all(bool(row[column]) == (row["ChargeCategory"] in ("Usage", "Purchase")) for column in PRICED)
        assert all(
            bool(row[column]) == (row["ChargeCategory"] == "Usage") for column in ("ConsumedQuantity", "ConsumedUnit")
        )
        assert bool(row["InvoiceId"]) == (row["ChargeCategory"] != "Purchase")


@every_sort
def test_a_unit_price_times_a_quantity_is_the_cost(name: str) -> None:
    for row in rows(VIEWS[name]):
        if row["PricingQuantity"]:
            quantity = Fraction(row["PricingQuantity"])
            for cost, price in (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")):
                assert abs(quantity * Fraction(row[price]) - Fraction(row[cost])) < Fraction(1, 10**14)


def test_exact_amounts_are_kept() -> None:
    shown = VIEWS["mixed"]
    usage = [row for row in rows(shown) if row["ChargeCategory"] == "Usage"]
    assert [Decimal(row["x_AmountExact"]) for row in usage] == [Decimal(line.amount_exact) for line in shown.lines]
    assert [row["SkuPriceId"] for row in usage] == [line.entry for line in shown.lines]
    rounding = [Decimal(row["x_AmountExact"]) - Decimal(row["ContractedCost"]) for row in usage]
    assert max(map(abs, rounding)) <= Decimal("0.000000000007")


def test_prepaid_usage_is_billed_by_its_top_ups() -> None:
    found = rows(VIEWS["prepaid"])
    assert {row["BilledCost"] for row in found if row["ChargeCategory"] == "Usage"} == {"0.0"}
    [top_up] = [row for row in found if row["ChargeCategory"] == "Purchase"]
    assert (top_up["BilledCost"], top_up["EffectiveCost"], top_up["InvoiceId"]) == ("5000.0", "0.0", "")


def test_late_usage_is_a_correction_of_its_period() -> None:
    late = [row for row in rows(VIEWS["mixed"]) if row["ChargeClass"]]
    assert {(row["ChargePeriodStart"], row["ChargePeriodEnd"], row["BillingPeriodStart"]) for row in late} == {
        ("2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z", "2026-10-01T00:00:00Z")
    }
    assert len(late) == 2


def test_ndjson_has_the_same_rows() -> None:
    for name, shown in VIEWS.items():
        documents = [msgspec.json.decode(line) for line in focus.lines(shown).splitlines()]
        as_text = [
            {column: focus.text_of(column, value) for column, value in document.items()} for document in documents
        ]
        assert as_text == rows(shown), name


@pytest.mark.parametrize(("number", "text"), [("1/3", "0.333333333333333"), ("1000000", "1000000"), ("1/8", "0.125")])
def test_quantities_have_all_digits_or_fifteen(number: str, text: str) -> None:
    assert focus.decimal(Fraction(number)) == text


def test_the_samples_are_of_every_sort() -> None:
    found = {name: VIEWS[name].settlement for name in ("postpaid", "prepaid", "mixed")}
    assert found == {name: name for name in found}
    assert VIEWS["gives back"].total.startswith("-")
    assert VIEWS["mixed"].applied.credits == "8.25"


def note_rows(shown: CreditNoteView) -> list[Row]:
    return list(csv.DictReader(io.StringIO(focus_of_notes.table(shown).decode(), newline="")))


def cost(found: list[Row], name: str, *categories: str) -> Decimal:
    return sum((Decimal(row[name]) for row in found if row["ChargeCategory"] in (categories or CATEGORIES)), Decimal(0))


def settled(settle: Settle, of: str = "mixed", *wanted: Wanted) -> CreditNoteView:
    return note_view(msgspec.structs.replace(credit_note(INVOICES[of], *wanted), settle=settle), INVOICES[of])


every_note = pytest.mark.parametrize("name", NOTES)


@every_note
def test_a_note_takes_back_what_it_credits(name: str) -> None:
    """By rows of what it corrects, each a correction, billed in the month of its issue."""
    shown = NOTES[name]
    found = note_rows(shown)
    assert cost(found, "EffectiveCost", "Usage") == -Decimal(shown.subtotal)
    assert cost(found, "EffectiveCost", "Tax") == -Decimal(shown.tax)
    assert cost(found, "BilledCost") == -Decimal(shown.off_due)
    for row in found:
        assert row["ChargeCategory"] in ("Usage", "Tax")
        assert (row["ChargeClass"], row["InvoiceId"]) == ("Correction", shown.number)
        assert row["x_CorrectedInvoiceId"] == shown.invoice.number
        assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
        assert all(row[column] for column in NEVER_NULL)
        assert all(NUMERIC.fullmatch(row[column]) for column in focus.DECIMAL_COLUMNS if row[column])
        assert bool(row["PricingQuantity"]) == bool(row["ListUnitPrice"]) == bool(row["ConsumedQuantity"])


def test_what_was_asked_for_is_taken_off_or_paid_out() -> None:
    parts = Wanted(position=1, amount=usd("0.07")), Wanted(position=5, quantity=1000)
    for settle in ("wallet", "refund"):
        shown = settled(settle, "mixed", *parts)
        billed = cost(note_rows(shown), "BilledCost")
        assert billed == -Decimal(shown.off_due if settle == "wallet" else shown.total)
    by_amount, by_quantity = note_rows(settled("wallet", "mixed", *parts))[:2]
    assert (by_amount["PricingQuantity"], by_amount["ListCost"]) == ("", "-0.07")
    exact = Fraction(by_quantity["PricingQuantity"]) * Fraction(by_quantity["ListUnitPrice"])
    assert exact < 0
    assert abs(exact - Fraction(by_quantity["ListCost"])) < Fraction(1, 10**14)


@pytest.mark.parametrize("of", ["mixed", "prepaid", "postpaid", "gives back"])
def test_a_note_for_a_replacement_takes_back_every_row(of: str) -> None:
    """With top-ups and credit that paid: the other invoice has them again, in the same periods."""
    said, back = rows(VIEWS[of]), note_rows(settled("replacement", of))
    assert len(said) == len(back)
    same = ("ChargeCategory", "BillingPeriodStart", "ChargePeriodStart", "SkuPriceId", "ListUnitPrice")
    for one, other in zip(said, back, strict=True):
        assert [one[name] for name in same] == [other[name] for name in same]
        assert bool(one["InvoiceId"]) == bool(other["InvoiceId"])
        for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "ConsumedQuantity"):
            assert Decimal(one[name] or 0) == -Decimal(other[name] or 0)


def test_the_rows_of_a_note_as_ndjson() -> None:
    for shown in NOTES.values():
        documents = [msgspec.json.decode(line) for line in focus_of_notes.lines(shown).splitlines()]
        as_text = [{name: focus.text_of(name, value) for name, value in document.items()} for document in documents]
        assert as_text == note_rows(shown)
