"""The way of an authorisation: asked → gathered with who asks meanwhile → decided under the accounts' locks → kept.

look (store.py) → decide (rules.py) → make (store.py), one transaction and two round trips for a whole batch.
"""

from collections.abc import Sequence

from billing.credits import store as credits
from billing.db.pool import Connection, Pool, with_retries
from billing.errors import Problem
from billing.gather import Bounds, Gatherer
from billing.holds import store
from billing.holds.rules import Asked, Granted, decide, is_short
from billing.observe.metrics import AUTHORIZATIONS
from billing.prices.keeper import TermsKeeper
from billing.prices.terms import Terms

LANES = 1
"""Batches at once: with more of them they are smaller, and those of one account wait for each other anyway."""
BATCH_MAX = 256
SWEPT_AT_ONCE = 500
FORGOTTEN_AT_ONCE = 10_000

Answer = Granted | Problem


class Authorizer:
    """Authorises for one process."""

    def __init__(self, pool: Pool, terms: TermsKeeper, bounds: Bounds) -> None:
        self.pool = pool
        self.terms = terms
        self._gathered: Gatherer[Asked, Granted] = Gatherer(
            self._authorize, lanes=LANES, items_max=BATCH_MAX, bounds=bounds
        )

    async def authorize(self, asked: Asked) -> Granted:
        """Set aside what the request may cost. Raises Problem when that may not be."""
        try:
            granted = await self._gathered.ask(asked)
        except Problem as refusal:
            AUTHORIZATIONS.labels(refusal.code).inc()
            raise
        AUTHORIZATIONS.labels("granted" if granted.new else "repeated").inc()
        return granted

    async def _authorize(self, batch: list[Asked]) -> Sequence[Answer]:
        async with self.pool.connection() as conn:
            # What is to be priced is priced by the terms as they are now; a maximum that was said needs none.
            priced = any(asked.max_cost is None for asked in batch)
            terms = await self.terms.fresh(conn) if priced else self.terms.current
            return await with_retries(lambda: _decided(conn, batch, terms))


async def _decided(conn: Connection, batch: list[Asked], terms: Terms) -> list[Answer]:
    """Decide and keep; when an account has credits that are due, after they are settled."""
    while True:
        try:
            return await _decided_now(conn, batch, terms)
        except _CreditsDue as due:
            async with conn.transaction():
                await credits.settle(conn, due.accounts)


class _CreditsDue(Exception):
    """Takes back a batch that would have counted credits which have expired, or not those that have begun."""

    def __init__(self, accounts: list[str]) -> None:
        self.accounts = accounts


async def _decided_now(conn: Connection, batch: list[Asked], terms: Terms) -> list[Answer]:
    async with conn.pipeline(), conn.transaction():
        seen = await store.look(conn, [asked.owner for asked in batch], [asked.id for asked in batch])
        if due := [account.id for account in seen.accounts.values() if account.credits_due]:
            raise _CreditsDue(due)
        decided = decide(batch, seen, terms)
        if any(is_short(one) for one in decided):
            decided = decide(batch, await store.with_due(conn, seen), terms)
        new = [one.hold for one in decided if isinstance(one, Granted) and one.new]
        if new:
            await store.make(conn, new)
    return decided


async def sweep(pool: Pool) -> None:
    """Free what expired holds held, some at a time. Safe to do twice at once, or not at all: nobody counts them."""
    ended = SWEPT_AT_ONCE
    while ended == SWEPT_AT_ONCE:
        async with pool.connection() as conn:
            ended = await with_retries(lambda: store.sweep(conn, SWEPT_AT_ONCE))


async def forget(pool: Pool, days: int) -> None:
    """Delete what ended so many days ago, some at a time: a row for every request would stay else."""
    deleted = FORGOTTEN_AT_ONCE
    while deleted == FORGOTTEN_AT_ONCE:
        async with pool.connection() as conn:
            deleted = await store.forget(conn, days, FORGOTTEN_AT_ONCE)
