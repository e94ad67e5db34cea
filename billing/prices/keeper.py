"""The terms a process goes by, kept as new as the database's (billing/prices/terms.py)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psycopg
from psycopg_pool import PoolTimeout

from billing.db.pool import Connection, Pool
from billing.errors import Fault, Invalid
from billing.prices import store
from billing.prices.terms import Terms
from pricing.book import Book
from pricing.errors import BookError

LOOK_SECONDS = 1.0
"""How long another process may go by terms that have just been changed."""

log = logging.getLogger(__name__)


class TermsKeeper:
    """Holds the `current` terms; `book` is the one this process has loaded, under whatever operators have added."""

    def __init__(self, book: Book, multiplier: str) -> None:
        self.book = book
        self.multiplier = multiplier
        self.current = Terms(
            version=-1, book=book, multiplier=multiplier, books={}, multipliers={}, plans={}, plan_multipliers={}
        )

    async def refresh(self, conn: Connection) -> None:
        """Take over what has changed, if anything has."""
        if await store.version(conn) != self.current.version:
            self.current = await store.terms(conn, self.book, self.multiplier)

    async def keep_fresh(self, pool: Pool) -> None:
        """Refresh for ever; while the database is away, the last terms known stand."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                async with pool.connection() as conn:
                    await self.refresh(conn)
            except (psycopg.Error, PoolTimeout, BookError) as error:
                log.warning("the terms could not be read again: %s", error)

    async def change(self, pool: Pool, work: Callable[[Connection], Awaitable[None]]) -> None:
        """Do `work`, which changes the terms, if what comes of it is a book without faults; else nothing.

        Raises Invalid with every fault of the book that would have been.
        """
        async with pool.connection() as conn:
            try:
                async with conn.transaction():
                    await store.count_up(conn)
                    await work(conn)
                    terms = await store.terms(conn, self.book, self.multiplier)
            except BookError as error:
                faults = tuple(Fault("price_fault", fault, "$") for fault in error.faults)
                raise Invalid("price_fault", "These prices do not make a book.", faults) from None
        self.current = terms
