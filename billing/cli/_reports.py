"""The reports as tables for people."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from billing.cli._print import aligned, table
from billing.metering.judging import Span as Bounds
from billing.metering.judging import VerdictView
from billing.reports import verification as verifications
from pricing import money


def title(what: str, start: datetime, end: datetime, time_zone: str) -> str:
    return f"{what}, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, days of {time_zone}"


def count(number: int) -> str:
    return f"{number:,}" if number else "·"


def verification(report: verifications.Report) -> Iterator[RenderableType]:
    if not report.data:
        yield "No event of this span carried its text."
        return
    yield _verdicts(report)
    if report.worst:
        yield _worst(report.worst)
    if report.unverifiable:
        reasons = table("events", "why they could not be verified", numbers=("events",), title="Unverifiable")
        for one in report.unverifiable:
            reasons.add_row(count(one.events), Text(one.reason))
        yield reasons


def _verdicts(report: verifications.Report) -> RenderableType:
    """A row for each group, a bold one for all. Tokens and dollars are those outside of our bounds."""
    groups = [*(["time"] if report.interval else []), *report.group_by]
    events = ("checked", "exact", "bounded", "counted", "unverif.", "over", "under")
    numbers = (*events, "tokens over", "tokens under", "$ over", "$ under")
    made = table(
        *groups, *numbers, numbers=numbers, title=title("Verification", report.start, report.end, report.time_zone)
    )
    rows: list[verifications.Sums] = [*report.data, report.total]
    over = aligned([money.parse(row.excess_amount) for row in rows])
    under = aligned([money.parse(row.shortfall_amount) for row in rows])
    for row, *dollars in zip(rows, over, under, strict=True):
        of = row.verdicts
        counts = [row.events, of.exact, of.within_bounds, of.counted, of.unverifiable, of.over_reported]
        counts += [of.under_reported, row.excess, row.shortfall]
        names = [Text(getattr(row, group, None) or "") for group in groups]
        made.add_row(*names, *map(count, counts), *dollars, style="bold" if row is report.total else None)
    return made


def _worst(events: list[verifications.Worst]) -> RenderableType:
    columns = ("event", "account", "time", "model", "upstream", "reported", "counted", "dollars")
    made = table(*columns, numbers=("dollars",), title="Worst events (input / output)")
    amounts = [money.parse(one.excess_amount) + money.parse(one.shortfall_amount) for one in events]
    for one, amount in zip(events, aligned(amounts), strict=True):
        event = Text(one.id)
        event.append(f" {one.source}", "dim")
        made.add_row(
            event,
            one.account,
            f"{one.time:%Y-%m-%d %H:%M}Z",
            one.model,
            Text(one.upstream),
            *_both(one.verification),
            amount,
        )
    return made


def _both(found: VerdictView) -> tuple[str, str]:
    """What was reported and what we counted, input / output."""
    reported = " / ".join(
        "–" if number is None else f"{number:,}" for number in (found.reported.input, found.reported.output)
    )
    return reported, f"{_bounds(found.counted.input)} / {_bounds(found.counted.output)}"


def _bounds(span: Bounds | None) -> str:
    if span is None:
        return "–"
    low, high = span
    if high is None:
        return f"≥ {low:,}"
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
