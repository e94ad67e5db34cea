"""Months of every time zone there is (rules.md Invoices 1)."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.invoices.periods import (
    SLOT,
    Calendar,
    Calendars,
    Period,
    PeriodError,
    has_ended_somewhere,
    label_of,
    month,
    origin,
)

ZONES = sorted(available_timezones())
MOMENT = timedelta(microseconds=1)
DAY = timedelta(hours=20)
days = st.dates(date(2000, 1, 1), date(2100, 12, 31))
moments = st.integers(0, 100 * 365 * 86_400).map(lambda seconds: utc("2000-01-02") + timedelta(seconds=seconds))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def label(day: date) -> str:
    return f"{day:%Y-%m}"


def next_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


@pytest.mark.parametrize(
    ("zone", "name", "start", "end"),
    [
        ("Asia/Shanghai", "2026-10", "2026-09-30 16:00", "2026-10-31 16:00"),
        ("Asia/Kolkata", "2026-10", "2026-09-30 18:30", "2026-10-31 18:30"),
        ("Asia/Kathmandu", "2026-10", "2026-09-30 18:15", "2026-10-31 18:15"),
        ("America/New_York", "2026-03", "2026-03-01 05:00", "2026-04-01 04:00"),  # clocks go forward on the 8th
        ("America/New_York", "2026-11", "2026-11-01 04:00", "2026-12-01 05:00"),  # and back on the 1st, at two
        ("Pacific/Apia", "2011-12", "2011-12-01 10:00", "2011-12-31 10:00"),  # there was no 30th
        ("Pacific/Apia", "2026-10", "2026-09-30 11:00", "2026-10-31 11:00"),
        ("America/Havana", "2026-11", "2026-11-01 04:00", "2026-12-01 05:00"),  # two midnights on the 1st: the first
        ("Asia/Amman", "2016-04", "2016-03-31 22:00", "2016-04-30 21:00"),  # no midnight on the 1st: one o'clock
        ("America/Asuncion", "2017-10", "2017-10-01 04:00", "2017-11-01 03:00"),
        ("Asia/Beirut", "2026-03", "2026-02-28 22:00", "2026-03-31 21:00"),
        ("UTC", "2026-12", "2026-12-01 00:00", "2027-01-01 00:00"),
    ],
)
def test_months_begin_and_end_when_the_local_day_does(zone: str, name: str, start: str, end: str) -> None:
    assert month(name, ZoneInfo(zone)) == Period(utc(start), utc(end))


def test_months_tile_time_in_every_zone() -> None:
    labels = [f"{year}-{number:02}" for year in range(2019, 2032) for number in range(1, 13)]
    for zone in map(ZoneInfo, ZONES):
        for period, following in pairwise(month(label, zone) for label in labels):
            assert timedelta(days=27) < period.end - period.start < timedelta(days=32)
            assert period.end == following.start


@given(st.sampled_from(ZONES), days)
def test_a_month_begins_with_its_first_local_day(name: str, day: date) -> None:
    zone = ZoneInfo(name)
    period = month(label(day), zone)
    assert period.end == month(label(next_month(day)), zone).start
    assert (period.start - utc("1970-01-01")) % SLOT == timedelta()
    assert period.start.astimezone(zone).date() >= day.replace(day=1)
    assert (period.start - MOMENT).astimezone(zone).date() < day.replace(day=1)


@given(st.sampled_from(ZONES), moments)
def test_every_instant_falls_in_the_month_that_is_named_for_it(name: str, moment: datetime) -> None:
    zone = ZoneInfo(name)
    period = month(label_of(moment, zone), zone)
    assert period.start <= moment < period.end


def test_an_hour_that_comes_twice_belongs_to_one_month() -> None:
    """St. John's set its clocks back at a minute past midnight, on the first of November 2009."""
    zone = ZoneInfo("America/St_Johns")
    november = month("2009-11", zone)
    again = november.start + timedelta(minutes=30)
    assert again.astimezone(zone).date() == date(2009, 10, 31)
    assert label_of(again, zone) == "2009-11"
    assert label_of(november.start - MOMENT, zone) == "2009-10"
    assert Calendar(zone).containing(again) == november


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "2026-1", "26-10", "2026-10-01", "2026/10", "", "٢٠٢٦-10", "1999-12"]
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(PeriodError, match="is not a month: write it as YYYY-MM"):
        month(text, ZoneInfo("UTC"))


def test_a_month_ends_first_where_clocks_are_furthest_ahead() -> None:
    assert not has_ended_somewhere("2026-10", utc("2026-10-31 09:59:59"))
    assert has_ended_somewhere("2026-10", utc("2026-10-31 10:00"))
    assert month("2026-10", ZoneInfo("Pacific/Kiritimati")).end == utc("2026-10-31 10:00")


def calendar(zone: str, anchor_day: int = 1) -> Calendar:
    return Calendar(ZoneInfo(zone), anchor_day)


def some(calendars: Calendars, start: datetime, count: int) -> list[tuple[str, datetime, datetime]]:
    periods = islice(calendars.periods(start), count)
    return [(calendars.label(period), period.start, period.end) for period in periods]


@given(st.sampled_from(ZONES), st.integers(1, 31), moments)
def test_periods_of_any_anchor_tile_time(name: str, anchor_day: int, moment: datetime) -> None:
    own = calendar(name, anchor_day)
    period = own.containing(moment)
    assert period.start <= moment < period.end
    assert own.begin(period.start) == period.start
    assert own.begin(period.end) == period.end == own.next(period.start)
    assert timedelta(days=26) < period.end - period.start < timedelta(days=33)
    day = (period.start - MOMENT).astimezone(own.zone).date() + timedelta(days=1)
    last = (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    assert day.day == min(anchor_day, last.day) or name == "Pacific/Apia" or skips_days(own.zone, day)


def skips_days(zone: ZoneInfo, day: date) -> bool:
    """Where a whole day was left out, as in Kwajalein or Samoa."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return abs(noon.astimezone(zone).utcoffset() - (noon - timedelta(days=3)).astimezone(zone).utcoffset()) > DAY


@given(st.sampled_from(ZONES), moments)
def test_anchored_on_the_first_they_are_the_months(name: str, moment: datetime) -> None:
    zone = ZoneInfo(name)
    period = calendar(name).containing(moment)
    assert period == month(label_of(moment, zone), zone)
    assert Calendars(settings=((moment, calendar(name)),)).label(period) == label_of(moment, zone)


def test_an_anchor_day_is_clamped_to_short_months() -> None:
    own = Calendars(settings=((utc("2026-01-01"), calendar("UTC", 31)),))
    assert some(own, own.first(utc("2026-01-31")), 4) == [
        ("2026-02", utc("2026-01-31"), utc("2026-02-28")),
        ("2026-03", utc("2026-02-28"), utc("2026-03-31")),
        ("2026-04", utc("2026-03-31"), utc("2026-04-30")),
        ("2026-05", utc("2026-04-30"), utc("2026-05-31")),
    ]


def test_a_change_of_calendar_takes_effect_with_the_next_period() -> None:
    changed = Calendars(
        settings=(
            (utc("2026-01-01"), calendar("Asia/Shanghai")),
            (utc("2026-05-10"), calendar("America/New_York")),
            (utc("2026-07-10"), calendar("America/New_York", 15)),
        )
    )
    assert some(changed, changed.first(utc("2026-05-01")), 5) == [
        ("2026-05", utc("2026-04-30 16:00"), utc("2026-05-31 16:00")),  # as it began
        ("2026-06", utc("2026-05-31 16:00"), utc("2026-07-01 04:00")),  # the twelve hours in between are no period
        ("2026-07", utc("2026-07-01 04:00"), utc("2026-08-01 04:00")),
        ("2026-08", utc("2026-08-01 04:00"), utc("2026-08-15 04:00")),  # until the new anchor day
        ("2026-09", utc("2026-08-15 04:00"), utc("2026-09-15 04:00")),
    ]


def test_the_last_period_of_an_account_ends_when_it_is_closed() -> None:
    own = Calendars(settings=((utc("2026-01-01"), calendar("UTC")),), closed_at=utc("2026-05-09 10:11:12"))
    assert some(own, utc("2026-05-01"), 3) == [
        ("2026-05", utc("2026-05-01"), utc("2026-05-09 10:15")),
        ("2026-05", utc("2026-05-09 10:15"), utc("2026-06-01")),
        ("2026-06", utc("2026-06-01"), utc("2026-07-01")),
    ]


def test_late_usage_belongs_to_the_period_it_would_have_been_in() -> None:
    may, july = Period(utc("2026-04-30 16:00"), utc("2026-05-31 16:00")), utc("2026-07-01")
    assert origin(utc("2026-05-31 15:45"), [may], calendar("UTC"), july) == may
    assert origin(utc("2026-06-02"), [may], calendar("UTC", 2), july) == Period(utc("2026-06-02"), july)
    assert origin(utc("2026-05-31 16:00"), [may], calendar("UTC"), july) == Period(may.end, utc("2026-06-01"))
    assert origin(utc("2026-04-30 15:45"), [may], calendar("UTC"), july) == Period(utc("2026-04-01"), may.start)
