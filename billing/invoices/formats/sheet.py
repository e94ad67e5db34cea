"""An invoice as it is printed: the texts of each part, in one language. HTML and PDF only lay them out. Pure.

Amounts are the view's own strings with thousands set apart; days and times are the customer's.
"""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from billing.invoices.formats.amounts import amount, grouped, negated
from billing.invoices.formats.mark import mark
from billing.invoices.formats.words import WORDS, day
from billing.invoices.invoice import Customer, Issuer
from billing.invoices.settlement.views import CreditLineView, CreditNoteView
from billing.invoices.view import CorrectedView, InvoiceView, LineView, TaxView
from billing.prices.words import Language
from pricing import units

_TAKEN_OFF = ("usage", "tax", "expired")
_ALWAYS_SHOWN = ("opening", "top_ups", "usage", "closing")


class Party(msgspec.Struct, frozen=True):
    head: str
    name: str
    lines: list[str]


class Fact(msgspec.Struct, frozen=True):
    """A label and what it is. `strong` ones are sums."""

    label: str
    value: str
    strong: bool = False


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the invoice. `note` is what else there is to say of it."""

    position: str
    model: str
    usage: str
    note: str
    quantity: str
    counted: str
    price: str
    unit: str
    multiplier: str
    exact: str
    amount: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    position: str
    entry: str
    events: str
    first: str
    last: str
    hash: str


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """All that is on the paper, top to bottom. `stamp`: across each page, over the rest ("": none)."""

    language: Language
    words: dict[str, str]
    title: str
    number: str
    stamp: str
    banner: list[str]
    parties: list[Party]
    facts: list[Fact]
    headline: Fact
    headline_note: str
    currency: str
    rows: list[Row]
    totals: list[Fact]
    notes: list[str]
    statement: list[Fact]
    how: list[str]
    evidence: list[Evidence]
    evidence_note: str


def sheet(shown: InvoiceView, language: Language) -> Sheet:
    """Everything the invoice says on paper, and what has become of it if that was asked for."""
    words = WORDS[language]
    draft = shown.status == "draft"
    headline, headline_note = _headline(shown, language)
    marked = mark(shown, language)
    return Sheet(
        language=language,
        words=words,
        title=f"{words['invoice']} ({words['draft']})" if draft else words["invoice"],
        number=shown.number or words["draft"],
        stamp=marked.stamp,
        banner=[words["draft_note"]] if draft else marked.lines,
        parties=_parties(shown.issuer, shown.customer, words),
        facts=_facts(shown, language),
        headline=headline,
        headline_note=headline_note,
        currency=shown.currency,
        rows=[_row(position, line, shown, language) for position, line in enumerate(shown.lines, start=1)],
        totals=_totals(shown, words),
        notes=[tax.note for tax in shown.taxes if tax.note],
        statement=_statement(shown, language),
        how=_how(shown, words),
        evidence=[_evidence(position, line, shown) for position, line in enumerate(shown.lines, start=1)],
        evidence_note=words["evidence_note"].format(zone=shown.period.time_zone),
    )


def note_sheet(note: CreditNoteView, language: Language) -> Sheet:
    """Everything a credit note says on paper: the parts of lines it gives back, and no statement."""
    words = WORDS[language]
    zone = note.period.time_zone
    facts = {
        "note_number": note.number,
        "issued": day(note.issued_at.astimezone(ZoneInfo(zone)), language),
        "of_invoice": note.invoice.number,
        "period": span(note.period.start, note.period.end, zone, language),
        "account": note.account,
        "reason": note.reason,
    }
    return Sheet(
        language=language,
        words=words,
        title=words["credit_note"],
        number=note.number,
        stamp="",
        banner=[],
        parties=_parties(note.issuer, note.customer, words),
        facts=[Fact(words[name], value) for name, value in facts.items() if value],
        headline=Fact(words["credited"], f"{note.currency} {amount(note.total)}"),
        headline_note=words[f"settle:{note.settle}"],
        currency=note.currency,
        rows=[_credited(line, language) for line in note.lines],
        totals=_sums(note.subtotal, note.taxes, note.total, words),
        notes=[tax.note for tax in note.taxes if tax.note],
        statement=[],
        how=[words["how_note"]],
        evidence=[],
        evidence_note="",
    )


def dimension(name: str, language: Language) -> str:
    """What is charged for, in words: `image:hd:1024x1792` as `Image hd 1024x1792`."""
    head, _, rest = name.partition(":")
    said = WORDS[language].get(f"dim:{head}", head)
    return f"{said} {rest.replace(':', ' ')}" if rest else said


def span(start: datetime, end: datetime, time_zone: str, language: Language) -> str:
    """The days from an instant to before another, the first and the last."""
    zone = ZoneInfo(time_zone)
    first, last = start.astimezone(zone), (end - timedelta(microseconds=1)).astimezone(zone)
    return f"{day(first, language)} – {day(last, language)}"


def _parties(issuer: Issuer, customer: Customer, words: dict[str, str]) -> list[Party]:
    email = [customer.email] if customer.email else []
    bought = _party(words["to"], customer, words)
    return [_party(words["from"], issuer, words), msgspec.structs.replace(bought, lines=[*bought.lines, *email])]


def _party(head: str, who: Issuer | Customer, words: dict[str, str]) -> Party:
    """The country by its code is the last line of the address, as it is of one that names it so itself."""
    lines = [line for line in (who.address or "").splitlines() if line]
    if who.country and (not lines or lines[-1].strip() != who.country):
        lines.append(who.country)
    if who.tax_id:
        lines.append(words["tax_id"].format(id=who.tax_id))
    return Party(head, who.name, lines)


def _facts(shown: InvoiceView, language: Language) -> list[Fact]:
    words = WORDS[language]
    period = shown.period
    given = {
        "number": shown.number,
        "issued": _day_of(shown.finalized_at, period.time_zone, language),
        "period": span(period.start, period.end, period.time_zone, language),
        "due_date": shown.due_date and day(shown.due_date, language),
        "account": shown.account,
    }
    return [Fact(words[name], value) for name, value in given.items() if value]


def _day_of(at: datetime | None, time_zone: str, language: Language) -> str | None:
    return None if at is None else day(at.astimezone(ZoneInfo(time_zone)), language)


def _headline(shown: InvoiceView, language: Language) -> tuple[Fact, str]:
    """What a reader looks for first: how much is to be paid by when, or that nothing is."""
    words = WORDS[language]
    if shown.amount_due == "0":
        paid = "owed_nothing" if shown.total.startswith("-") or shown.total == "0" else "covered"
        return Fact(words["nothing_due"], f"{shown.currency} {amount('0')}"), words[paid]
    by: date | None = shown.due_date
    note = words["due_by"].format(day=day(by, language)) if by else ""
    return Fact(words["due"], f"{shown.currency} {amount(shown.amount_due)}"), note


def _credited(line: CreditLineView, language: Language) -> Row:
    """A part of a line; one that was credited by its amount has no quantity."""
    of_line = _of_line(line, language)
    if line.quantity == 0:
        of_line |= {"quantity": "", "counted": ""}
    return Row(position=str(line.position), note="", exact="", **of_line)


def _row(position: int, line: LineView, shown: InvoiceView, language: Language) -> Row:
    return Row(
        position=str(position),
        note=_late(line.correction_of, shown.period.time_zone, language),
        exact=grouped(line.amount_exact),
        **_of_line(line, language),
    )


def _of_line(line: LineView | CreditLineView, language: Language) -> dict[str, str]:
    """What a line and the credit for one have in common."""
    words = WORDS[language]
    usage = dimension(line.dimension, language)
    counted = units.UNITS[line.unit].thing if line.unit in units.UNITS else ""
    return {
        "model": line.model,
        "usage": f"{usage} · {line.variant.replace('|', ' · ')}" if line.variant else usage,
        "quantity": grouped(str(line.quantity)),
        "counted": words.get(f"{counted}_count", ""),
        "price": grouped(line.official_unit_price),
        "unit": words.get(line.unit, line.unit),
        "multiplier": line.multiplier,
        "amount": amount(line.amount),
    }


def _late(corrected: CorrectedView | None, time_zone: str, language: Language) -> str:
    if corrected is None:
        return ""
    return WORDS[language]["late"].format(period=span(corrected.start, corrected.end, time_zone, language))


def _sums(subtotal: str, taxes: list[TaxView], total: str, words: dict[str, str]) -> list[Fact]:
    """From the sum of the lines to the total, with what taxes are on top of it and within it."""

    def tax(name: str, each: TaxView) -> Fact:
        label = words[name].format(name=each.name, percent=each.percent, taxable=amount(each.taxable))
        return Fact(label, amount(each.amount))

    rows = [Fact(words["subtotal"], amount(subtotal))]
    rows += [tax("tax_on", each) for each in taxes if not each.inclusive]
    rows += [Fact(words["total"], amount(total), strong=True)]
    return rows + [tax("tax_in", each) for each in taxes if each.inclusive]


def _totals(shown: InvoiceView, words: dict[str, str]) -> list[Fact]:
    rows = _sums(shown.subtotal, shown.taxes, shown.total, words)
    balance = "given_back" if shown.applied.balance.startswith("-") else "applied_balance"
    paid = {"applied_credits": shown.applied.credits, balance: shown.applied.balance}
    rows += [Fact(words[name], amount(negated(by))) for name, by in paid.items() if by != "0"]
    rows += [Fact(words["due"], amount(shown.amount_due), strong=True)]
    if shown.earlier_due != "0":
        rows += [Fact(words["earlier_due"], amount(shown.earlier_due))]
    return rows


def _statement(shown: InvoiceView, language: Language) -> list[Fact]:
    """Every movement there was, signed, from the opening to the closing balance."""
    words = WORDS[language]
    period, zone = shown.period, ZoneInfo(shown.period.time_zone)
    days = {
        "opening": day(period.start.astimezone(zone), language),
        "closing": day((period.end - timedelta(microseconds=1)).astimezone(zone), language),
    }
    rows = []
    for name, dollars in msgspec.structs.asdict(shown.statement).items():
        if dollars != "0" or name in _ALWAYS_SHOWN:
            signed = negated(dollars) if name in _TAKEN_OFF else dollars
            label = words[name].format(day=days.get(name, ""))
            rows.append(Fact(label, amount(signed), strong=name in days))
    return rows


def _how(shown: InvoiceView, words: dict[str, str]) -> list[str]:
    said = [
        words["zone"].format(zone=shown.period.time_zone),
        words["how_lines"].format(currency=shown.currency),
        words["how_residue"].format(exact=grouped(shown.amount_exact), residue=grouped(shown.residue)),
    ]
    rounded = ((position, line.per_event_rounding) for position, line in enumerate(shown.lines, start=1))
    return said + [
        words["how_event"].format(position=position, amount=grouped(added))
        for position, added in rounded
        if added != "0"
    ]


def _evidence(position: int, line: LineView, shown: InvoiceView) -> Evidence:
    zone = ZoneInfo(shown.period.time_zone)
    return Evidence(
        position=str(position),
        entry=line.entry,
        events=grouped(str(line.events)),
        first=_time(line.first_event_at, zone),
        last=_time(line.last_event_at, zone),
        hash=line.evidence,
    )


def _time(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(" ", "seconds")[:19]
