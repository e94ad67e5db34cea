"""Authorize, capture, release, expire, sweep, top up, limit and suspend, in any order, beside a model of a few dicts.

The model knows the rules and nothing of the code. After every step no balance may differ from it; after every run the
proof (`billing verify`) must find nothing.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, initialize, invariant, rule

from billing import ids
from billing.accounts import keys, limits
from billing.accounts.store import Balance, Changes, change
from billing.errors import Problem
from billing.gather import Bounds
from billing.holds import store
from billing.holds.authorizer import Authorizer, sweep
from billing.holds.estimates import exactly
from billing.holds.rules import Asked, Granted
from billing.ledger.movements import Movement, book
from tests import factories
from tests.books import balance
from tests.metering.events import batch, event
from tests.stateful.machine import Machine, play

MICRO = 10**6
INPUT_PRICE = 15 * MICRO  # picodollars of one input token of gpt-4: half of $30 a million

amounts = st.integers(0, 40).map(lambda tokens: tokens * INPUT_PRICE)


@dataclass
class Held:
    amount: int
    with_key: bool
    state: str = "open"
    due: bool = False


@dataclass
class Customer:
    """The model: all amounts in picodollars."""

    key_id: str
    key_hash: bytes
    posted: int = 0
    credit_limit: int = 0
    suspended: bool = False
    key_limit: int | None = None
    key_spent: int = 0
    holds: dict[str, Held] = field(default_factory=dict)

    def held(self, *, by_key: bool = False) -> int:
        return sum(
            hold.amount
            for hold in self.holds.values()
            if hold.state == "open" and not hold.due and (hold.with_key or not by_key)
        )

    def available(self) -> int:
        return self.posted + self.credit_limit - self.held()

    def refusal(self, amount: int, with_key: bool) -> str | None:
        if self.suspended:
            return "account_suspended"
        if amount > self.available():
            return "insufficient_quota"
        if (
            with_key
            and self.key_limit is not None
            and amount > self.key_limit - self.key_spent - self.held(by_key=True)
        ):
            return "key_limit_reached"
        return None


class Holds(Machine):
    accounts: Bundle[str] = Bundle("accounts")
    held: Bundle[tuple[str, str]] = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        # Two, as in two processes: they share nothing but the database.
        self.authorizers = [Authorizer(self.pool, self.intake.terms, Bounds(100, 60)) for _ in range(2)]
        self.customers: dict[str, Customer] = {}
        self.events = 0

    @initialize(target=accounts)
    def first_account(self) -> str:
        return self.account()

    @rule(target=accounts)
    def account(self) -> str:
        async def make() -> tuple[str, Customer]:
            async with self.pool.connection() as conn:
                account = await factories.account(conn)
                key, secret = await keys.create(conn, scope="customer", name="test", account_id=account)
                return account, Customer(key.id, keys.hash_of(secret))

        account, customer = self.run(make())
        self.customers[account] = customer
        return account

    @rule(account=accounts, amount=st.integers(1, 100))
    def top_up(self, account: str, amount: int) -> None:
        movement = Movement(account_id=account, kind="top_up", amount=amount * INPUT_PRICE, reason="test", actor="test")

        async def work() -> None:
            async with self.pool.connection() as conn, conn.transaction():
                await book(conn, movement)

        self.run(work())
        self.customers[account].posted += movement.amount

    @rule(account=accounts, limit=amounts, suspended=st.booleans())
    def change_account(self, account: str, limit: int, suspended: bool) -> None:
        async def work() -> None:
            async with self.pool.connection() as conn:
                await change(conn, account, Changes(credit_limit=limit, suspended=suspended))

        self.run(work())
        self.customers[account].credit_limit, self.customers[account].suspended = limit, suspended

    @rule(account=accounts, limit=st.one_of(st.none(), amounts))
    def change_key(self, account: str, limit: int | None) -> None:
        customer = self.customers[account]

        async def work() -> None:
            async with self.pool.connection() as conn:
                await limits.change(conn, customer.key_id, limits.Changes(total_limit=limit))

        self.run(work())
        customer.key_limit = limit

    @rule(target=held, account=accounts, asked=st.lists(st.tuples(amounts, st.booleans()), min_size=1, max_size=5))
    def authorize(self, account: str, asked: list[tuple[int, bool]]) -> Any:
        """Several at once, in two processes: what is granted, in whatever order, never exceeds what is there."""
        customer = self.customers[account]
        requests = [self.asked(account, customer, amount, with_key) for amount, with_key in asked]
        alone = len(requests) == 1
        refusal = customer.refusal(*asked[0]) if alone else None

        async def work() -> list[Granted | BaseException]:
            tasks = [self.authorizers[n % 2].authorize(one) for n, one in enumerate(requests)]
            return await asyncio.gather(*tasks, return_exceptions=True)

        last = None
        for (amount, with_key), found in zip(asked, self.run(work()), strict=True):
            if isinstance(found, Granted):
                assert found.hold.amount == amount
                customer.holds[found.hold.id] = Held(amount, with_key)
                last = (account, found.hold.id)
            else:
                assert isinstance(found, Problem), found
            if alone:
                assert (found.code if isinstance(found, Problem) else None) == refusal
        if last is not None:
            assert customer.available() >= 0
            assert not customer.suspended
        return last or (account, "auth_nobody")

    @staticmethod
    def asked(account: str, customer: Customer, amount: int, with_key: bool) -> Asked:
        return Asked(
            owner=customer.key_hash if with_key else account,
            model="gpt-4",
            price=exactly(amount),
            max_cost=amount,
            seconds=3600,
            new_id=ids.new("auth"),
        )

    @rule(named=held, tokens=st.integers(0, 60), with_key=st.booleans(), status=st.sampled_from([200, 200, 500]))
    def use(self, named: tuple[str, str], tokens: int, with_key: bool, status: int) -> None:
        """An event that names a hold, whatever became of that."""
        account, hold_id = named
        customer = self.customers[account]
        self.events += 1
        owner = {"account": ..., "api_key_hash": customer.key_hash.hex()} if with_key else {}
        posted = event(
            account,
            f"e{self.events}",
            authorization=hold_id,
            status=status,
            time=datetime.now(UTC).isoformat(),
            usage={"prompt_tokens": tokens + 1, "completion_tokens": 0},
            **owner,
        )
        [result] = self.run(self.intake.post(batch(posted)))
        assert result.status == "accepted"
        charge = (tokens + 1) * INPUT_PRICE if status == 200 else 0
        customer.posted -= charge
        customer.key_spent += charge if with_key else 0
        over = customer.key_limit is not None and customer.key_spent > customer.key_limit
        assert (result.reason is not None) == (with_key and over)
        if hold_id in customer.holds and customer.holds[hold_id].state == "open":
            customer.holds[hold_id].state = "captured"

    @rule(named=held)
    def release(self, named: tuple[str, str]) -> None:
        async def work() -> None:
            async with self.pool.connection() as conn:
                await store.end(conn, [named])

        self.run(work())
        hold = self.customers[named[0]].holds.get(named[1])
        if hold is not None and hold.state == "open":
            hold.state = "expired" if hold.due else "released"

    @rule(named=consumes(held))
    def time_passes(self, named: tuple[str, str]) -> None:
        """So long that a hold has expired."""

        async def work() -> None:
            async with self.pool.connection() as conn:
                await conn.execute(
                    "UPDATE holds SET expires_at = now() - interval '1 s' WHERE account_id = %s AND id = %s", named
                )

        self.run(work())
        hold = self.customers[named[0]].holds.get(named[1])
        if hold is not None:
            hold.due = True

    @rule()
    def sweep(self) -> None:
        self.run(sweep(self.pool))
        for customer in self.customers.values():
            for hold in customer.holds.values():
                if hold.state == "open" and hold.due:
                    hold.state = "expired"

    @invariant()
    def balances_are_right(self) -> None:
        async def found() -> dict[str, Balance]:
            async with self.pool.connection() as conn:
                return {account: await balance(conn, account) for account in self.customers}

        for account, now in self.run(found()).items():
            customer = self.customers[account]
            assert (now.posted, now.held, now.available) == (customer.posted, customer.held(), customer.available())

    @invariant()
    def holds_are_right(self) -> None:
        async def states() -> dict[tuple[str, str], str]:
            async with self.pool.connection() as conn:
                rows = await (await conn.execute("SELECT account_id, id, state FROM holds")).fetchall()
                return {(row["account_id"], row["id"]): row["state"] for row in rows}

        stored = self.run(states())
        for account, customer in self.customers.items():
            for hold_id, hold in customer.holds.items():
                assert stored[account, hold_id] == hold.state


def test_what_is_held_is_right_whatever_happens(fresh_database: str) -> None:
    play(Holds, fresh_database, games=30, steps=30)
