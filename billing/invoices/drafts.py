"""What a period of an account comes to: the draft of its invoice, which writes nothing."""

from functools import partial

import msgspec

from billing import ids
from billing.db.pool import Connection
from billing.errors import Invalid, NotFound, Unprocessable
from billing.invoices import account as accounts
from billing.invoices import store
from billing.invoices.account import Account
from billing.invoices.invoice import Draft, Issuer, Statement
from billing.invoices.lines import lines_of, sums_of
from billing.invoices.periods import LAST_MOMENT, Period, PeriodError, has_begun_somewhere, origin
from billing.invoices.store import Moves
from billing.invoices.taxes import Calculator, Sale, added, named_rates
from billing.settings import Settings


class Drafted(msgspec.Struct, frozen=True, kw_only=True):
    """A draft, and what was moved around its period."""

    draft: Draft
    moves: Moves


def issuer_of(settings: Settings) -> Issuer:
    """Who sells, as of today."""
    return Issuer(
        name=settings.issuer_name,
        address=settings.issuer_address,
        tax_id=settings.issuer_tax_id,
        country=settings.issuer_country,
    )


async def draft(
    conn: Connection, settings: Settings, account: Account, period: Period, calculator: Calculator = named_rates
) -> Drafted:
    """The draft of a period, as of the caller's transaction."""
    moves = await store.moves(conn, account.id, account.open_from, period)
    usage = (await store.usage(conn, {account.id: (account.id, period)}))[account.id]
    calendar = account.calendars.at(period.start)
    late = [account.id] if any(item.late for item in usage) else []
    known = (await store.known_periods(conn, late)).get(account.id, [])
    lines = lines_of(usage, partial(origin, known=known, calendar=calendar, before=period.start))
    sums = sums_of(lines)
    sale = Sale(
        account_id=account.id,
        customer_tax_id=account.customer.tax_id,
        subtotal=sums.subtotal,
        rates=account.rates(period.end - LAST_MOMENT),
    )
    taxes = await calculator(sale) if lines else ()
    made = Draft(
        id=ids.new("inv"),
        account_id=account.id,
        period=period,
        time_zone=calendar.zone.key,
        anchor_day=calendar.anchor_day,
        issuer=issuer_of(settings),
        customer=account.customer,
        lines=tuple(lines),
        statement=Statement(
            opening=moves.opening,
            top_ups=moves.top_ups,
            payments=moves.payments,
            grants=moves.grants,
            credit_notes=moves.credit_notes,
            usage=sums.subtotal,
            tax=added(taxes),
            expired=moves.expired,
            adjustments=moves.adjustments,
        ),
        amount_exact=sums.amount_exact,
        subtotal=sums.subtotal,
        taxes=taxes,
        residue=sums.residue,
        credits_used=moves.credits_used,
    )
    return Drafted(draft=made, moves=moves)


async def preview(conn: Connection, settings: Settings, account_id: str, label: str | None) -> Draft:
    """The draft of the period that an account is in now, or of the open one that is called by a month.

    Raises NotFound for an unknown account, Invalid for what is no month, Unprocessable for one that is closed or has
    not begun.
    """
    account = await accounts.get(conn, account_id)
    if account is None:
        raise NotFound("unknown_account", f"There is no account {account_id}.")
    if label is None:
        period = next(period for period in account.open_periods() if account.now < period.end)
    else:
        period = _open_one(account, label)
    return (await draft(conn, settings, account, period)).draft


def _open_one(account: Account, label: str) -> Period:
    """A month that has begun nowhere is not looked for: there are many of them."""
    try:
        period = account.called(label) if has_begun_somewhere(label, account.now) else None
    except PeriodError as fault:
        raise Invalid("invalid_period", str(fault)) from None
    if period is None or account.now < period.start:
        detail = "it has an invoice, nothing was used, or it has not begun."
        raise Unprocessable("period_not_open", f"The account has no open period {label}: {detail}")
    return period
