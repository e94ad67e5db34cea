"""The reports as tables for people."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from rich.console import RenderableType
from rich.text import Text

from billing.cli._print import aligned, table
from billing.metering.judging import Span as Bounds
from billing.metering.judging import VerdictView
from billing.reports import status as statuses
from billing.reports import sums as money_sums
from billing.reports import verification as verifications
from pricing import money


def title(what: str, start: datetime, end: datetime, time_zone: str) -> str:
    return f"{what}, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, days of {time_zone}"


def count(number: int) -> str:
    return f"{number:,}" if number else "·"


NAMES = ("time", "account", "name", "model", "upstream", "dimension")
DOLLARS = ("amount", "cost", "margin")


def sums(report: money_sums.Report) -> Iterator[RenderableType]:
    """A row for each group, and a bold one for all."""
    if not report.data:
        yield "Nothing was used in this span."
        return
    rows: list[dict[str, Any]] = [msgspec.to_builtins(row) for row in [*report.data, report.total]]
    columns = [
        name for name in (*NAMES, "quantity", "requests", *DOLLARS, "margin_percent", "without_cost") if name in rows[0]
    ]
    aligned_by = {name: aligned([money.parse(row[name]) for row in rows]) for name in DOLLARS if name in columns}
    what = report.object.removeprefix("report.").capitalize()
    heads = [name.replace("margin_percent", "%").replace("_", " ") for name in columns]
    numbers = tuple(head for head, name in zip(heads, columns, strict=True) if name not in NAMES)
    made = table(*heads, numbers=numbers, title=title(what, report.start, report.end, report.time_zone))
    for place, row in enumerate(rows):
        cells = [aligned_by[name][place] if name in aligned_by else _cell(row.get(name)) for name in columns]
        made.add_row(*cells, style="bold" if place == len(report.data) else None)
    yield made


def _cell(value: str | int | None) -> Text:
    return Text(count(value) if isinstance(value, int) else value or "")


def status(report: statuses.Report) -> Iterator[RenderableType]:
    """A row for each group, and a bold one for all. Times, whole and until the first token, are in milliseconds."""
    if not report.data:
        yield "There were no requests in this span."
        return
    groups = [*(["time"] if report.interval else []), *report.group_by]
    numbers = ("requests", "failed", "aborted", "cut", "errors", "p50", "p95", "p99", "1st p50")
    made = table(
        *groups,
        *numbers,
        numbers=numbers,
        title=title("Status, times in ms", report.start, report.end, report.time_zone),
    )
    for row in [*report.data, report.total]:
        names = [Text(getattr(row, group, None) or "") for group in groups]
        counts = [count(number) for number in (row.requests, row.failed, row.aborted, row.cut)]
        whole, first = row.latency_ms, row.first_token_ms
        times = (whole.p50, whole.p95, whole.p99, first.p50)
        shown = ["–" if one is None else f"{one:,}" for one in times]
        made.add_row(*names, *counts, f"{row.error_percent} %", *shown, style="bold" if row is report.total else None)
    yield made


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
    """A row for each group, a bold one for all; only columns in which there is something. Tokens and dollars are those
    outside of our bounds."""
    groups = [*(["time"] if report.interval else []), *report.group_by]
    rows: list[verifications.Sums] = [*report.data, report.total]
    columns = {
        "checked": [count(row.events) for row in rows],
        "exact": [count(row.verdicts.exact) for row in rows],
        "bounded": [count(row.verdicts.within_bounds) for row in rows],
        "counted": [count(row.verdicts.counted) for row in rows],
        "unverifiable": [count(row.verdicts.unverifiable) for row in rows],
        "over": [count(row.verdicts.over_reported) for row in rows],
        "by tokens": [count(row.excess) for row in rows],
        "by $": aligned([money.parse(row.excess_amount) for row in rows]),
        "under": [count(row.verdicts.under_reported) for row in rows],
        "by tokens ": [count(row.shortfall) for row in rows],
        "by $ ": aligned([money.parse(row.shortfall_amount) for row in rows]),
    }
    shown = {name: cells for name, cells in columns.items() if cells[-1].strip("$0.·")}
    heading = title("Verification", report.start, report.end, report.time_zone)
    made = table(*groups, *shown, numbers=tuple(shown), title=heading)
    for row, *cells in zip(rows, *shown.values(), strict=True):
        names = [Text(getattr(row, group, None) or "") for group in groups]
        made.add_row(*names, *cells, style="bold" if row is report.total else None)
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
