"""FOCUS 1.2: the rules of the specification, and Σ BilledCost = the payable invoice."""

import csv
import io
import re
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from billing.invoices.formats import focus
from billing.invoices.view import InvoiceView
from tests.invoices.formats.samples import VIEWS

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
