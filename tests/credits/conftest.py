"""A customer with credits: the real intake, ledger and grants on a database of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

import pytest

from billing.credits import giving, store
from billing.credits.giving import GrantView
from billing.credits.grants import NewGrant
from billing.db.pool import Connection, Pool, open_pool
from billing.ledger.reads import PostingView, posting_view
from billing.metering.intake import Intake
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book, money
from tests import factories
from tests.metering.events import batch, event

ids = count()
M = TypeVar("M")
DAY = timedelta(days=1)
MICRO = {"prompt_tokens": 1, "completion_tokens": 0}
UNIT = money.parse("0.000015")  # one input token of gpt-4: $30/1M × 0.5


@dataclass
class Customer:
    """One account. Amounts are in units of one input token of gpt-4, so that usage costs what it says."""

    pool: Pool
    intake: Intake
    id: str

    async def give(self, units: int, *, now: datetime | None = None, **said: Any) -> GrantView:
        grant = NewGrant(account_id=self.id, amount=units * UNIT, actor="test", **{"category": "promotional", **said})
        async with self.pool.connection() as conn, conn.transaction():
            return await giving.give(conn, grant, now)

    async def void(self, grant: str) -> GrantView:
        async with self.pool.connection() as conn, conn.transaction():
            return await giving.void(conn, self.id, grant, reason="test", actor="test")

    async def settle(self, now: datetime | None = None) -> int:
        async with self.pool.connection() as conn, conn.transaction():
            return await store.settle(conn, [self.id], now)

    async def use(self, *units: int, **said: Any) -> None:
        """One batch: an event of so many units each."""
        await self.take([self.event(number, **said) for number in units])

    async def take(self, events: list[dict[str, Any]]) -> None:
        results = await self.intake.post(batch(*events))
        assert {result.status for result in results} == {"accepted"}

    async def move(self, work: Callable[[Connection, M], Awaitable[PostingView]], asked: M) -> PostingView:
        """A movement of money, in a transaction of its own."""
        async with self.pool.connection() as conn, conn.transaction():
            return await work(conn, asked)

    def event(self, units: int, **said: Any) -> dict[str, Any]:
        return event(self.id, f"use-{next(ids)}", **{"usage": {**MICRO, "prompt_tokens": units}, **said})

    async def grants(self) -> dict[str, tuple[str, int, int]]:
        """State, what remains and what was used, in units, by the grants' references."""
        async with self.pool.connection() as conn:
            rows = await (await conn.execute("SELECT * FROM grants WHERE account_id = %s", [self.id])).fetchall()
        return {row["reference"]: (row["state"], units(row["remaining"]), units(row["used"])) for row in rows}

    async def holds(self) -> tuple[int, int]:
        """All it has, and what of it is credit, in units."""
        async with self.pool.connection() as conn:
            cursor = await conn.execute("SELECT posted, credits FROM balances WHERE account_id = %s", [self.id])
            row = await cursor.fetchone()
        return units(row["posted"]), units(row["credits"])

    async def journal(self) -> list[PostingView]:
        """Oldest first."""
        query = "SELECT * FROM postings WHERE account_id = %s ORDER BY seq, line"
        async with self.pool.connection() as conn:
            rows = await (await conn.execute(query, [self.id])).fetchall()
        return [posting_view(row) for row in rows]

    async def moves(self) -> list[tuple[str, str, str, int]]:
        """Kind, source, destination and units of every posting, oldest first."""
        return [
            (posting.kind, posting.source, posting.destination, money.parse(posting.amount) // UNIT)
            for posting in await self.journal()
        ]


def units(dollars: Any) -> int:
    amount = dollars * 10**12
    assert amount % UNIT == 0
    return int(amount // UNIT)


def from_now(days: float) -> datetime:
    return datetime.now(UTC) + days * DAY


@pytest.fixture
async def relay_pool(fresh_database: str) -> AsyncIterator[Pool]:
    async with await open_pool(Settings(pool_size_max=16), fresh_database) as pool:
        yield pool


@pytest.fixture
async def customer(relay_pool: Pool) -> Customer:
    intake = Intake(relay_pool, TermsKeeper(book.load(), "0.5"), Settings())
    async with relay_pool.connection() as conn:
        return Customer(relay_pool, intake, await factories.account(conn))
