"""EN 16931 as a UN/CEFACT Cross Industry Invoice, in the profile that Factur-X and ZUGFeRD attach to PDFs.

Where the standard and our invoice differ:
- A price is per `unit_size` of what is counted (BT-149), a quantity is of what is counted (`C62`), seconds are `SEC`.
- Prices that contain tax: the lines keep their amounts, and an allowance on the document takes the tax out of them.
- Several taxes on the same amount are one category with the sum of their rates: the standard has one a line, and the
  breakdown of each rate has to be the sum of lines of its own (BR-S-8). The notes (BG-1) say what each comes to.
- What is credited of a line by its amount is one piece at that price.
- What the balance left due in fractions of a cent is rounded to cents, since amounts have two decimals.
- Where a party has no country of its own, it is the last line of its address (`IE`), or the first letters of a VAT id.
  An invoice that lacks what the standard demands of parties is refused: what is written is conform, or not written.
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

from billing.countries import COUNTRIES
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
_VAT_ID = re.compile(r"([A-Z]{2})[0-9A-Z+*.]{2,}", re.ASCII)
_OF_VAT_IDS = {"EL": "GR", "XI": "GB"}
"""What VAT ids begin with instead of their country (BR-CO-9)."""
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
    """The invoice as XML. Raises Unprocessable for a draft, which the standard does not know, and for one that lacks
    what it demands."""
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
    """The credit note as XML, likewise. Its amounts are what is given back, all of it due: to the customer."""
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


class Identity(NamedTuple):
    """What the standard wants to know of a party besides its name. `lines` are those of its address."""

    lines: list[str]
    country: str | None
    tax_id: str | None
    is_vat: bool


def _identity(party: Issuer | Customer) -> Identity:
    lines = [line.strip() for line in (party.address or "").splitlines() if line.strip()]
    named = _VAT_ID.fullmatch(party.tax_id or "")
    vat = _OF_VAT_IDS.get(named[1], named[1]) if named else None
    country = party.country or (lines[-1] if lines and lines[-1] in COUNTRIES else vat if vat in COUNTRIES else None)
    if lines and lines[-1] == country:
        lines.pop()
    return Identity(lines, country, party.tax_id, vat in COUNTRIES)


def _check(bill: Bill, category: Category) -> None:
    """Raises Unprocessable for what lacks a country (BR-9, BR-11) or an id of a party (BR-CO-26, BR-AE-2)."""
    seller, buyer = _identity(bill.issuer), _identity(bill.customer)
    lacking = {
        "the issuer's country (BILLING_ISSUER_COUNTRY)": seller.country is None,
        "the issuer's tax id (BILLING_ISSUER_TAX_ID)": seller.tax_id is None,
        "the customer's country (`country` of the account)": buyer.country is None,
        "the customer's VAT id (`tax_id` of the account, such as DE123456789)": category.code == "AE"
        and not buyer.is_vat,
    }
    named = [what for what, lacks in lacking.items() if lacks]
    if named:
        detail = f"{bill.number} lacks what EN 16931 demands: {', '.join(named)}."
        raise Unprocessable("incomplete_parties", f"{detail} What is made once that is set can be written.")


def _written(bill: Bill) -> bytes:
    category = _category(bill)
    _check(bill, category)
    root = Element("rsm:CrossIndustryInvoice", {f"xmlns:{prefix}": name for prefix, name in SPACES.items()})
    context = _in(root, "rsm:ExchangedDocumentContext")
    _in(_in(context, "ram:GuidelineSpecifiedDocumentContextParameter"), "ram:ID", PROFILE)
    head = _in(root, "rsm:ExchangedDocument")
    _in(head, "ram:ID", bill.number)
    _in(head, "ram:TypeCode", bill.code)
    _date(_in(head, "ram:IssueDateTime"), _day(bill.issued_at, bill))
    for text in _notes(bill, category):
        _in(_in(head, "ram:IncludedNote"), "ram:Content", text)
    transaction = _in(root, "rsm:SupplyChainTradeTransaction")
    if not bill.lines:
        _nothing(transaction, category)
    for position, line in enumerate(bill.lines, start=1):
        _line(transaction, getattr(line, "position", position), line, category, bill)
    agreement = _in(transaction, "ram:ApplicableHeaderTradeAgreement")
    seller, buyer = bill.issuer, bill.customer
    _party(agreement, "ram:SellerTradeParty", seller, category)
    _party(agreement, "ram:BuyerTradeParty", buyer, category)
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


def _notes(bill: Bill, category: Category) -> list[str]:
    """What the one category does not say of the taxes: what each of several comes to, and their notes."""
    several = [f"{tax.name}: {tax.percent} % of {tax.taxable} = {tax.amount}" for tax in bill.taxes]
    said = [tax.note for tax in bill.taxes if tax.note and category.code == "S"]
    return (several if len(several) > 1 else []) + said


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


def _party(agreement: Element, tag: str, who: Issuer | Customer, category: Category) -> None:
    party, known = _in(agreement, tag), _identity(who)
    if known.tax_id:
        _in(party, "ram:ID", known.tax_id)  # BR-CO-26: a seller has one of several identifiers
    _in(party, "ram:Name", who.name)
    postal = _in(party, "ram:PostalTradeAddress")
    rest = [*known.lines[:2], ", ".join(known.lines[2:])]
    for place, line in zip(("ram:LineOne", "ram:LineTwo", "ram:LineThree"), rest, strict=False):
        if line:
            _in(postal, place, line)
    _in(postal, "ram:CountryID", known.country)
    if not known.tax_id or category.code == "O":  # BR-O-2: who is not subject to VAT names no VAT number
        return
    if known.is_vat:
        _in(_in(party, "ram:SpecifiedTaxRegistration"), "ram:ID", known.tax_id, schemeID="VA")
    elif isinstance(who, Issuer):
        _in(_in(party, "ram:SpecifiedTaxRegistration"), "ram:ID", known.tax_id, schemeID="FC")


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
