"""The verification report: how many reported token counts were checked, how they did, and what the worst ones cost."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from psycopg import sql

from billing.db.dollars import picos
from billing.db.pool import Connection
from billing.metering.judging import VerdictView
from billing.metering.verdicts import verdict_of
from billing.reports.grouped import Asked, Columns, Heading, grouped
from pricing import money

Group = Literal["model", "upstream", "source", "account"]
GROUPED_BY: tuple[Group, ...] = ("model", "upstream")
COLUMNS: Columns = {"model": "model", "upstream": "upstream", "source": "source", "account": "account_id"}

WORST_MAX = 100
REASONS_MAX = 10
REASONS_AMONG = 10_000
"""Reasons are summed up nowhere: they are counted among so many of the span's events, the newest."""


class Verdicts(msgspec.Struct, kw_only=True):
    """Events by verdict."""

    exact: int = 0
    within_bounds: int = 0
    over_reported: int = 0
    under_reported: int = 0
    counted: int = 0
    unverifiable: int = 0


class Sums(msgspec.Struct, kw_only=True):
    """Sums over the events that carried their text.

    `reported` and `counted` are tokens of the sides that have both numbers (of speech characters, of images images),
    `excess` and `shortfall` those reported above our highest and below our lowest count; the amounts are dollars, what
    these would have cost the customers more, and less.
    """

    events: int
    verdicts: Verdicts
    reported: int
    counted: int
    excess: int
    shortfall: int
    excess_amount: str
    shortfall_amount: str


class Row(Sums, kw_only=True, omit_defaults=True):
    """The sums of one group, named by what was grouped by. `upstream` is empty where the events named none."""

    time: str | None = None
    model: str | None = None
    upstream: str | None = None
    source: str | None = None
    account: str | None = None


class Worst(msgspec.Struct, frozen=True, kw_only=True):
    """An event whose report lies outside of our count: by how many tokens and dollars, and its verdict."""

    account: str
    source: str
    id: str
    time: datetime
    model: str
    upstream: str
    excess: int
    shortfall: int
    excess_amount: str
    shortfall_amount: str
    verification: VerdictView


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why events could not be verified, and how many."""

    reason: str
    events: int


class Report(Heading, frozen=True, kw_only=True):
    """How the usage that was reported in [from, to), by the time of use, compares with what we counted.

    `data` is by time, then the group first whose mismatches are dearest; `worst` are the dearest single events,
    `unverifiable` the commonest reasons.
    """

    currency: str = "USD"
    total: Sums
    data: list[Row]
    worst: list[Worst]
    unverifiable: list[Reason]
    object: str = "report.verification"


async def report(conn: Connection, asked: Asked, *, worst: int) -> Report:
    """The report, with so many of the worst events. Raises Invalid, too_many_rows."""
    rows = await _rows(conn, asked)
    return Report(
        **asked.heading(),
        total=_total(rows),
        data=rows,
        worst=await _worst(conn, asked, worst),
        unverifiable=await _reasons(conn, asked),
    )


SUMS = """
sum(events)::bigint AS events,
jsonb_build_object(
  'exact', coalesce(sum(events) FILTER (WHERE verdict = 'exact'), 0),
  'within_bounds', coalesce(sum(events) FILTER (WHERE verdict = 'within_bounds'), 0),
  'over_reported', coalesce(sum(events) FILTER (WHERE verdict = 'over_reported'), 0),
  'under_reported', coalesce(sum(events) FILTER (WHERE verdict = 'under_reported'), 0),
  'counted', coalesce(sum(events) FILTER (WHERE verdict = 'counted'), 0),
  'unverifiable', coalesce(sum(events) FILTER (WHERE verdict = 'unverifiable'), 0)
) AS verdicts,
sum(reported)::bigint AS reported, sum(counted)::bigint AS counted,
sum(excess)::bigint AS excess, sum(shortfall)::bigint AS shortfall,
sum(excess_amount) AS excess_amount, sum(shortfall_amount) AS shortfall_amount
"""


async def _rows(conn: Connection, asked: Asked) -> list[Row]:
    dearest = "sum(excess_amount) + sum(shortfall_amount) DESC, sum(events) DESC"
    found = await grouped(conn, asked, COLUMNS, table=sql.Identifier("verdict_rollups"), sums=SUMS, order=dearest)
    return [msgspec.convert({**row, **_dollars(row)}, Row) for row in found]


def _dollars(row: dict[str, Any]) -> dict[str, str]:
    return {name: money.format(picos(row[name])) for name in ("excess_amount", "shortfall_amount")}


def _total(rows: list[Row]) -> Sums:
    def number(name: str) -> int:
        return sum(getattr(row, name) for row in rows)

    def amount(name: str) -> str:
        return money.format(sum(money.parse(getattr(row, name)) for row in rows))

    return Sums(
        events=number("events"),
        verdicts=Verdicts(
            **{name: sum(getattr(row.verdicts, name) for row in rows) for name in Verdicts.__struct_fields__}
        ),
        reported=number("reported"),
        counted=number("counted"),
        excess=number("excess"),
        shortfall=number("shortfall"),
        excess_amount=amount("excess_amount"),
        shortfall_amount=amount("shortfall_amount"),
    )


async def _worst(conn: Connection, asked: Asked, limit: int) -> list[Worst]:
    query = sql.SQL(
        """
        SELECT * FROM verdicts
        WHERE (excess > 0 OR shortfall > 0) AND {}
        ORDER BY excess_amount + shortfall_amount DESC, excess + shortfall DESC, time DESC, account_id, source, id
        LIMIT %(limit)s
        """
    ).format(asked.where(COLUMNS, "time"))
    rows = await (await conn.execute(query, {**asked.parameters(), "limit": limit})).fetchall()
    return [_worst_of(row) for row in rows]


def _worst_of(row: dict[str, Any]) -> Worst:
    own = {"account": row["account_id"], "verification": verdict_of(row), **_dollars(row)}
    return msgspec.convert({**row, **own}, Worst)


async def _reasons(conn: Connection, asked: Asked) -> list[Reason]:
    query = sql.SQL(
        """
        SELECT reason, count(*) AS events
        FROM (
          SELECT reason FROM verdicts WHERE verdict = 'unverifiable' AND {} ORDER BY time DESC LIMIT %(among)s
        ) AS newest
        GROUP BY reason ORDER BY events DESC, reason LIMIT %(limit)s
        """
    ).format(asked.where(COLUMNS, "time"))
    cursor = await conn.execute(query, {**asked.parameters(), "among": REASONS_AMONG, "limit": REASONS_MAX})
    return [Reason(**row) for row in await cursor.fetchall()]
