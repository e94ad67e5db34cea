"""A relay with customers: the real intake, the real ledger and the real close on a real database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

import msgspec
import pytest

from billing.db.pool import Connection, Pool, open_pool
from billing.invoices import store, verify
from billing.invoices.close import Result, close_month
from billing.invoices.invoice import Invoice
from billing.ledger.store import Posting, post
from billing.metering.events import JSON, read
from billing.metering.intake import Intake
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book, money
from tests import factories

ids = count()


async def differences(conn: Connection) -> list[str]:
    """What the proof finds wrong with the invoices."""
    return [found for part in (*verify.OF_ACCOUNTS, *verify.SERIES) for found in await part(conn)]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass
class Relay:
    """One database with the service's own rooms on it."""

    pool: Pool
    settings: Settings
    intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        self.intake = Intake(self.pool, TermsKeeper(book.load(), "0.5"), self.settings)

    async def account(self, time_zone: str = "UTC") -> str:
        async with self.pool.connection() as conn:
            return await factories.account(conn, time_zone=time_zone)

    async def use(
        self,
        account: str,
        *times: str,
        model: str = "gpt-4",
        tokens: tuple[int, int] = (19, 10),
        key: str | None = None,
        upstream: str | None = None,
    ) -> None:
        """One batch: an event at each time, of so many input and output tokens."""
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
        whose = {"api_key": key} if key else {"account": account}
        via = {"upstream": {"name": upstream}} if upstream else {}
        event = {"source": "test", "model": model, "usage": usage, **whose, **via}
        batch = [{**event, "id": f"event-{next(ids)}", "time": instant(time)} for time in times]
        results = await self.intake.post(read(msgspec.json.encode(batch), JSON, len(batch)))
        assert {result.status for result in results} <= {"accepted", "unpriced"}

    async def move(self, account: str, amount: str, at: str, kind: str = "top_up") -> None:
        """A top-up or an adjustment of this many dollars, effective at an instant."""
        picos = money.parse(amount)
        other = {"top_up": "cash", "adjustment": "adjustments"}[kind]
        legs = {"source": other, "destination": "wallet"} if picos >= 0 else {"source": "wallet", "destination": other}
        posting = Posting(account_id=account, kind=kind, amount=abs(picos), effective_at=instant(at), **legs)
        async with self.pool.connection() as conn:
            await post(conn, posting)

    async def close(self, label: str, account: str) -> Result:
        summary = await close_month(self.pool, self.settings, label, account)
        assert len(summary.results) == 1
        return summary.results[0]

    async def invoice(self, result: Result) -> Invoice:
        async with self.pool.connection() as conn:
            found = await store.find(conn, result.invoice, result.account)
        assert found is not None
        return found

    async def invoiced(self, label: str, account: str) -> Invoice:
        """Close the month, which has something to invoice; the invoice."""
        result = await self.close(label, account)
        assert result.outcome == "invoiced", result
        return await self.invoice(result)

    async def posted(self, account: str) -> int:
        """The wallet now, in picodollars."""
        async with self.pool.connection() as conn:
            row = await (await conn.execute("SELECT posted FROM balances WHERE account_id = %s", [account])).fetchone()
        return int(row["posted"] * money.PICOS_PER_DOLLAR)


@pytest.fixture
def relay(pool: Pool, settings: Settings) -> Relay:
    """On the database all tests of this worker share: close one account at a time."""
    return Relay(pool, settings)


@pytest.fixture
async def own_relay(fresh_database: str, settings: Settings) -> AsyncIterator[Relay]:
    """On a database of its own, for closing everything and for looking at series of numbers."""
    async with await open_pool(msgspec.structs.replace(settings, pool_size_max=12), fresh_database) as pool:
        yield Relay(pool, settings)
