"""Closing a month: one transaction for each account, each complete or not at all (rules.md Invoices 4, 5, 7).

The account's `balances` row is locked first, so that nothing is posted meanwhile. The number is taken last, by the
statement that writes the invoice, because until the commit nobody else gets one. Whatever stops the work, running it
again does what is left.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import msgspec
from psycopg_pool import PoolClosed, PoolTimeout

from billing import ids
from billing.audit import log as audit
from billing.credits import store as credits
from billing.db.pool import Connection, Pool, with_retries
from billing.errors import Invalid, NotFound, Unprocessable
from billing.invoices import store
from billing.invoices.invoice import Draft, Invoice, Issuer, Statement
from billing.invoices.lines import Line, lines_of, sums_of
from billing.invoices.periods import Period, PeriodError, has_ended_somewhere, label_of, month
from billing.ledger.store import Posting, post
from billing.observe.metrics import INVOICE_SECONDS
from billing.settings import Settings
from pricing import money

WORKERS = 4
"""Accounts closed at a time; each takes a connection of the pool."""

LAST_MOMENT = timedelta(microseconds=1)
"""How long before the end of its period a residue is posted: the finest step of time there is."""

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
    pool: Pool, settings: Settings, label: str, account: str | None = None, progress: Progress | None = None
) -> Summary:
    """Close the month `YYYY-MM` of every account, or of one, each in its own time zone.

    Raises Invalid for what is no month, Unprocessable while it is over nowhere, NotFound for an unknown account, and
    PoolTimeout when the database is lost.
    """
    async with pool.connection() as conn:
        now = await store.clock(conn)
        accounts = await store.account_ids(conn, account)
    try:
        ended = has_ended_somewhere(label, now)
    except PeriodError as fault:
        raise Invalid("invalid_period", str(fault)) from None
    if not ended:
        raise Unprocessable("period_not_over", f"The month {label} is not over yet, in no time zone.")
    if account and not accounts:
        raise NotFound("unknown_account", f"There is no account {account}.")
    async with pool.connection() as conn:
        await audit.record(conn, "period.close", account=account, subject=label)
    return Summary(period=label, results=await _close_each(pool, settings, label, accounts, progress))


async def _close_each(
    pool: Pool, settings: Settings, label: str, accounts: list[str], progress: Progress | None
) -> list[Result]:
    results: dict[str, Result] = {}
    waiting = iter(accounts)

    async def work() -> None:
        for account in waiting:
            results[account] = await _close_safely(pool, settings, label, account)
            if progress:
                progress(results[account], len(accounts))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(WORKERS, len(accounts))):
                group.create_task(work())
    except ExceptionGroup as stopped:
        raise stopped.exceptions[0] from None
    return [results[account] for account in accounts]


async def _close_safely(pool: Pool, settings: Settings, label: str, account: str) -> Result:
    """Close one account; what goes wrong with it is its result and stops no other. A lost database stops all."""

    async def work() -> Result:
        async with pool.connection() as conn, conn.transaction():
            return await close_account(conn, settings, label, account)

    try:
        with INVOICE_SECONDS.time():
            return await with_retries(work)
    except (PoolTimeout, PoolClosed):
        raise
    except Exception as error:
        log.exception("closing %s of %s failed", label, account)
        sentence = str(error).strip().partition("\n")[0] or "no further explanation"
        return Result(account=account, outcome="failed", detail=f"{type(error).__name__}: {sentence}")


async def close_account(conn: Connection, settings: Settings, label: str, account_id: str) -> Result:
    """Close one account's month within the caller's transaction."""
    await credits.settle(conn, [account_id])
    account = await store.lock(conn, account_id)
    if account is None:
        raise NotFound("unknown_account", f"There is no account {account_id}.")
    zone = ZoneInfo(account.time_zone)
    whole = month(label, zone)
    if account.open_from and account.open_from >= whole.end:
        return _already_closed(account_id, await store.of_period(conn, account_id, whole.end))
    if account.now < whole.end:
        return _refused(account_id, f"The month {label} of {zone.key} is not over before {whole.end:%Y-%m-%d %H:%MZ}.")
    period = whole.after(account.open_from)
    moves = await store.moves(conn, account, period)
    if moves.earlier_usage:
        first = label_of(moves.earlier_usage, zone)
        return _refused(account_id, f"There is usage of {first} that is not invoiced: close {first} first.")
    used = await store.usage(conn, {account_id: (account_id, period)})
    lines = lines_of(used[account_id])
    draft = _draft(settings, account, period, lines, moves)
    ledger = account.posted - moves.later - draft.residue
    if draft.statement.closing != ledger:
        return _parked(account_id, draft.statement.closing, ledger)
    if not lines:
        await store.advance(conn, account_id, period.end)
        return Result(account=account_id, outcome="empty")
    transaction = await _post_residue(conn, draft) if draft.residue else None
    number = await store.finalize(conn, draft, settings.invoice_prefix, transaction=transaction, tax_transaction=None)
    return _with_invoice(draft, number, "invoiced")


def _draft(settings: Settings, account: store.Account, period: Period, lines: list[Line], moves: store.Moves) -> Draft:
    sums = sums_of(lines)
    return Draft(
        id=ids.new("inv"),
        account_id=account.id,
        period=period,
        time_zone=account.time_zone,
        issuer=Issuer(name=settings.issuer_name, address=settings.issuer_address),
        customer=account.customer,
        lines=tuple(lines),
        statement=Statement(
            opening=moves.opening,
            top_ups=moves.top_ups,
            payments=moves.payments,
            grants=moves.grants,
            credit_notes=moves.credit_notes,
            usage=sums.subtotal,
            expired=moves.expired,
            adjustments=moves.adjustments,
        ),
        amount_exact=sums.amount_exact,
        subtotal=sums.subtotal,
        residue=sums.residue,
    )


async def _post_residue(conn: Connection, draft: Draft) -> int:
    """Book what rounding added to the customer's bill, or took from it, as the period's last posting; its number."""
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


def _with_invoice(invoice: Draft, number: str, outcome: Outcome) -> Result:
    return Result(
        account=invoice.account_id,
        outcome=outcome,
        invoice=invoice.id,
        number=number,
        total=invoice.total,
        residue=invoice.residue,
    )


def _already_closed(account_id: str, invoice: Invoice | None) -> Result:
    if invoice is None:
        return Result(account=account_id, outcome="already_closed")
    return _with_invoice(invoice, invoice.number, "already_closed")


def _refused(account_id: str, detail: str) -> Result:
    return Result(account=account_id, outcome="refused", detail=detail)


def _parked(account_id: str, statement: int, ledger: int) -> Result:
    detail = (
        f"The statement closes at {money.format(statement)} but the ledger at {money.format(ledger)}, a difference of "
        f"{money.format(statement - ledger)}: not invoiced. `billing verify` says more."
    )
    return Result(account=account_id, outcome="parked", detail=detail)
