"""The terms a process goes by, kept as new as the database's (billing/prices/terms.py)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Self, TypeVar

import psycopg
from psycopg_pool import PoolTimeout

from billing.db.pool import Connection, Pool
from billing.errors import Fault, Invalid, Unavailable
from billing.prices import store
from billing.prices.terms import Agreed, Terms
from billing.settings import Settings
from pricing import book
from pricing.book import Book
from pricing.errors import BookError
from pricing.policies import Policy

LOOK_SECONDS = 1.0
"""How long another process may show prices that have just been changed. It never charges by them: see `fresh`."""
RETRY_AFTER_SECONDS = 10
UNREAD = -1

log = logging.getLogger(__name__)

T = TypeVar("T")


class TermsKeeper:
    """Holds the `current` terms; the `standard` ones are those of this process, without what operators have added."""

    def __init__(self, prices: Book, multiplier: str, policy: Policy = "reported") -> None:
        self.standard = Agreed(prices, multiplier, policy)
        self.current = Terms(version=UNREAD, standard=self.standard)

    @classmethod
    def by(cls, settings: Settings) -> Self:
        """By the book and the standard terms that the settings name. Raises BookError."""
        prices = book.load(settings.price_file, published=settings.published_prices)
        return cls(prices, settings.multiplier, settings.verification_policy)

    async def fresh(self, conn: Connection) -> Terms:
        """The terms as they are now: whatever charges must ask here, for a charge is for ever (rules.md Money 3).

        Raises Unavailable while the terms in the database cannot be read: nothing is charged by guesswork.
        """
        if await store.version(conn) != self.current.version:
            try:
                terms = await store.terms(conn, self.standard)
            except BookError as error:
                log.error("the prices operators have added do not make a book: %s", error)
                detail = "The prices operators have added do not make a book with this release's tables."
                raise Unavailable("terms_unreadable", detail, retry_after=RETRY_AFTER_SECONDS) from None
            self._take(terms)
            return terms
        return self.current

    def _take(self, terms: Terms) -> None:
        if terms.version > self.current.version:
            self.current = terms

    async def keep_fresh(self, pool: Pool) -> None:
        """Look again for ever, for those who only show prices; while that fails, the last terms known stand."""
        while True:
            try:
                async with pool.connection() as conn:
                    await self.fresh(conn)
            except (psycopg.Error, PoolTimeout, Unavailable) as error:
                log.warning("the terms could not be read: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def change(self, pool: Pool, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do `work`, which changes the terms, if what comes of it is a book without faults; else nothing.

        Returns what `work` returns. Raises Invalid with every fault of the book that would have been.
        """
        async with pool.connection() as conn:
            try:
                async with conn.transaction():
                    await store.count_up(conn)
                    done = await work(conn)
                    terms = await store.terms(conn, self.standard)
            except BookError as error:
                faults = tuple(Fault("price_fault", fault, "$") for fault in error.faults)
                raise Invalid("price_fault", "These prices do not make a book.", faults) from None
        self._take(terms)
        return done
