"""What the poster of events is told: one result for each event."""

from collections import Counter
from typing import Literal

import msgspec

from billing.errors import Fault
from billing.metering.assess import Assessed
from billing.metering.events import Batch
from billing.metering.judging import MISMATCHES, VerdictView
from billing.metering.store import Known
from pricing import money

Status = Literal["accepted", "duplicate", "conflict", "rejected", "unpriced"]

# Below this many events every result is listed; above it only those that need looking at, unless asked for.
LISTED_MAX = 100


REASONS_MAX = 3
"""Faults told in the sentence of a result; all of them are in its `errors`."""


OVERSPENT = "The API key has spent more than its limit."


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer for one event. `charge` is in dollars; `reason` says why it is not simply accepted."""

    index: int
    id: str | None = None
    status: Status
    charge: str | None = None
    reason: str | None = None
    verification: VerdictView | None = None
    errors: tuple[Fault, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for a batch. `accepted`, `duplicates` and `rejected` add up to all its events.

    Accepted are those kept now, `unpriced` of them waiting for a price; rejected are those not kept, `conflicts` of
    them because another event has their identity.
    """

    accepted: int
    duplicates: int
    rejected: int
    unpriced: int
    conflicts: int
    results: list[Result]


def answer(results: list[Result], *, everything: bool) -> Answer:
    """Count the results; list all of them, or only those that are neither accepted nor duplicates."""
    counts = Counter(result.status for result in results)
    listed = results if everything else [one for one in results if _is_notable(one)]
    return Answer(
        accepted=counts["accepted"] + counts["unpriced"],
        duplicates=counts["duplicate"],
        rejected=counts["rejected"] + counts["conflict"],
        unpriced=counts["unpriced"],
        conflicts=counts["conflict"],
        results=listed,
    )


def _is_notable(result: Result) -> bool:
    """Whether a gateway should look at a result: the event was not simply accepted, or its usage was not believed."""
    mismatch = result.verification is not None and result.verification.verdict in MISMATCHES
    return mismatch or result.reason is not None or result.status not in ("accepted", "duplicate")


def result_of(item: Assessed, known: Known | None = None, *, is_new: bool = True, overspent: bool = False) -> Result:
    """The result of an event that was booked now, or that was `known` before. `overspent`: its key is over a limit."""
    if is_new:
        return Result(
            index=item.index,
            id=item.id,
            status="unpriced" if item.review else "accepted",
            charge=money.format(item.amount),
            reason=" ".join(filter(None, (item.note, OVERSPENT if overspent else None))) or None,
            verification=item.judgement.view() if item.judgement else None,
        )
    if known is None:  # somebody else was faster to correct what it corrects
        reason = f"$.corrects: {item.corrects} is corrected already by another event."
        return Result(index=item.index, id=item.id, status="conflict", reason=reason)
    if known.same:
        return Result(index=item.index, id=item.id, status="duplicate", charge=money.format(known.amount))
    reason = "An event with this account, source and id is booked already, with another content. Nothing was changed."
    return Result(index=item.index, id=item.id, status="conflict", reason=reason)


def held_back(result: Result) -> Result:
    """A good event of a batch that was to be booked whole or not at all, and was not."""
    reason = "Nothing was booked, because other events of this batch could not be (all_or_nothing)."
    return Result(index=result.index, id=result.id, status="rejected", reason=reason)


def faulty(batch: Batch) -> list[Result]:
    """The results of the events that could not be read."""
    faults: dict[int, list[Fault]] = {}
    for fault in batch.faults:
        faults.setdefault(fault.index or 0, []).append(fault)
    return [refusal(index, None, found) for index, found in faults.items()]


def refusal(index: int, event_id: str | None, faults: list[Fault]) -> Result:
    named = [f"{fault.path}: {fault.detail}".rstrip(".") + "." for fault in faults[:REASONS_MAX]]
    reason = " ".join([*named, "…"] if len(faults) > REASONS_MAX else named)
    return Result(index=index, id=event_id, status="rejected", reason=reason, errors=tuple(faults))


def by_index(results: list[Result]) -> list[Result]:
    return sorted(results, key=lambda result: result.index)
