"""How requests went, and how long they took: counted in buckets, so that any span has its percentiles. Pure."""

from collections.abc import Sequence
from enum import IntEnum

from billing.metering.events import UsageEvent

BUCKET_EDGES_MS = tuple(step << power for power in range(1, 18) for step in (4, 5, 6, 7))
"""Where the buckets after the first begin: four for each doubling, from 8 ms to a quarter of an hour."""


class Outcome(IntEnum):
    """`ended` and `status` of an event in one."""

    COMPLETED = 0
    FAILED = 1
    ABORTED = 2
    CUT = 3


ENDED = {
    "completed": Outcome.COMPLETED,
    "client_aborted": Outcome.ABORTED,
    "upstream_cut": Outcome.CUT,
    "failed": Outcome.FAILED,
}


def outcome_of(event: UsageEvent) -> Outcome:
    return Outcome.FAILED if event.status >= 400 else ENDED[event.ended]


def percentile(buckets: Sequence[int], percent: int) -> int | None:
    """Milliseconds that so many percent of the requests took at most; None of none.

    Within a bucket they are taken to be spread evenly, so it is off by less than the bucket's width, a quarter of the
    value. Of the last bucket, which has no end, it is the beginning.
    """
    rank = -(-sum(buckets) * percent // 100)
    if rank == 0:
        return None
    for begin, end, requests in zip(
        (0, *BUCKET_EDGES_MS), (*BUCKET_EDGES_MS, BUCKET_EDGES_MS[-1]), buckets, strict=True
    ):
        if rank <= requests:
            return begin + (end - begin) * rank // requests
        rank -= requests
    raise AssertionError("A rank is never above the sum.")
