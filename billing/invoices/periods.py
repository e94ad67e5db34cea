"""A billing period: a calendar month of an account's time zone, as instants. Pure.

`[start, end)` runs from the first instant of the month's first local day to that of the next month's (rules.md
Invoices 1). Where midnight does not exist the day begins when the clock jumps past it; where midnight comes twice, at
the first. So the months of a zone tile all of time, whatever its clocks do.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

import msgspec

SLOT = timedelta(minutes=15)
"""Usage is summed by slots of this length, so a period has to begin on one."""

_LABEL = re.compile(r"(2\d{3})-(0[1-9]|1[0-2])", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET_MAX = timedelta(hours=14)
"""Nowhere is the local clock further ahead of UTC."""


class PeriodError(ValueError):
    """The text is not a month, or the month cannot be billed in this zone; a full sentence."""


class Period(msgspec.Struct, frozen=True):
    """From `start` to before `end`, both UTC."""

    start: datetime
    end: datetime

    def after(self, instant: datetime | None) -> Self:
        """What is left of the period from an instant on: the end of the last closed period, after a change of zone."""
        return msgspec.structs.replace(self, start=max(self.start, instant)) if instant else self


def month(label: str, zone: ZoneInfo) -> Period:
    """The month `YYYY-MM` (years 2000 to 2999) in a zone. Raises PeriodError."""
    year, number = parse_label(label)
    start = first_instant(year, number, zone)
    end = first_instant(year + number // 12, number % 12 + 1, zone)
    for edge in (start, end):
        if (edge - _EPOCH) % SLOT:
            raise PeriodError(f"In {zone.key} the month {label} does not begin and end on a quarter hour of UTC.")
    return Period(start, end)


def label_of(instant: datetime, zone: ZoneInfo) -> str:
    """The month of a zone that an instant falls in, as `YYYY-MM`."""
    label = f"{instant.astimezone(zone):%Y-%m}"
    end = month(label, zone).end
    # A clock set back across the month's first midnight shows the old month again, but the new one has begun.
    return label if instant < end else label_of(end, zone)


def has_ended_somewhere(label: str, now: datetime) -> bool:
    """Whether there is any time zone in which the month is over. Raises PeriodError for what is no month."""
    return month(label, ZoneInfo("UTC")).end - _OFFSET_MAX <= now


def parse_label(label: str) -> tuple[int, int]:
    """`(2026, 10)` of `2026-10`. Raises PeriodError."""
    match = _LABEL.fullmatch(label)
    if match is None:
        raise PeriodError(f"{label[:40]!r} is not a month: write it as YYYY-MM, such as 2026-10.")
    return int(match[1]), int(match[2])


def first_instant(year: int, number: int, zone: ZoneInfo) -> datetime:
    """The first instant, in UTC, of the month's first day as local clocks show it."""
    midnight = datetime(year, number, 1)  # noqa: DTZ001 - a wall clock's reading
    instant = midnight.replace(tzinfo=zone).astimezone(UTC)
    if _wall(instant, zone) == midnight:
        return instant
    return _jump(midnight.replace(tzinfo=zone, fold=1).astimezone(UTC), instant, midnight, zone)


def _jump(before: datetime, after: datetime, midnight: datetime, zone: ZoneInfo) -> datetime:
    """The second in (before, after] at which the clock jumps past midnight."""
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if _wall(before + timedelta(seconds=middle), zone) < midnight:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)
