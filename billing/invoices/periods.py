"""A billing period: a month of an account's time zone, from its anchor day on, as instants. Pure.

`[start, end)` runs from the first instant of a local day to that of the same day a month later (rules.md Invoices 1).
Where midnight does not exist the day begins when the clock jumps past it; where midnight comes twice, at the first. So
the periods of a calendar tile all of time, whatever its clocks do.

Zone and anchor day may change: a period follows the calendar that was set when it began, and ends where the next one
begins. A period is called by the month, `YYYY-MM`, that its last moment falls in.
"""

import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

SLOT = timedelta(minutes=15)
"""Usage is summed by slots of this length, so a period has to begin on one."""

LAST_MOMENT = timedelta(microseconds=1)
"""How long before its end a period's last moment is: the finest step of time there is."""

_LABEL = re.compile(r"(2\d{3})-(0[1-9]|1[0-2])", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHORTEST = timedelta(days=2)
"""No two zones' midnights of the same day are as far apart."""

LONGEST = timedelta(days=34)
"""A month, and what a change of zone or anchor day adds to it."""

_OFFSET_MAX = timedelta(hours=14)
"""Nowhere is the local clock further ahead of UTC."""


class PeriodError(ValueError):
    """The text is not a month, or the month cannot be billed in this zone; a full sentence."""


class Period(msgspec.Struct, frozen=True):
    """From `start` to before `end`, both UTC."""

    start: datetime
    end: datetime


class Calendar(msgspec.Struct, frozen=True):
    """Whose clock an account follows, and the day of the month (1 to 31) on which its periods begin; in a month that
    is shorter, the last."""

    zone: ZoneInfo
    anchor_day: int = 1

    def begin(self, instant: datetime) -> datetime:
        """The last instant, not after this one, at which a period begins."""
        return max(edge for edge in self._edges(instant) if edge <= instant)

    def next(self, instant: datetime) -> datetime:
        """The first instant after this one at which a period begins."""
        return min(edge for edge in self._edges(instant) if edge > instant)

    def containing(self, instant: datetime) -> Period:
        return Period(self.begin(instant), self.next(instant))

    def _edges(self, instant: datetime) -> list[datetime]:
        """Where periods begin in the local months around an instant. Two after it: a clock set back across a month's
        first midnight shows the old month again."""
        local = instant.astimezone(self.zone)
        months = (divmod(local.year * 12 + local.month - 1 + step, 12) for step in (-1, 0, 1, 2))
        return [first_instant(year, number + 1, self.zone, self.anchor_day) for year, number in months]


class Calendars(msgspec.Struct, frozen=True, kw_only=True):
    """An account's calendars, each with the instant it was set at, oldest first; and when the account was closed."""

    settings: tuple[tuple[datetime, Calendar], ...]
    closed_at: datetime | None = None

    def at(self, instant: datetime) -> Calendar:
        """The one that was set then; the first one for what was before it."""
        found = self.settings[0][1]
        for set_at, calendar in self.settings:
            if set_at <= instant:
                found = calendar
        return found

    def period(self, start: datetime) -> Period:
        """The period that begins at an instant. Raises PeriodError.

        It ends where its calendar begins another, but not within its first two days: a change of zone moves midnight,
        and what lies between two midnights is no period. An account that is closed ends it at that quarter hour.
        """
        end = self.at(start).next(start + SHORTEST)
        if self.closed_at is not None and start < (closing := _quarter_hour_after(self.closed_at)) < end:
            end = closing
        for edge in (start, end):
            if (edge - _EPOCH) % SLOT:
                raise PeriodError(f"The period from {start} to {end} does not begin and end on a quarter hour of UTC.")
        return Period(start, end)

    def periods(self, start: datetime) -> Iterator[Period]:
        """The period that begins at an instant, and all after it."""
        while True:
            period = self.period(start)
            yield period
            start = period.end

    def first(self, instant: datetime) -> datetime:
        """Where the periods of an account begin whose first doings were then."""
        return self.at(instant).begin(instant)

    def label(self, period: Period) -> str:
        """The month a period is called by: the one its last moment falls in."""
        return label_of(period.end - SLOT, self.at(period.start).zone)


def origin(slot: datetime, known: Sequence[Period], calendar: Calendar, before: datetime) -> Period:
    """The earlier period that late usage belongs to: one of the known ones; else that of the calendar, as far as it
    lies between them and ends `before` the period that bills it."""
    for period in known:
        if period.start <= slot < period.end:
            return period
    found = calendar.containing(slot)
    ends = [period.end for period in known if period.end <= slot]
    starts = [period.start for period in known if period.start > slot]
    return Period(max([found.start, *ends]), min([found.end, before, *starts]))


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


def has_begun_somewhere(label: str, now: datetime) -> bool:
    """Whether there is any time zone in which the month has begun. Raises PeriodError for what is no month."""
    return month(label, ZoneInfo("UTC")).start - _OFFSET_MAX <= now


def parse_label(label: str) -> tuple[int, int]:
    """`(2026, 10)` of `2026-10`. Raises PeriodError."""
    match = _LABEL.fullmatch(label)
    if match is None:
        raise PeriodError(f"{label[:40]!r} is not a month: write it as YYYY-MM, such as 2026-10.")
    return int(match[1]), int(match[2])


def first_instant(year: int, number: int, zone: ZoneInfo, day: int = 1) -> datetime:
    """The first instant, in UTC, of a day of the month, or of its last one, as local clocks show it."""
    midnight = datetime(year, number, min(day, monthrange(year, number)[1]))  # noqa: DTZ001 - a wall clock's reading
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


def _quarter_hour_after(instant: datetime) -> datetime:
    return instant + (_EPOCH - instant) % SLOT


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)
