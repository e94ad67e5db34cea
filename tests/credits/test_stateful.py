"""Grants given, begun, used, expired, voided, and money paid in and back, in any order, beside a model of a few lists.

The model has a clock of its own, days ahead of the real one, which `give` and `settle` are told: so what the real clock
decides by itself stays out of the way. After every run the proof (`billing verify`) must find nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from billing.errors import Conflict, Unprocessable
from billing.ledger.movements import Movement, Refund, book, refund
from tests import factories
from tests.credits.conftest import DAY, UNIT, Customer, from_now
from tests.stateful.machine import Machine, play

gifts = st.fixed_dictionaries(
    {
        "amount": st.integers(1, 50),
        "priority": st.sampled_from([0, 100, 100]),
        "category": st.sampled_from(["paid", "promotional"]),
        "begins": st.sampled_from([0, 0, 0, 1, 2]),
        "lasts": st.none() | st.integers(1, 9),
    }
)


@dataclass
class Grant:
    """Of the model: amounts in units."""

    id: str
    name: str
    priority: int
    amount: int
    begins: datetime
    ends: datetime | None
    state: str = "pending"
    remaining: int = 0
    used: int = 0

    def settle(self, now: datetime) -> None:
        if self.state == "pending" and self.begins <= now:
            self.state, self.remaining = "active", self.amount
        if self.state == "active" and self.ends is not None and self.ends <= now:
            self.state, self.remaining = "expired", 0

    def pay(self, asked: int) -> int:
        paid = min(asked, self.remaining)
        self.remaining -= paid
        self.used += paid
        self.state = "used" if self.state == "active" and not self.remaining else self.state
        return paid


class Credits(Machine):
    @initialize(first=st.lists(gifts, min_size=2, max_size=4))
    def begin(self, first: list[dict[str, Any]]) -> None:
        async def made() -> str:
            async with self.pool.connection() as conn:
                return await factories.account(conn)

        self.customer = Customer(self.pool, self.intake, self.run(made()))
        self.now = from_now(1)
        self.wallet = 0
        self.grants: list[Grant] = []
        self.top_ups: dict[int, int] = {}
        for gift in first:
            self.given(**gift)

    @rule(gift=gifts)
    def give(self, gift: dict[str, Any]) -> None:
        self.given(**gift)

    def given(self, amount: int, priority: int, category: str, begins: int, lasts: int | None) -> None:
        name = f"g{len(self.grants)}"
        since = self.now + begins * DAY
        until = None if lasts is None else since + lasts * DAY
        given = self.customer.give(
            amount,
            now=self.now,
            priority=priority,
            category=category,
            effective_at=since,
            expires_at=until,
            reference=name,
        )
        self.grants.append(Grant(self.run(given).id, name, priority, amount, since, until))
        self.settled()

    @rule(used=st.lists(st.integers(1, 20), min_size=1, max_size=3), spread=st.booleans())
    def use(self, used: list[int], spread: bool) -> None:
        """Events of one batch, in one quarter hour or in several."""
        events = [
            self.customer.event(number, time=f"2026-10-05T08:{15 * place if spread else 0:02}:00Z")
            for place, number in enumerate(used)
        ]
        self.run(self.customer.take(events))
        left = sum(used)
        for grant in sorted(self.in_force(), key=lambda one: (one.priority, one.ends or from_now(10_000), one.id)):
            left -= grant.pay(left)
        self.wallet -= left

    @rule(days=st.integers(1, 2))
    def wait(self, days: int) -> None:
        self.now += days * DAY
        self.run(self.customer.settle(self.now))
        assert self.run(self.customer.settle(self.now)) == 0
        self.settled()

    @precondition(lambda self: self.grants)
    @rule(choice=st.integers(0))
    def void(self, choice: int) -> None:
        grant = self.grants[choice % len(self.grants)]
        try:
            self.run(self.customer.void(grant.id))
        except Conflict:
            assert grant.state not in ("pending", "active")
        else:
            assert grant.state in ("pending", "active")
            grant.state, grant.remaining = "voided", 0

    @rule(amount=st.integers(1, 60))
    def top_up(self, amount: int) -> None:
        movement = Movement(account_id=self.customer.id, kind="top_up", amount=amount * UNIT, actor="test")
        self.top_ups[self.run(self.customer.move(book, movement)).transaction] = amount
        self.wallet += amount

    @precondition(lambda self: self.top_ups)
    @rule(choice=st.integers(0), amount=st.none() | st.integers(1, 60))
    def refund(self, choice: int, amount: int | None) -> None:
        transaction = list(self.top_ups)[choice % len(self.top_ups)]
        left = self.top_ups[transaction]
        wanted = left if amount is None else amount
        asked = Refund(
            account_id=self.customer.id,
            transaction=transaction,
            amount=None if amount is None else amount * UNIT,
            reason="test",
            actor="test",
        )
        try:
            self.run(self.customer.move(refund, asked))
        except Unprocessable:
            assert wanted > left or left == 0 or wanted > self.wallet
        else:
            assert 0 < wanted <= min(left, self.wallet)
            self.top_ups[transaction] -= wanted
            self.wallet -= wanted

    def settled(self) -> None:
        for grant in self.grants:
            grant.settle(self.now)

    def in_force(self) -> list[Grant]:
        return [grant for grant in self.grants if grant.state == "active"]

    @invariant()
    def credits_are_right(self) -> None:
        credit = sum(grant.remaining for grant in self.grants)
        assert self.run(self.customer.holds()) == (self.wallet + credit, credit)
        states = {grant.name: (grant.state, grant.remaining, grant.used) for grant in self.grants}
        assert self.run(self.customer.grants()) == states


def test_credits_are_right_whatever_happens(fresh_database: str) -> None:
    play(Credits, fresh_database, games=40, steps=25)
