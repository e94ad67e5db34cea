"""What a report is asked for: a span of whole quarter hours, and the hours, days or months it is divided into. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from billing.accounts import zones
from billing.errors import Fault, Invalid
from billing.times import instant

Interval = Literal["hour", "day", "month"]

QUARTER = timedelta(minutes=15)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
DEFAULT_DAYS = 30
LENGTHS: dict[Interval, timedelta] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "month": timedelta(days=30),
}


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """The quarter hours of [start, end), instants in UTC; divided by `interval` as the clocks of the time zone do."""

    start: datetime
    end: datetime
    time_zone: str
    interval: Interval | None = None

    def edges(self) -> list[datetime]:
        """Where each interval begins, in order; the first one at the span's start, wherever that is within it.

        All within whole quarter hours, because every zone's clock is a multiple of one away from UTC.
        """
        zone = ZoneInfo(self.time_zone)
        found = [self.start]
        while self.interval and (following := _following(found[-1], zone, self.interval)) < self.end:
            found.append(following)
        return found

    def label(self, edge: datetime) -> str:
        """How the interval that has this instant is called: `2026-11`, `2026-11-01`, `2026-11-01T08:00+08:00`."""
        local = edge.astimezone(ZoneInfo(self.time_zone))
        if self.interval == "hour":
            return local.replace(minute=0).isoformat(timespec="minutes")
        return f"{local:%Y-%m}" if self.interval == "month" else f"{local:%Y-%m-%d}"


def _following(edge: datetime, zone: ZoneInfo, interval: Interval) -> datetime:
    """Where the next interval begins. A midnight that the clocks skip is the instant they do; of two, the first."""
    local = edge.astimezone(zone)
    if interval == "hour":
        return edge + timedelta(hours=1) - timedelta(minutes=local.minute)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if interval == "day":
        return (midnight + timedelta(days=1)).astimezone(UTC)
    return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1).astimezone(UTC)


def span(
    start: str | None, end: str | None, time_zone: str = "UTC", interval: Interval | None = None, *, rows_max: int
) -> Span:
    """The span that two texts mean (billing/times.py), widened to whole quarter hours; by default the last 30 days.

    Raises Invalid: unknown_time_zone, invalid_time, empty_span, and too_many_rows for too many intervals.
    """
    if time_zone not in zones.names():
        detail = f"There is no time zone {time_zone[:80]!r}; a name looks like Europe/Berlin."
        raise Invalid("unknown_time_zone", detail, (Fault("unknown_time_zone", detail, "time_zone"),))
    zone = ZoneInfo(time_zone)
    until = instant(end, zone, "to") or datetime.now(UTC)
    since = instant(start, zone, "from") or until - timedelta(days=DEFAULT_DAYS)
    if since >= until:
        raise Invalid("empty_span", f"The span from {since.isoformat()} to {until.isoformat()} is empty.")
    found = Span(
        start=EPOCH + (since - EPOCH) // QUARTER * QUARTER,
        end=EPOCH - (EPOCH - until) // QUARTER * QUARTER,
        time_zone=time_zone,
        interval=interval,
    )
    if interval is not None and (found.end - found.start) / LENGTHS[interval] > rows_max:
        raise too_many_rows(rows_max)
    return found


def too_many_rows(rows_max: int) -> Invalid:
    return Invalid(
        "too_many_rows",
        f"The report would have more than {rows_max} rows (BILLING_REPORT_ROWS_MAX): ask for a shorter span, a longer "
        "interval or fewer groups.",
    )
