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


NOTHING = "·"


def count(number: int) -> str:
    return f"{number:,}" if number else NOTHING


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
    """A row for each group, a bold one for all. Tokens and dollars are those outside of our bounds.

    Columns that say nothing are left out: there are many, and the groups must have room.
    """
    groups = [*(["time"] if report.interval else []), *report.group_by]
    rows: list[verifications.Sums] = [*report.data, report.total]
    columns: dict[str, list[str]] = {
        "checked": [count(row.events) for row in rows],
        "exact": [count(row.verdicts.exact) for row in rows],
        "bounded": [count(row.verdicts.within_bounds) for row in rows],
        "counted": [count(row.verdicts.counted) for row in rows],
        "unverif.": [count(row.verdicts.unverifiable) for row in rows],
        "over": [count(row.verdicts.over_reported) for row in rows],
        "under": [count(row.verdicts.under_reported) for row in rows],
        "tokens over": [count(row.excess) for row in rows],
        "tokens under": [count(row.shortfall) for row in rows],
        "$ over": aligned([money.parse(row.excess_amount) for row in rows]) if report.total.excess else [],
        "$ under": aligned([money.parse(row.shortfall_amount) for row in rows]) if report.total.shortfall else [],
    }
    told = {name: cells for name, cells in columns.items() if any(cell != NOTHING for cell in cells)}
    headed = title("Verification", report.start, report.end, report.time_zone)
    made = table(*groups, *told, numbers=tuple(told), title=headed)
    for place, row in enumerate(rows):
        total = row is report.total
        names = [Text("" if total else str(getattr(row, group, None) or "–")) for group in groups]
        made.add_row(*names, *(cells[place] for cells in told.values()), style="bold" if total else None)
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
