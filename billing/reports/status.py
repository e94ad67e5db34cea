"""The status report: how many requests to each model failed, and how long they took."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from psycopg import sql

from billing.db.pool import Connection
from billing.metering.outcomes import BUCKET_EDGES_MS, percentile
from billing.reports.grouped import Asked, Columns, Heading, grouped, percent, tiled

Group = Literal["model", "upstream"]
GROUPED_BY: tuple[Group, ...] = ("model",)
COLUMNS: Columns = {"model": "model", "upstream": "upstream"}

PERCENTILES = (50, 95, 99)
MEASURES = ("latency", "first_token")
BUCKETS = len(BUCKET_EDGES_MS) + 1


class Times(msgspec.Struct, frozen=True):
    """Milliseconds that half, 95 % and 99 % of the requests took at most, as far as the gateway took their times."""

    requests: int
    p50: int | None
    p95: int | None
    p99: int | None


class Sums(msgspec.Struct, kw_only=True):
    """Requests, and those of them that failed (status 400 and above, or ended so), that their clients aborted, and that
    the upstream cut. `error_percent` is the part that failed or was cut."""

    requests: int
    failed: int
    aborted: int
    cut: int
    error_percent: str | None
    latency_ms: Times
    first_token_ms: Times


class Row(Sums, kw_only=True):
    """The sums of one group. `upstream` is empty where the events named none."""

    time: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    upstream: str | UnsetType = UNSET


class Report(Heading, frozen=True, kw_only=True):
    """How the requests of [from, to) went: by time, then the groups with the most requests first."""

    total: Sums
    data: list[Row]
    object: str = "report.status"


WENT = sql.SQL("{} AS went").format(
    tiled(
        "slot, model, upstream, requests, failed, aborted, cut",
        totals="outcome_totals",
        increments="usage_increments JOIN prices ON prices.id = price_id",
    )
)

# A row for each bucket that has something, in the totals and in what is not folded yet.
TOOK = sql.SQL("{} AS took").format(
    tiled(
        "slot, model, upstream, bucket, latency, first_token",
        totals="""(
          SELECT minutes, slot, model, upstream, bucket - 1 AS bucket, latency, first_token
          FROM outcome_totals
          CROSS JOIN LATERAL unnest(latencies, first_tokens) WITH ORDINALITY AS counted(latency, first_token, bucket)
          WHERE latency > 0 OR first_token > 0
        ) AS folded""",
        increments="""(
          SELECT slot, model, upstream, width_bucket(ms, %(bucket_edges)s::integer[]) AS bucket, latency, first_token
          FROM usage_increments
          JOIN prices ON prices.id = price_id
          CROSS JOIN LATERAL (
            SELECT ms, 1 AS latency, 0 AS first_token FROM unnest(latencies) AS ms
            UNION ALL
            SELECT ms, 0, 1 FROM unnest(first_tokens) AS ms
          ) AS taken
        ) AS appended""",
    )
)

WENT_SUMS = """
sum(requests)::bigint AS requests, sum(failed)::bigint AS failed, sum(aborted)::bigint AS aborted,
sum(cut)::bigint AS cut
"""


async def report(conn: Connection, asked: Asked) -> Report:
    """The report. Raises Invalid, too_many_rows."""
    went = await grouped(conn, asked, COLUMNS, table=WENT, sums=WENT_SUMS, order="sum(requests) DESC")
    took = await _took(conn, asked)
    keys = ["time", *asked.group_by]
    return Report(
        **asked.heading(),
        total=_sums(went, list(took.values()), {}, Sums),
        data=[
            _sums([row], [took[_key(row, keys)]], {name: row[name] for name in keys if name in row}, Row)
            for row in went
            if row["requests"]
        ],
    )


Histograms = dict[str, list[int]]
"""How many requests lie in each bucket, of `latency` and of `first_token`."""

S = TypeVar("S", bound=Sums)


async def _took(conn: Connection, asked: Asked) -> dict[tuple[str, ...], Histograms]:
    """The histograms of each group."""
    by_bucket = msgspec.structs.replace(asked, group_by=[*asked.group_by, "bucket"], rows_max=asked.rows_max * BUCKETS)
    rows = await grouped(
        conn,
        by_bucket,
        {**COLUMNS, "bucket": "bucket"},
        table=TOOK,
        sums="sum(latency)::bigint AS latency, sum(first_token)::bigint AS first_token",
        order="bucket",
        bucket_edges=list(BUCKET_EDGES_MS),
    )
    found: dict[tuple[str, ...], Histograms] = defaultdict(lambda: {name: [0] * BUCKETS for name in MEASURES})
    for row in rows:
        for name in MEASURES:
            found[_key(row, ["time", *asked.group_by])][name][row["bucket"]] += row[name]
    return found


def _key(row: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(row[name] for name in names if name in row)


def _sums(went: Sequence[Mapping[str, Any]], took: Sequence[Histograms], names: Mapping[str, Any], kind: type[S]) -> S:
    counts = {name: sum(row[name] for row in went) for name in ("requests", "failed", "aborted", "cut")}
    return kind(
        **names,
        **counts,
        error_percent=percent(counts["failed"] + counts["cut"], counts["requests"]),
        latency_ms=_times([one["latency"] for one in took]),
        first_token_ms=_times([one["first_token"] for one in took]),
    )


def _times(histograms: Sequence[list[int]]) -> Times:
    buckets = [sum(column) for column in zip(*histograms, strict=True)] if histograms else [0] * BUCKETS
    return Times(sum(buckets), *(percentile(buckets, percent) for percent in PERCENTILES))
