"""What the service does by itself, for ever and harmlessly often: partitions, old idempotency keys, the daily proof."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psycopg
from psycopg_pool import PoolTimeout

from billing import idempotency, proof
from billing.db import partitions
from billing.db.pool import Pool
from billing.observe.metrics import IMBALANCE
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings

DAY_SECONDS = 86_400
RETRY_SECONDS = 60
PROOF_LOCK = 7_305_812_048  # any constant number: of several processes one proves

log = logging.getLogger(__name__)


async def keep_house(pool: Pool, terms: TermsKeeper, settings: Settings) -> None:
    """Do all of it until cancelled."""
    await asyncio.gather(
        partitions.tend_daily(pool),
        terms.keep_fresh(pool),
        _again_and_again(lambda: _forget(pool, settings.idempotency_hours), DAY_SECONDS),
        _again_and_again(lambda: _prove(pool), settings.proof_hours * 3600),
    )


async def _again_and_again(chore: Callable[[], Awaitable[None]], seconds: int) -> None:
    """Do a chore every so many seconds (never when 0), sooner when it failed."""
    while seconds:
        try:
            await chore()
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("a chore failed and is tried again: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            await asyncio.sleep(seconds)


async def _forget(pool: Pool, hours: int) -> None:
    async with pool.connection() as conn:
        await idempotency.forget(conn, hours)


async def _prove(pool: Pool) -> None:
    """Prove the book and say so in `billing_ledger_imbalance`; each difference is an error in the log."""
    async with pool.connection() as conn, conn.transaction():
        row = await (await conn.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", [PROOF_LOCK])).fetchone()
        if row is None or not row["mine"]:
            return
        async with pool.connection() as reader:
            found = await proof.differences(reader, lambda _claim, _found: None)
    IMBALANCE.set(len(found))
    for difference in found:
        log.error("the book is not right: %s", difference)
