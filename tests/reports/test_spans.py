"""The span of a report: whole quarter hours, divided as the clocks of a time zone do."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.accounts import zones
from billing.errors import Invalid
from billing.reports.asked import LENGTHS, Interval, Span, span


def asked(start: str | None, end: str | None, zone: str = "UTC", interval: Interval | None = None) -> Span:
    return span(start, end, zone, interval, rows_max=10_000)


def labels(found: Span) -> list[str]:
    return [found.label(edge) for edge in found.edges()]


def test_a_span_is_widened_to_whole_quarter_hours() -> None:
    found = asked("2026-11-01T08:07:30Z", "2026-11-01T09:00:00.000001Z")
    assert found.start == datetime(2026, 11, 1, 8, 0, tzinfo=UTC)
    assert found.end == datetime(2026, 11, 1, 9, 15, tzinfo=UTC)


def test_days_are_those_of_the_time_zone() -> None:
    found = asked("2026-11-01", "2026-11-04", "Asia/Kathmandu", "day")
    assert labels(found) == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert found.edges()[0] == datetime(2026, 10, 31, 18, 15, tzinfo=UTC)
    assert labels(asked("2026-11-01", "2027-02-02", "Asia/Kathmandu", "month")) == [
        "2026-11",
        "2026-12",
        "2027-01",
        "2027-02",
    ]


def test_by_default_it_is_the_last_thirty_days() -> None:
    found = asked(None, None)
    assert timedelta(days=30) <= found.end - found.start <= timedelta(days=30, minutes=15)
    assert found.end - timedelta(minutes=15) <= datetime.now(UTC) <= found.end


def test_hours_that_come_twice_are_two() -> None:
    found = asked("2026-10-25T01:00", "2026-10-25T04:00", "Europe/Berlin", "hour")
    assert labels(found) == [
        "2026-10-25T01:00+02:00",
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T03:00+01:00",
    ]


@given(
    zone=st.sampled_from(sorted(zones.names())),
    interval=st.sampled_from(list(LENGTHS)),
    quarter=st.integers(0, 26 * 365 * 96),
    quarters=st.integers(1, 10 * 96),
)
def test_each_interval_is_one_hour_day_or_month_of_the_clock(
    zone: str, interval: Interval, quarter: int, quarters: int
) -> None:
    start = datetime(2012, 1, 1, tzinfo=UTC) + timedelta(minutes=15) * quarter
    found = Span(start=start, end=start + timedelta(minutes=15) * quarters, time_zone=zone, interval=interval)
    edges = [*found.edges(), found.end]
    assert edges[0] == start
    assert len(set(labels(found))) == len(edges) - 1
    for edge, following in pairwise(edges):
        assert edge < following
        assert (edge - start) % timedelta(minutes=15) == timedelta()
        last = following - timedelta(minutes=15)
        assert found.label(edge) == found.label(last)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"zone": "Mars/Olympus"}, "unknown_time_zone"),
        ({"start": "yesterday"}, "invalid_time"),
        ({"start": "1999-12-31"}, "invalid_time"),
        ({"start": "2026-11-02", "end": "2026-11-02"}, "empty_span"),
        ({"start": "2020-01-01", "interval": "hour"}, "too_many_rows"),
    ],
)
def test_what_is_no_span_is_refused(changes: dict[str, str], code: str) -> None:
    given = {"start": "2026-11-01", "end": "2026-11-03", **changes}
    with pytest.raises(Invalid) as refused:
        asked(**given)  # type: ignore[arg-type]
    assert refused.value.code == code
