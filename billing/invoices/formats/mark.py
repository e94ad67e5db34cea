"""What has become of an invoice, as HTML and PDF say it over what they said when it was made (decision 0069). Pure."""

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from billing.invoices.formats.amounts import amount
from billing.invoices.formats.words import WORDS, day
from billing.invoices.settlement.views import CurrentInvoiceView, StandingView
from billing.invoices.view import InvoiceView
from billing.prices.words import Language


class Mark(msgspec.Struct, frozen=True):
    """A `stamp` across the pages ("": none), and sentences above all else."""

    stamp: str
    lines: list[str]


def mark(shown: InvoiceView, language: Language) -> Mark:
    """Nothing for an invoice of which nobody asked what became of it, or to which nothing happened."""
    if not isinstance(shown, CurrentInvoiceView):
        return Mark("", [])
    words, standing = WORDS[language], shown.standing
    replaces = [words["replaces"].format(number=standing.replaces_number)] if standing.replaces_number else []
    if standing.status == "void":
        return Mark(words["void"], [_void(shown, language), *replaces])
    return Mark("", replaces + _settled(shown, standing, language))


def _void(shown: CurrentInvoiceView, language: Language) -> str:
    """Since when, by which notes, and what stands for it."""
    standing = shown.standing
    return WORDS[language]["void_replaced" if standing.replaced_by_number else "void_credited"].format(
        day=_day(max(note.issued_at for note in standing.credit_notes), shown, language),
        notes=_notes(standing),
        number=standing.replaced_by_number,
    )


def _settled(shown: CurrentInvoiceView, standing: StandingView, language: Language) -> list[str]:
    """What is credited, what is paid, and what is open of an invoice that is not void."""
    words = WORDS[language]
    paid = [payment.paid_at for payment in standing.payments if payment.reversed_at is None]
    said = []
    if standing.credit_notes:
        said.append(words["credited_part"].format(amount=_money(standing.credited, shown), notes=_notes(standing)))
    if paid:
        said.append(words["paid"].format(amount=_money(standing.paid, shown), day=_day(max(paid), shown, language)))
    if said and shown.amount_due != "0":
        open_now = "nothing_open" if standing.open == "0" else "still_open"
        said.append(words[open_now].format(amount=_money(standing.open, shown)))
    return said


def _notes(standing: StandingView) -> str:
    return ", ".join(sorted(note.number for note in standing.credit_notes))


def _money(dollars: str, shown: InvoiceView) -> str:
    return f"{shown.currency} {amount(dollars)}"


def _day(at: datetime, shown: InvoiceView, language: Language) -> str:
    return day(at.astimezone(ZoneInfo(shown.period.time_zone)), language)
