"""Closing a month: one transaction for each account, each complete or not at all (rules.md Invoices 4, 5, 7).

The account's `balances` row is locked first, so that nothing is posted meanwhile. The number is taken last, by the
statement that writes the invoice, because until the commit nobody else gets one. Whatever stops the work, running it
again does what is left.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import msgspec
from psycopg_pool import PoolClosed, PoolTimeout

from billing.audit import log as audit
from billing.credits import store as credits
from billing.db.pool import Connection, Pool, with_retries
from billing.errors import Invalid, NotFound, Unprocessable
from billing.invoices import account as accounts
from billing.invoices import drafts, store, told
from billing.invoices.account import Account
from billing.invoices.invoice import Draft
from billing.invoices.periods import (
    LAST_MOMENT,
    LONGEST,
    SLOT,
    Period,
    PeriodError,
    has_begun_somewhere,
    has_ended_somewhere,
    label_of,
    month,
)
from billing.invoices.taxes import Calculator, named_rates
from billing.ledger.store import Book, Posting, post
from billing.observe.metrics import INVOICE_SECONDS
from billing.settings import Settings
from pricing import money

WORKERS = 4
"""Accounts closed at a time; each takes a connection of the pool."""

DUE_WORKERS = 2
"""The same for what a serving process closes by itself: requests need connections, too."""

DUE_AT_ONCE = 500

LOOK_AGAIN = timedelta(days=1)
"""How soon an account is looked at again of which nothing is closed yet: an earlier history may come in."""

Outcome = Literal["invoiced", "empty", "already_closed", "parked", "refused", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

log = logging.getLogger(__name__)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What closing did to one account.

    invoiced        there is an invoice now
    empty           nothing to invoice; the period is closed
    already_closed  it was closed before; with its invoice, if it has one
    parked          statement and ledger differ: nothing was changed, somebody must look
    refused         not possible now: the month is not over, or an earlier one is open
    failed          an error stopped it: nothing was changed, try again

    `detail` says what is to be done about the last three. `total` and `residue` are picodollars.
    """

    account: str
    outcome: Outcome
    invoice: str | None = None
    number: str | None = None
    total: int = 0
    residue: int = 0
    detail: str | None = None

    @property
    def needs_attention(self) -> bool:
        return self.outcome in ("parked", "refused", "failed")


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What closing a month did, account by account in order of their ids."""

    period: str
    results: list[Result]

    def count(self, outcome: Outcome) -> int:
        return sum(result.outcome == outcome for result in self.results)

    @property
    def total(self) -> int:
        """Of all the month's invoices, the ones from earlier runs included."""
        return sum(result.total for result in self.results)

    @property
    def residue(self) -> int:
        return sum(result.residue for result in self.results)


Progress = Callable[[Result, int], None]
"""Told each result as it comes, and how many accounts there are in all."""


async def close_month(
    pool: Pool,
    settings: Settings,
    label: str,
    account: str | None = None,
    progress: Progress | None = None,
    calculator: Calculator = named_rates,
) -> Summary:
    """Close the periods called `YYYY-MM`, of every account or of one, each in its own time zone.

    While the month still runs everywhere, only those can be over that begin on a day of their own, of an account that
    was closed or has another calendar than before; the others are not looked at.

    Raises Invalid for what is no month, Unprocessable while nothing of it is over, NotFound for an unknown account, and
    PoolTimeout when the database is lost.
    """
    async with pool.connection() as conn:
        now = await store.clock(conn)
        try:
            begun, ended = has_begun_somewhere(label, now), has_ended_somewhere(label, now)
        except PeriodError as fault:
            raise Invalid("invalid_period", str(fault)) from None
        if not begun:
            raise _not_over(label)
        if account and not await accounts.every(conn, account):
            raise NotFound("unknown_account", f"There is no account {account}.")
        chosen = await accounts.every(conn, account, uncommon=not ended)
        await audit.record(conn, "period.close", account=account, subject=label)

    async def close(account_id: str) -> list[Result]:
        async with pool.connection() as conn, conn.transaction():
            return await close_account(conn, settings, label, account_id, calculator)

    results = await _each(chosen, label, close, progress, WORKERS)
    if not ended and all(result.outcome == "refused" for result in results):
        raise _not_over(label)
    return Summary(period=label, results=results)


async def close_all_due(pool: Pool, settings: Settings, calculator: Calculator = named_rates) -> list[Result]:
    """Close every period that ended `close_after_hours` ago, the oldest of an account first; what was done.

    What is due follows from the state alone, so it is harmless to miss a run, and to run in several processes at once.
    Raises PoolTimeout when the database is lost.
    """

    async def close(account_id: str) -> list[Result]:
        closed: list[Result] = []
        while not closed or not closed[-1].needs_attention:
            async with pool.connection() as conn, conn.transaction():
                result = await close_due(conn, settings, account_id, calculator)
            if result is None:
                break
            closed.append(result)
        return closed

    results: list[Result] = []
    last = ""
    while True:
        async with pool.connection() as conn:
            due = await accounts.due(conn, settings.close_after_hours, last, DUE_AT_ONCE)
        if not due:
            return results
        results += await _each(due, "what is due", close, None, DUE_WORKERS)
        last = due[-1]


async def _each(
    account_ids: list[str],
    what: str,
    close: Callable[[str], Awaitable[list[Result]]],
    progress: Progress | None,
    workers: int,
) -> list[Result]:
    """Close accounts, some at a time; the results in the accounts' order."""
    results: dict[str, list[Result]] = {}
    waiting = iter(account_ids)

    async def work() -> None:
        for account_id in waiting:
            results[account_id] = await _safely(account_id, what, close)
            if progress:
                progress(results[account_id][-1], len(account_ids))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(workers, len(account_ids))):
                group.create_task(work())
    except ExceptionGroup as stopped:
        raise stopped.exceptions[0] from None
    return [result for account_id in account_ids for result in results[account_id]]


async def _safely(account_id: str, what: str, close: Callable[[str], Awaitable[list[Result]]]) -> list[Result]:
    """Close one account; what goes wrong with it is its result and stops no other. A lost database stops all."""
    try:
        with INVOICE_SECONDS.time():
            return await with_retries(lambda: close(account_id))
    except (PoolTimeout, PoolClosed):
        raise
    except Exception as error:
        log.exception("closing %s of %s failed", what, account_id)
        sentence = str(error).strip().partition("\n")[0] or "no further explanation"
        return [Result(account=account_id, outcome="failed", detail=f"{type(error).__name__}: {sentence}")]


def _not_over(label: str) -> Unprocessable:
    return Unprocessable("period_not_over", f"The month {label} is not over yet, in no time zone.")


async def close_account(
    conn: Connection, settings: Settings, label: str, account_id: str, calculator: Calculator = named_rates
) -> list[Result]:
    """Close an account's periods of a month within the caller's transaction, one after the other: mostly it is one."""
    results: list[Result] = []
    while True:
        account = await _locked(conn, account_id)
        period = account.called(label)
        if period is None:
            return results or await _already_closed(conn, account, label)
        results.append(await _close(conn, settings, account, period, calculator))
        following = account.calendars.period(period.end)
        if results[-1].needs_attention or account.now < following.end or account.calendars.label(following) != label:
            return results


async def close_due(conn: Connection, settings: Settings, account_id: str, calculator: Calculator) -> Result | None:
    """Close the account's first open period within the caller's transaction, if it is due; None: it is not."""
    account = await _locked(conn, account_id)
    period = next(account.open_periods())
    due_at = max(period.end, account.created_at) + timedelta(hours=settings.close_after_hours)
    if account.now >= due_at:
        return await _close(conn, settings, account, period, calculator)
    look_at = period.end if account.open_from else min(period.end, account.now + LOOK_AGAIN)
    if account.period_ends_at != look_at:
        await accounts.expect(conn, account_id, look_at)
    return None


async def _locked(conn: Connection, account_id: str) -> Account:
    """The account, its balance locked, with no credit that is due to begin or end. Raises NotFound."""
    account = await accounts.lock(conn, account_id)
    if account is not None and account.credits_due:
        await credits.settle(conn, [account_id])
        account = await accounts.lock(conn, account_id)
    if account is None:
        raise NotFound("unknown_account", f"There is no account {account_id}.")
    return account


async def _close(
    conn: Connection, settings: Settings, account: Account, period: Period, calculator: Calculator
) -> Result:
    """Close an open period of an account whose balance is locked."""
    name = f"{account.calendars.label(period)} of {account.calendars.at(period.start).zone.key}"
    if account.now < period.end:
        return _refused(account.id, f"The month {name} is not over before {period.end:%Y-%m-%d %H:%MZ}.")
    drafted = await drafts.draft(conn, settings, account, period, calculator)
    moves = drafted.moves
    if moves.earlier_usage:
        earlier = next(open for open in account.open_periods(moves.earlier_usage) if moves.earlier_usage < open.end)
        first = account.calendars.label(earlier)
        return _refused(account.id, f"There is usage of {first} that is not invoiced: close {first} first.")
    due = date_due(settings, account) if drafted.draft.amount_due else None
    draft = msgspec.structs.replace(drafted.draft, due_date=due)
    ledger = account.posted - moves.later - draft.residue - draft.tax
    if draft.statement.closing != ledger:
        return _parked(account.id, draft.statement.closing, ledger)
    next_end = account.calendars.period(period.end).end
    if not draft.lines:
        await accounts.advance(conn, account.id, period.end, next_end)
        return Result(account=account.id, outcome="empty")
    number = await store.finalize(
        conn,
        draft,
        settings.invoice_prefix,
        transaction=await _post_residue(conn, draft),
        tax_transaction=await _post_tax(conn, draft),
        next_end=next_end,
    )
    await told.finalized(conn, draft, number)
    return _with_invoice(draft, number, "invoiced")


def date_due(settings: Settings, account: Account) -> date:
    """The day, of the account's calendar, by which an invoice that is made now is to be paid."""
    days = settings.payment_days if account.payment_days is None else account.payment_days
    return account.now.astimezone(account.calendars.at(account.now).zone).date() + timedelta(days=days)


async def _post_residue(conn: Connection, draft: Draft) -> int | None:
    """Book what rounding added to the customer's bill, or took from it, as the period's last posting; its number."""
    if not draft.residue:
        return None
    added = draft.residue > 0
    posting = Posting(
        account_id=draft.account_id,
        kind="rounding",
        source="wallet" if added else "rounding",
        destination="rounding" if added else "wallet",
        amount=abs(draft.residue),
        effective_at=draft.period.end - LAST_MOMENT,
        reference=draft.id,
        reason="Rounding of the invoice's lines to cents",
    )
    return (await post(conn, posting)).transaction


async def _post_tax(conn: Connection, draft: Draft) -> int | None:
    """Book what is owed to the tax office: out of the wallet what comes on top, out of revenue what it contains."""
    tax = draft.tax or draft.tax_included
    if not tax:
        return None
    payer: Book = "wallet" if draft.tax else "revenue"
    posting = Posting(
        account_id=draft.account_id,
        kind="tax",
        source=payer if tax > 0 else "taxes",
        destination="taxes" if tax > 0 else payer,
        amount=abs(tax),
        effective_at=draft.period.end - LAST_MOMENT,
        reference=draft.id,
        reason="Tax on the invoice",
    )
    return (await post(conn, posting)).transaction


def _with_invoice(invoice: Draft, number: str, outcome: Outcome) -> Result:
    return Result(
        account=invoice.account_id,
        outcome=outcome,
        invoice=invoice.id,
        number=number,
        total=invoice.total,
        residue=invoice.residue,
    )


async def _already_closed(conn: Connection, account: Account, label: str) -> list[Result]:
    """The month's invoices, or that it had none."""
    around = month(label, account.calendars.at(account.now).zone)
    found = await store.between(conn, account.id, around.start - LONGEST, around.end)
    results = [
        _with_invoice(invoice, invoice.number, "already_closed")
        for invoice in found
        if label_of(invoice.period.end - SLOT, ZoneInfo(invoice.time_zone)) == label
    ]
    return results or [Result(account=account.id, outcome="already_closed")]


def _refused(account_id: str, detail: str) -> Result:
    return Result(account=account_id, outcome="refused", detail=detail)


def _parked(account_id: str, statement: int, ledger: int) -> Result:
    detail = (
        f"The statement closes at {money.format(statement)} but the ledger at {money.format(ledger)}, a difference of "
        f"{money.format(statement - ledger)}: not invoiced. `billing verify` says more."
    )
    return Result(account=account_id, outcome="parked", detail=detail)
