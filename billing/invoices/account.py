"""An account as its invoices see it: its names, calendars and taxes, and the period that is open."""

from collections.abc import Collection, Iterator
from datetime import datetime
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from billing.db.dollars import picos
from billing.db.pool import Connection
from billing.invoices.invoice import Customer
from billing.invoices.periods import Calendar, Calendars, Period, month
from billing.invoices.taxes import Rate

ACCOUNT = (files("billing.invoices") / "account.sql").read_text()


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """The taxes an account of its `own`, or everybody, pays from an instant on; without `rates` none of its own."""

    own: bool
    since: datetime
    rates: bool
    named: tuple[Rate, ...]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account now: `posted` is all it has, `open_from` the end of its last closed period.

    `first_usage_at` is known while none is closed. `taxes` are in the order in which they take effect.
    """

    id: str
    customer: Customer
    calendars: Calendars
    taxes: tuple[Assignment, ...]
    payment_days: int | None
    posted: int
    credits_due: bool
    open_from: datetime | None
    first_usage_at: datetime | None
    created_at: datetime
    period_ends_at: datetime | None
    now: datetime

    def open_periods(self, since: datetime | None = None) -> Iterator[Period]:
        """All periods that are not closed, for ever. The first ones of an account begin with what is known of it, or
        at an earlier instant that is asked for."""
        if self.open_from:
            return self.calendars.periods(self.open_from)
        known = filter(None, (self.created_at, self.first_usage_at, since))
        return self.calendars.periods(self.calendars.first(min(known)))

    def called(self, label: str) -> Period | None:
        """The first open period that is called by a month; None: it has none, or none any more. Raises PeriodError."""
        start = month(label, self.calendars.settings[0][1].zone).start
        for period in self.open_periods(start):
            name = self.calendars.label(period)
            if name >= label:
                return period if name == label else None
        return None

    def rates(self, at: datetime) -> tuple[Rate, ...]:
        """The taxes in force at an instant."""
        found = [given for given in self.taxes if given.since <= at]
        own = next((given for given in reversed(found) if given.own), None)
        common = next((given for given in reversed(found) if not given.own), None)
        chosen = own if own and own.rates else common
        return chosen.named if chosen else ()


async def every(conn: Connection, only: str | None = None, *, uncommon: bool = False) -> list[str]:
    """All accounts, or the one asked for if it exists; if `uncommon`, those whose periods may end within a month."""
    cursor = await conn.execute(
        """
        SELECT id
        FROM accounts
        WHERE (%(only)s::text IS NULL OR id = %(only)s)
          AND (NOT %(uncommon)s OR anchor_day <> 1 OR closed_at IS NOT NULL OR EXISTS (
            SELECT FROM account_calendars WHERE account_id = id
          ))
        ORDER BY id
        """,
        {"only": only, "uncommon": uncommon},
    )
    return [row["id"] for row in await cursor.fetchall()]


async def due(conn: Connection, hours: int, after: str, limit: int) -> list[str]:
    """Accounts of which a period ended so many hours ago, or of which it is not known when one ends; in order of their
    ids, from the one after `after` on. One that is new is left alone for as long: its history may be coming in."""
    cursor = await conn.execute(
        """
        SELECT account_id
        FROM balances
        JOIN accounts ON id = account_id
        CROSS JOIN (SELECT now() - make_interval(hours => %(hours)s) AS moment) AS due
        WHERE (period_ends_at IS NULL OR period_ends_at <= moment) AND created_at <= moment AND account_id > %(after)s
        ORDER BY account_id
        LIMIT %(limit)s
        """,
        {"hours": hours, "after": after, "limit": limit},
    )
    return [row["account_id"] for row in await cursor.fetchall()]


async def get(conn: Connection, account_id: str) -> Account | None:
    """The account as it is, for whoever only looks."""
    row = await (await conn.execute(ACCOUNT, {"account": account_id})).fetchone()
    return None if row is None else _account(row)


async def lock(conn: Connection, account_id: str) -> Account | None:
    """Lock the account's balance until the commit: nothing is posted to it meanwhile."""
    row = await (await conn.execute(f"{ACCOUNT} FOR UPDATE OF balances", {"account": account_id})).fetchone()
    return None if row is None else _account(row)


async def advance(conn: Connection, account_id: str, end: datetime, next_end: datetime) -> None:
    """Close a period that has nothing to invoice; the one after it ends at `next_end`."""
    await conn.execute(
        "UPDATE balances SET open_from = %s, period_ends_at = %s WHERE account_id = %s", [end, next_end, account_id]
    )


async def expect(conn: Connection, account_id: str, at: datetime) -> None:
    """Note when to look at the account again: when its first open period ends, or before."""
    await conn.execute("UPDATE balances SET period_ends_at = %s WHERE account_id = %s", [at, account_id])


async def closings(conn: Connection, account_ids: Collection[str]) -> dict[str, datetime]:
    """When accounts were closed; those that were not are left out."""
    cursor = await conn.execute(
        "SELECT id, closed_at FROM accounts WHERE id = ANY(%s) AND closed_at IS NOT NULL", [list(account_ids)]
    )
    return {row["id"]: row["closed_at"] for row in await cursor.fetchall()}


def _account(row: dict[str, Any]) -> Account:
    return Account(
        id=row["id"],
        customer=Customer(**{name: row[name] for name in Customer.__struct_fields__}),
        calendars=Calendars(
            settings=tuple(_setting(*said) for said in row["calendars"] or [])
            or ((row["created_at"], Calendar(ZoneInfo(row["time_zone"]), row["anchor_day"])),),
            closed_at=row["closed_at"],
        ),
        taxes=msgspec.convert(row["taxes"] or [], tuple[Assignment, ...]),
        payment_days=row["payment_days"],
        posted=picos(row["posted"]),
        credits_due=row["credits_due"],
        open_from=row["open_from"],
        first_usage_at=row["first_usage_at"],
        created_at=row["created_at"],
        period_ends_at=row["period_ends_at"],
        now=row["now"],
    )


def _setting(set_at: str, time_zone: str, anchor_day: int) -> tuple[datetime, Calendar]:
    return datetime.fromisoformat(set_at), Calendar(ZoneInfo(time_zone), anchor_day)
