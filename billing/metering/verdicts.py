"""Verdicts in the database: kept with their events, and read back."""

from collections.abc import Iterable, Mapping, Sequence, Set
from importlib.resources import files
from typing import Any, NamedTuple

from billing import outbox
from billing.db.arrays import Columns, InstantArray, Int4Array, Int8Array, TextArray
from billing.db.pool import Connection
from billing.metering.assess import Assessed
from billing.metering.judging import Judgement, Numbers, Span, Spans, VerdictView
from billing.observe.metrics import TOKEN_MISMATCH, VERIFICATIONS
from billing.outbox import Mismatches
from pricing.tokens import Side

KEEP_VERDICTS = (files("billing.metering") / "keep_verdicts.sql").read_text()


class Judged(NamedTuple):
    """Events that have a verdict, by their place in a batch, and the verdicts as the statement takes them."""

    found: dict[int, tuple[Assessed, Judgement]]
    columns: Columns


def judged(items: Sequence[Assessed]) -> Judged:
    """Those of a batch that have a verdict."""
    found = {place: (item, item.judgement) for place, item in enumerate(items) if item.judgement is not None}
    return Judged(found, _columns(found) if found else {})


async def keep(conn: Connection, judged: Judged, booked: Set[int]) -> None:
    """Keep the verdicts of those events, by their place, that this transaction has booked."""
    if kept := [found for place, found in judged.found.items() if place in booked]:
        columns = {**judged.columns, "booked": Int4Array.of(sorted(booked))}
        await conn.execute(KEEP_VERDICTS, columns)
        await _tell(conn, [(item, judgement) for item, judgement in kept if judgement.is_mismatch])


def count(items: Iterable[Assessed]) -> None:
    """Count the verdicts of events whose transaction has been committed."""
    for item in items:
        if (judgement := item.judgement) is not None:
            VERIFICATIONS.labels(judgement.verification.verdict).inc()
            if judgement.is_mismatch:
                TOKEN_MISMATCH.labels(item.rate.model).inc()


async def _tell(conn: Connection, found: Sequence[tuple[Assessed, Judgement]]) -> None:
    """Put what was reported wrongly into the outbox, summed by account."""
    sums: dict[str, Mismatches] = {}
    for item, judgement in found:
        told = sums.setdefault(item.account_id, Mismatches())
        told.over_reported += judgement.verification.verdict == "over_reported"
        told.under_reported += judgement.verification.verdict == "under_reported"
        told.excess += judgement.excess
        told.shortfall += judgement.shortfall
    if sums:
        await outbox.add_mismatches(conn, sums)


def _columns(found: Mapping[int, tuple[Assessed, Judgement]]) -> Columns:
    items = [item for item, _ in found.values()]
    kept = [judgement for _, judgement in found.values()]
    verified = [judgement.verification for judgement in kept]
    return {
        "places": Int4Array.of(list(found)),
        "account_ids": TextArray.of(item.account_id for item in items),
        "sources": TextArray.of(item.source for item in items),
        "ids": TextArray.of(item.id for item in items),
        "times": InstantArray.of(item.time for item in items),
        "models": TextArray.of(item.rate.model for item in items),
        "upstreams": TextArray.of(item.upstream or "" for item in items),
        "verdicts": TextArray.of(one.verdict for one in verified),
        "reasons": TextArray.of(one.reason for one in verified),
        "units": TextArray.of(one.unit for one in verified),
        "policies": TextArray.of(judgement.policy for judgement in kept),
        **_sides("input", [one.input for one in verified]),
        **_sides("output", [one.output for one in verified]),
        "billed_inputs": Int8Array.of([judgement.billed.input for judgement in kept]),
        "billed_outputs": Int8Array.of([judgement.billed.output for judgement in kept]),
        "excesses": Int8Array.of([judgement.excess for judgement in kept]),
        "shortfalls": Int8Array.of([judgement.shortfall for judgement in kept]),
        "excess_amounts": Int8Array.of([judgement.excess_amount for judgement in kept]),
        "shortfall_amounts": Int8Array.of([judgement.shortfall_amount for judgement in kept]),
    }


def _sides(name: str, sides: list[Side]) -> Columns:
    counts = [side.counted for side in sides]
    return {
        f"reported_{name}s": Int8Array.of([side.reported for side in sides]),
        f"{name}_lows": Int8Array.of([count.low if count else None for count in counts]),
        f"{name}_likelies": Int8Array.of([count.likely if count else None for count in counts]),
        f"{name}_highs": Int8Array.of([count.high if count else None for count in counts]),
    }


def verdict_of(row: dict[str, Any] | None) -> VerdictView | None:
    """The verdict in a row of `verdicts`, as it was answered to the gateway."""
    if row is None:
        return None
    return VerdictView(
        verdict=row["verdict"],
        reported=Numbers(row["reported_input"], row["reported_output"]),
        counted=Spans(_span(row, "input"), _span(row, "output")),
        reason=row["reason"],
        unit=row["unit"],
        policy=row["policy"],
        billed=Numbers(row["billed_input"], row["billed_output"]),
    )


def _span(row: dict[str, Any], side: str) -> Span | None:
    low = row[f"{side}_low"]
    return None if low is None else (low, row[f"{side}_high"])
