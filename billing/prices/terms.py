"""Who pays which prices, at any instant: the book with an operator's own prices over it, the multipliers, and the
verification policies; and what upstreams take. Pure.

Terms are a snapshot of what the database holds (store.py) and never change; a change makes new ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from pricing.book import Book
from pricing.policies import Policy

T = TypeVar("T")

OTHERS = "*"
"""In an upstream's place: all that have no factor of their own, and the one of a request that names none."""


class Dated(msgspec.Struct, Generic[T], frozen=True):
    """A value in force from an instant on, until the next one. None: nothing special from then on."""

    effective_from: datetime
    value: T | None


def in_force(history: Iterable[Dated[T]], at: datetime) -> T | None:
    """The value in force at an instant; of several from the same instant the last one counts."""
    begun = [dated for dated in history if dated.effective_from <= at]
    return max(begun, key=lambda dated: dated.effective_from).value if begun else None


class Special(msgspec.Struct, Generic[T], frozen=True):
    """One kind of term, such as the multiplier, of those who have special ones. Histories are newest row first."""

    accounts: Mapping[str, Sequence[Dated[T]]] = {}
    plans: Mapping[str, Sequence[Dated[T]]] = {}

    def of(self, account_id: str, plan_id: str | None, at: datetime) -> T | None:
        """The account's own at an instant, else its plan's, else None."""
        own = in_force(self.accounts.get(account_id, ()), at)
        return own if own is not None or plan_id is None else in_force(self.plans.get(plan_id, ()), at)


class Agreed(msgspec.Struct, frozen=True):
    """What an account pays by at an instant, and which number is billed for an event that carries its text."""

    book: Book
    multiplier: str
    policy: Policy


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """All terms there are: the standard ones; by account its own prices and plans; by upstream what it takes.

    Histories are newest row first.
    """

    version: int
    standard: Agreed
    books: Mapping[str, Book] = {}
    plans: Mapping[str, Sequence[Dated[str]]] = {}
    multipliers: Special[str] = Special()
    policies: Special[Policy] = Special()
    factors: Mapping[str, Sequence[Dated[str]]] = {}

    def of(self, account_id: str, at: datetime) -> Agreed:
        """The terms of an account at an instant, each its own, else its plan's, else the standard one."""
        if self._are_standard(account_id):
            return self.standard
        plan_id = self.plan_of(account_id, at)
        return Agreed(
            self.books.get(account_id, self.standard.book),
            self.multipliers.of(account_id, plan_id, at) or self.standard.multiplier,
            self.policies.of(account_id, plan_id, at) or self.standard.policy,
        )

    def plan_of(self, account_id: str, at: datetime) -> str | None:
        """The plan an account is on at an instant."""
        return in_force(self.plans.get(account_id, ()), at)

    def factor(self, upstream: str | None, at: datetime) -> str | None:
        """What an upstream takes of the official price at an instant, else what all others do. None: not known."""
        if not self.factors:
            return None
        own = None if upstream is None else in_force(self.factors.get(upstream, ()), at)
        return own if own is not None else in_force(self.factors.get(OTHERS, ()), at)

    def _are_standard(self, account_id: str) -> bool:
        return (
            account_id not in self.plans
            and account_id not in self.multipliers.accounts
            and account_id not in self.policies.accounts
            and account_id not in self.books
        )
