"""Who pays which prices, at any instant: the book with an operator's own prices over it, and the multipliers. Pure.

Terms are a snapshot of what the database holds (store.py) and never change; a change makes new ones.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from pricing.book import Book
from pricing.policies import Policy

T = TypeVar("T")


class Dated(msgspec.Struct, Generic[T], frozen=True):
    """A value in force from an instant on, until the next one. None: nothing special from then on."""

    effective_from: datetime
    value: T | None


def in_force(history: Iterable[Dated[T]], at: datetime) -> T | None:
    """The value in force at an instant; of several from the same instant the last one counts."""
    begun = [dated for dated in history if dated.effective_from <= at]
    return max(begun, key=lambda dated: dated.effective_from).value if begun else None


class Agreed(msgspec.Struct, frozen=True):
    """What an account pays by at an instant, and which number is billed for an event that carries its text."""

    book: Book
    multiplier: str
    policy: Policy


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """All terms there are. Histories are newest row first; accounts that are not named have the standard terms."""

    version: int
    book: Book
    multiplier: str
    policy: Policy
    books: Mapping[str, Book]
    multipliers: Mapping[str, list[Dated[str]]]
    plans: Mapping[str, list[Dated[str]]]
    plan_multipliers: Mapping[str, list[Dated[str]]]

    def of(self, account_id: str, at: datetime) -> Agreed:
        """The terms of an account at an instant, each its own, else its plan's, else the standard one."""
        book = self.books.get(account_id, self.book)
        if account_id not in self.multipliers and account_id not in self.plans:
            return Agreed(book, self.multiplier, self.policy)
        own = in_force(self.multipliers.get(account_id, ()), at)
        return Agreed(book, own or self._by_plan(account_id, at) or self.multiplier, self.policy)

    def _by_plan(self, account_id: str, at: datetime) -> str | None:
        plan = in_force(self.plans.get(account_id, ()), at)
        return None if plan is None else in_force(self.plan_multipliers.get(plan, ()), at)
