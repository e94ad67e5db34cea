"""Totals are the sums of the roll-ups, whoever posts, folds and reads at once; the proof says when they are not."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.metering.folding import fold
from billing.metering.intake import Intake
from billing.metering.outcomes import BUCKET_EDGES_MS, percentile
from billing.reports.tiles import tiles
from tests.books import differences
from tests.metering.events import batch, event
from tests.reports.conftest import Relay
from tests.reports.test_sums import posted

pytestmark = pytest.mark.anyio

OCTOBER = {"from": "2026-10-01", "to": "2026-11-01"}
POSTERS = 8


async def test_eight_connections_post_while_others_fold_and_read(relay: Relay) -> None:
    accounts = [await relay.account() for _ in range(3)]
    workers = [Intake(relay.pool, relay.intake.terms, relay.intake.settings) for _ in range(POSTERS)]

    async def post(number: int) -> None:
        for place in range(10):
            some = [event(accounts[n % 3], f"e{number}-{place}-{n}", latency_ms=n) for n in range(20)]
            await workers[number].post(batch(*some))

    async def fold_often() -> None:
        for _ in range(20):
            await fold(relay.pool)

    async def read_often() -> None:
        seen = 0
        for _ in range(10):
            [row] = (await relay.report("revenue", **OCTOBER))["data"] or [{"requests": 0}]
            assert row["requests"] >= seen
            seen = row["requests"]

    await asyncio.gather(*(post(number) for number in range(POSTERS)), fold_often(), fold_often(), read_often())
    total = (await relay.report("customers", **OCTOBER))["total"]
    assert total["requests"] == POSTERS * 200
    assert (await relay.report("status", **OCTOBER))["total"]["latency_ms"]["requests"] == POSTERS * 200
    assert await differences(relay.pool) == []


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("UPDATE usage_totals SET amount = amount + 1 WHERE minutes = 60", "in the 60 minutes"),
        ("UPDATE usage_increments SET requests = requests + 1", "The total of price"),
        ("DELETE FROM account_totals WHERE minutes = 1440", "The total of account"),
        ("INSERT INTO account_increments SELECT * FROM account_increments", "The total of account"),
        ("UPDATE outcome_totals SET requests = requests + 1", "the outcomes of"),
        ("UPDATE outcome_totals SET failed = requests + 1", "the outcomes of"),
    ],
)
async def test_the_proof_names_totals_that_are_not_the_sums(relay: Relay, harm: str, said: str) -> None:
    await posted(relay, seed=1, events=300)
    assert await differences(relay.pool) == []
    async with relay.pool.connection() as conn:
        await conn.execute(harm)  # type: ignore[arg-type]
    assert any(said in difference for difference in await differences(relay.pool))


QUARTER = timedelta(minutes=15)


@given(st.lists(st.integers(0, 400), min_size=2, max_size=6, unique=True))
def test_tiles_make_up_each_interval_and_nothing_else(places: Sequence[int]) -> None:
    *edges, end = (datetime(2026, 10, 30, tzinfo=UTC) + QUARTER * place for place in sorted(places))
    laid = tiles(edges, end)
    covered: list[datetime] = []
    for minutes, start, until in laid:
        length = timedelta(minutes=minutes)
        assert (start - datetime(2000, 1, 1, tzinfo=UTC)) % length == timedelta()
        while start < until:
            assert any(edge <= start and start + length <= last for edge, last in pairwise([*edges, end]))
            covered += [start + QUARTER * n for n in range(minutes // 15)]
            start += length
    assert sorted(covered) == [edges[0] + QUARTER * n for n in range((end - edges[0]) // QUARTER)]
    assert len(laid) <= 5 * len(edges)


@given(st.lists(st.integers(0, 900_000), min_size=1, max_size=200), st.sampled_from((50, 95, 99)))
def test_percentiles_are_off_by_less_than_a_quarter(times: list[int], percent: int) -> None:
    buckets = [0] * (len(BUCKET_EDGES_MS) + 1)
    for ms in times:
        buckets[sum(edge <= ms for edge in BUCKET_EDGES_MS)] += 1
    true = sorted(times)[-(-len(times) * percent // 100) - 1]
    found = percentile(buckets, percent)
    assert found is not None
    assert abs(found - true) <= max(8, true // 4)


def test_there_are_no_percentiles_of_nothing() -> None:
    assert percentile([0] * (len(BUCKET_EDGES_MS) + 1), 50) is None
