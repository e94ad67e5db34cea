"""What the service does by itself, for ever and harmlessly often: partitions, credits that begin or expire, periods
that are over, old idempotency keys, the daily proof."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import psycopg
from psycopg_pool import PoolTimeout

from billing import idempotency, proof
from billing.credits import store as credits
from billing.db import partitions
from billing.db.pool import Pool
from billing.holds.authorizer import forget as forget_holds
from billing.holds.authorizer import sweep
from billing.invoices import close
from billing.ledger import heads
from billing.metering import retention
from billing.metering.folding import fold
from billing.observe.metrics import IMBALANCE
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from billing.webhooks import courier
from billing.webhooks.sending import Sender

DAY_SECONDS = 86_400
SWEEP_SECONDS = 2
"""Expired holds count no more in any case; this bounds how many a balance has to leave out."""
RETRY_SECONDS = 60
PROOF_AFTER_SECONDS = 300
"""The proof reads everything, so a start is over and caches are warm before the first one."""
PROOF_SPREAD_SECONDS = 60
FOLD_SECONDS = 10
"""Reports are right in any case; this bounds how much they have to sum up by themselves."""
CREDITS_SECONDS = 5
CLOSE_SECONDS = 300
CREDITS_AT_ONCE = 100
"""Accounts settled in one transaction, which keeps them locked."""

log = logging.getLogger(__name__)


async def keep_house(pool: Pool, terms: TermsKeeper, settings: Settings, sender: Sender) -> None:
    """Do all of it until cancelled."""
    await asyncio.gather(
        _again_and_again(lambda: partitions.tend_daily(pool), RETRY_SECONDS),
        _again_and_again(lambda: terms.keep_fresh(pool), RETRY_SECONDS),
        _again_and_again(lambda: settle_credits(pool), CREDITS_SECONDS),
        _again_and_again(lambda: sweep(pool), SWEEP_SECONDS),
        _again_and_again(lambda: fold(pool), FOLD_SECONDS),
        _again_and_again(lambda: close_due(pool, settings), CLOSE_SECONDS if settings.close_after_hours else 0),
        _again_and_again(lambda: _forget(pool, settings.idempotency_hours), DAY_SECONDS),
        _again_and_again(lambda: _drop_old_events(pool, settings.events_months), DAY_SECONDS),
        _again_and_again(lambda: courier.deliver(pool, settings, sender), RETRY_SECONDS),
        _again_and_again(lambda: courier.forget(pool, settings.webhook_days), DAY_SECONDS),
        _again_and_again(lambda: forget_holds(pool, settings.holds_days), DAY_SECONDS),
        _again_and_again(
            lambda: _prove(pool, settings.proof_full_days),
            settings.proof_hours * 3600,
            after=PROOF_AFTER_SECONDS + secrets.randbelow(PROOF_SPREAD_SECONDS),
        ),
    )


async def end(housekeeping: "asyncio.Task[None]") -> None:
    """Stop it, and wait until it has stopped; that it had failed is logged, and keeps nobody from stopping too."""
    housekeeping.cancel()
    await asyncio.wait([housekeeping])
    if not housekeeping.cancelled() and (error := housekeeping.exception()) is not None:
        log.error("housekeeping had failed", exc_info=error)


async def _again_and_again(chore: Callable[[], Awaitable[None]], seconds: int, *, after: int = 0) -> None:
    """Do a chore every so many seconds (never when 0), sooner when it failed; for the first time `after` some."""
    if not seconds:
        return
    await asyncio.sleep(after)
    while True:
        try:
            await chore()
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("a chore failed and is tried again: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:
            log.exception("a chore failed unexpectedly and is tried again")
            await asyncio.sleep(RETRY_SECONDS)
        else:
            await asyncio.sleep(seconds)


async def settle_credits(pool: Pool) -> None:
    """Post the grants that have begun or expired, of all accounts. Any number of processes may do it at once."""
    async with pool.connection() as conn:
        found = CREDITS_AT_ONCE
        while found == CREDITS_AT_ONCE:
            async with conn.transaction():
                found = await credits.settle_some(conn, CREDITS_AT_ONCE)


async def close_due(pool: Pool, settings: Settings) -> None:
    """Close the periods that are over for long enough, and say of which accounts that could not be done."""
    results = await close.close_all_due(pool, settings)
    for result in results:
        if result.needs_attention:
            log.warning("a period is not closed: account %s is %s: %s", result.account, result.outcome, result.detail)
    if results:
        log.info("closed %d periods", sum(not result.needs_attention for result in results))


async def _forget(pool: Pool, hours: int) -> None:
    async with pool.connection() as conn:
        await idempotency.forget(conn, hours)


async def _drop_old_events(pool: Pool, months: int) -> None:
    """Drop the events that came before the last so many months (0: none), once nothing needs them."""
    if not months:
        return
    async with pool.connection() as conn:
        found = await retention.drop(conn, retention.oldest_kept(datetime.now(UTC), months))
    for month in found:
        if month.dropped:
            log.info("dropped the events of a month", extra={"month": f"{month.start:%Y-%m}", "events": month.events})
        else:
            log.info("old events are kept: %s", month.needed, extra={"month": f"{month.start:%Y-%m}"})


async def _prove(pool: Pool, full_days: int) -> None:
    """Prove the book and say so in `billing_ledger_imbalance`; each difference is an error in the log.

    All of it every so many days and after a difference, else what is new: so that 0 says that nothing is known to be
    wrong. The log also tells the digest of the chains' heads, for whoever keeps it elsewhere. A proof that fails
    says 1; that the database is away says nothing about the book.
    """
    try:
        async with pool.connection() as conn:
            scope = await proof.next_scope(conn, full_days)
            found = await proof.differences_unless_proving(conn, scope)
            digest = await heads.digest(conn)
    except psycopg.OperationalError:
        raise
    except Exception:
        IMBALANCE.set(1)
        raise
    if found is None:
        return
    IMBALANCE.set(len(found))
    log.info("proved the book", extra={"mode": scope.mode, "differences": len(found), "heads": digest})
    for difference in found:
        log.error("the book is not right: %s", difference)
