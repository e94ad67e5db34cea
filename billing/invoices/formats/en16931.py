"""EN 16931 as a UN/CEFACT Cross Industry Invoice, in the profile that Factur-X and ZUGFeRD attach to PDFs.

Where the standard and our invoice differ:
- A price is per `unit_size` of what is counted (BT-149), a quantity is of what is counted (`C62`), seconds are `SEC`.
- Prices that contain tax: the lines keep their amounts, and an allowance on the document takes the tax out of them.
- Several taxes on the same amount are one category with the sum of their rates, since the standard has one a line.
- What is credited of a line by its amount is one piece at that price.
- What the balance left due in fractions of a cent is rounded to cents, since amounts have two decimals.
- A country is what the last line of an address is (`IE`), or the first letters of a tax id; without both the party
  has none, which receivers may refuse (BR-9, BR-11).
Terms are cited as the standard has them: BT-1 is the number of the invoice.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

from billing.errors import Unprocessable
from billing.invoices.formats.sheet import dimension
from billing.invoices.invoice import Customer, Issuer
from billing.invoices.settlement.views import CreditedInvoiceView, CreditLineView, CreditNoteView
from billing.invoices.view import InvoiceView, LineView, PeriodView, TaxView
from pricing import money

PROFILE = "urn:cen.eu:en16931:2017"
INVOICE, CREDIT_NOTE = "380", "381"
SPACES = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "qdt": "urn:un:unece:uncefact:data:standard:QualifiedDataType:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}
_UNITS = {"second": "SEC", "minute": "SEC", "hour": "SEC", "audio_hour": "SEC"}
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_TAX_COUNTRY = re.compile(r"([A-Z]{2})[0-9A-Z+*.]{2,}", re.ASCII)
_XML_CANNOT = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Category(NamedTuple):
    """How the lines are taxed: BT-118 code, BT-119 rate, what it comes to, and why nothing, if so (BT-120)."""

    code: str
    percent: str
    taxable: str
    tax: str
    reason: str | None


class Bill(NamedTuple):
    """What an invoice and a credit note have in common. `credits` is the invoice (BG-3) that a note corrects."""

    code: str
    number: str
    issued_at: datetime
    credits: CreditedInvoiceView | None
    issuer: Issuer
    customer: Customer
    period: PeriodView
    currency: str
    lines: Sequence[LineView | CreditLineView]
    taxes: Sequence[TaxView]
    subtotal: str
    tax_included: str
    total: str
    due: str
    due_date: date | None


def document(shown: InvoiceView) -> bytes:
    """The invoice as XML. Raises Unprocessable for a draft: the standard knows none."""
    if shown.number is None or shown.finalized_at is None:
        raise Unprocessable("draft_has_no_number", "A draft has no number, which the structured invoice must have.")
    return _written(
        Bill(
            code=INVOICE,
            number=shown.number,
            issued_at=shown.finalized_at,
            credits=None,
            due=shown.amount_due,
            due_date=shown.due_date,
            **{name: getattr(shown, name) for name in _SAME},
        )
    )


def note(shown: CreditNoteView) -> bytes:
    """The credit note as XML. Its amounts are what is given back, all of it due: to the customer."""
    return _written(
        Bill(
            code=CREDIT_NOTE,
            number=shown.number,
            issued_at=shown.issued_at,
            credits=shown.invoice,
            due=shown.total,
            due_date=None,
            **{name: getattr(shown, name) for name in _SAME},
        )
    )


_SAME = ("issuer", "customer", "period", "currency", "lines", "taxes", "subtotal", "tax_included", "total")


def _written(bill: Bill) -> bytes:
    root = Element("rsm:CrossIndustryInvoice", {f"xmlns:{prefix}": name for prefix, name in SPACES.items()})
    context = _in(root, "rsm:ExchangedDocumentContext")
    _in(_in(context, "ram:GuidelineSpecifiedDocumentContextParameter"), "ram:ID", PROFILE)
    head = _in(root, "rsm:ExchangedDocument")
    _in(head, "ram:ID", bill.number)
    _in(head, "ram:TypeCode", bill.code)
    _date(_in(head, "ram:IssueDateTime"), _day(bill.issued_at, bill))
    category = _category(bill)
    transaction = _in(root, "rsm:SupplyChainTradeTransaction")
    if not bill.lines:
        _nothing(transaction, category)
    for position, line in enumerate(bill.lines, start=1):
        _line(transaction, getattr(line, "position", position), line, category, bill)
    agreement = _in(transaction, "ram:ApplicableHeaderTradeAgreement")
    seller, buyer = bill.issuer, bill.customer
    _party(agreement, "ram:SellerTradeParty", seller.name, seller.address, seller.tax_id, category)
    _party(agreement, "ram:BuyerTradeParty", buyer.name, buyer.address or "", buyer.tax_id, category)
    delivery = _in(transaction, "ram:ApplicableHeaderTradeDelivery")
    delivered = _in(_in(delivery, "ram:ActualDeliverySupplyChainEvent"), "ram:OccurrenceDateTime")
    _date(delivered, _last_day(bill.period.end, bill))
    _settlement(transaction, bill, category)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f"<?xml version='1.0' encoding='UTF-8'?>\n{text}\n".encode()


def _category(bill: Bill) -> Category:
    """The one category of all lines, from the taxes there are."""
    if not bill.taxes:
        return Category("O", "0", bill.subtotal, "0", "Not subject to VAT")
    reasons = " ".join(tax.note for tax in bill.taxes if tax.note)
    taxable, tax = bill.taxes[0].taxable, _total(*(each.amount for each in bill.taxes))
    percent = f"{sum(Decimal(each.percent) for each in bill.taxes):f}"
    if Decimal(percent) == 0:
        if any(each.reverse_charge for each in bill.taxes):
            return Category("AE", "0", taxable, "0", reasons or "Reverse charge")
        return Category("E", "0", taxable, "0", reasons) if reasons else Category("Z", "0", taxable, "0", None)
    return Category("S", percent, taxable, tax, None)


def _line(transaction: Element, position: int, line: LineView | CreditLineView, category: Category, bill: Bill) -> None:
    item = _in(transaction, "ram:IncludedSupplyChainTradeLineItem")
    _in(_in(item, "ram:AssociatedDocumentLineDocument"), "ram:LineID", str(position))
    product = _in(item, "ram:SpecifiedTradeProduct")
    _in(product, "ram:SellerAssignedID", line.entry)
    _in(product, "ram:Name", " ".join(filter(None, (line.model, dimension(line.dimension, "en"), line.variant))))
    priced, delivered = (_in(item, f"ram:SpecifiedLineTrade{part}") for part in ("Agreement", "Delivery"))
    if line.quantity or line.amount == "0":
        _prices(priced, line)
        _in(delivered, "ram:BilledQuantity", str(line.quantity), unitCode=_unit(line))
    else:
        _in(_in(priced, "ram:NetPriceProductTradePrice"), "ram:ChargeAmount", line.amount)
        _in(delivered, "ram:BilledQuantity", "1", unitCode="C62")
    settled = _in(item, "ram:SpecifiedLineTradeSettlement")
    _tax_kind(_in(settled, "ram:ApplicableTradeTax"), category)
    if isinstance(line, LineView) and line.correction_of:
        _period(settled, line.correction_of.start, line.correction_of.end, bill)
    _in(_in(settled, "ram:SpecifiedTradeSettlementLineMonetarySummation"), "ram:LineTotalAmount", _cents(line.amount))


def _nothing(transaction: Element, category: Category) -> None:
    """The line of an invoice without lines: the standard wants one (BR-16)."""
    item = _in(transaction, "ram:IncludedSupplyChainTradeLineItem")
    _in(_in(item, "ram:AssociatedDocumentLineDocument"), "ram:LineID", "1")
    _in(_in(item, "ram:SpecifiedTradeProduct"), "ram:Name", "No usage")
    price = _in(_in(item, "ram:SpecifiedLineTradeAgreement"), "ram:NetPriceProductTradePrice")
    _in(price, "ram:ChargeAmount", "0")
    _in(_in(item, "ram:SpecifiedLineTradeDelivery"), "ram:BilledQuantity", "0", unitCode="C62")
    settled = _in(item, "ram:SpecifiedLineTradeSettlement")
    _tax_kind(_in(settled, "ram:ApplicableTradeTax"), category)
    _in(_in(settled, "ram:SpecifiedTradeSettlementLineMonetarySummation"), "ram:LineTotalAmount", "0.00")


def _prices(agreement: Element, line: LineView | CreditLineView) -> None:
    """The official price less what the multiplier takes off, or the price alone where it takes nothing off."""
    official = Decimal(line.official_unit_price)
    with localcontext(prec=60):
        net = official * Decimal(line.multiplier)
        discount = official - net
    if discount > 0:
        gross = _in(agreement, "ram:GrossPriceProductTradePrice")
        _price(gross, official, line)
        allowance = _in(gross, "ram:AppliedTradeAllowanceCharge")
        _in(_in(allowance, "ram:ChargeIndicator"), "udt:Indicator", "false")
        _in(allowance, "ram:ActualAmount", _plain(discount))
    _price(_in(agreement, "ram:NetPriceProductTradePrice"), net, line)


def _price(price: Element, dollars: Decimal, line: LineView | CreditLineView) -> None:
    _in(price, "ram:ChargeAmount", _plain(dollars))
    _in(price, "ram:BasisQuantity", str(line.unit_size), unitCode=_unit(line))


def _party(agreement: Element, tag: str, name: str, address: str, tax_id: str | None, category: Category) -> None:
    party = _in(agreement, tag)
    if tax_id:
        _in(party, "ram:ID", tax_id)  # BR-CO-26: a seller has one of several identifiers
    _in(party, "ram:Name", name)
    lines = [line.strip() for line in address.splitlines() if line.strip()]
    code = _TAX_COUNTRY.fullmatch(tax_id or "")
    country = lines.pop() if lines and _COUNTRY.fullmatch(lines[-1]) else code and code[1]
    if lines or country:
        postal = _in(party, "ram:PostalTradeAddress")
        rest = [*lines[:2], ", ".join(lines[2:])]
        for place, line in zip(("ram:LineOne", "ram:LineTwo", "ram:LineThree"), rest, strict=False):
            if line:
                _in(postal, place, line)
        if country:
            _in(postal, "ram:CountryID", country)
    if tax_id and code and category.code != "O":  # BR-O-2: who is not subject to VAT names no VAT number
        _in(_in(party, "ram:SpecifiedTaxRegistration"), "ram:ID", tax_id, schemeID="VA")


def _settlement(transaction: Element, bill: Bill, category: Category) -> None:
    settlement = _in(transaction, "ram:ApplicableHeaderTradeSettlement")
    _in(settlement, "ram:InvoiceCurrencyCode", bill.currency)
    tax = _in(settlement, "ram:ApplicableTradeTax")
    _in(tax, "ram:CalculatedAmount", _cents(category.tax))
    _tax_kind(tax, category)
    _period(settlement, bill.period.start, bill.period.end, bill)
    if bill.tax_included != "0":
        _tax_taken_out(settlement, bill.tax_included, category)
    if bill.due_date:
        _date(_in(_in(settlement, "ram:SpecifiedTradePaymentTerms"), "ram:DueDateDateTime"), bill.due_date)
    elif bill.due != "0":
        _in(_in(settlement, "ram:SpecifiedTradePaymentTerms"), "ram:Description", "Payable on receipt")
    _sums(settlement, bill, category)
    if bill.credits:
        reference = _in(settlement, "ram:InvoiceReferencedDocument")
        _in(reference, "ram:IssuerAssignedID", bill.credits.number)
        issued = _day(bill.credits.finalized_at, bill)
        _in(_in(reference, "ram:FormattedIssueDateTime"), "qdt:DateTimeString", f"{issued:%Y%m%d}", format="102")


def _tax_taken_out(settlement: Element, amount: str, category: Category) -> None:
    allowance = _in(settlement, "ram:SpecifiedTradeAllowanceCharge")
    _in(_in(allowance, "ram:ChargeIndicator"), "udt:Indicator", "false")
    _in(allowance, "ram:ActualAmount", _cents(amount))
    _in(allowance, "ram:Reason", "Tax included in the prices")
    _tax_kind(_in(allowance, "ram:CategoryTradeTax"), category, with_reason=False)


def _sums(settlement: Element, bill: Bill, category: Category) -> None:
    due = Decimal(bill.due).quantize(Decimal("0.01"), ROUND_HALF_UP)
    sums = _in(settlement, "ram:SpecifiedTradeSettlementHeaderMonetarySummation")
    _in(sums, "ram:LineTotalAmount", _cents(bill.subtotal))
    if bill.tax_included != "0":
        _in(sums, "ram:AllowanceTotalAmount", _cents(bill.tax_included))
    _in(sums, "ram:TaxBasisTotalAmount", _cents(category.taxable))
    _in(sums, "ram:TaxTotalAmount", _cents(category.tax), currencyID=bill.currency)
    _in(sums, "ram:GrandTotalAmount", _cents(bill.total))
    _in(sums, "ram:TotalPrepaidAmount", f"{Decimal(bill.total) - due:.2f}")
    _in(sums, "ram:DuePayableAmount", f"{due:.2f}")


def _tax_kind(tax: Element, category: Category, with_reason: bool = True) -> None:
    """Within a breakdown (BG-23), which has its amount already, also what it is on and why it is nothing."""
    breakdown = tax.find("ram:CalculatedAmount") is not None
    _in(tax, "ram:TypeCode", "VAT")
    if breakdown:
        if with_reason and category.reason:
            _in(tax, "ram:ExemptionReason", category.reason)
        _in(tax, "ram:BasisAmount", _cents(category.taxable))
    _in(tax, "ram:CategoryCode", category.code)
    if category.code != "O":
        _in(tax, "ram:RateApplicablePercent", category.percent)


def _period(settlement: Element, start: datetime, end: datetime, bill: Bill) -> None:
    """From the first to the last day, both within."""
    period = _in(settlement, "ram:BillingSpecifiedPeriod")
    _date(_in(period, "ram:StartDateTime"), _day(start, bill))
    _date(_in(period, "ram:EndDateTime"), _last_day(end, bill))


def _day(at: datetime, bill: Bill) -> date:
    return at.astimezone(ZoneInfo(bill.period.time_zone)).date()


def _last_day(end: datetime, bill: Bill) -> date:
    return _day(end - timedelta(microseconds=1), bill)


def _date(parent: Element, day: date) -> None:
    _in(parent, "udt:DateTimeString", f"{day:%Y%m%d}", format="102")


def _unit(line: LineView | CreditLineView) -> str:
    return _UNITS.get(line.unit, "C62")


def _cents(dollars: str) -> str:
    return f"{Decimal(dollars):.2f}"


def _total(*dollars: str) -> str:
    return money.format(sum(map(money.parse, dollars)))


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _in(parent: Element, tag: str, text: str | None = None, **attributes: str) -> Element:
    """A new element at the end of `parent`; without the characters that XML cannot have."""
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = text and _XML_CANNOT.sub("\ufffd", text)
    return element
