"""How a report is summed up: the rows of a roll-up, grouped and filtered by what was asked for."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, LiteralString, TypeVar

import msgspec
from psycopg import sql

from billing.db.pool import Connection, Pool
from billing.reports.asked import Interval, Span, too_many_rows
from billing.reports.tiles import tiles
from pricing import money

R = TypeVar("R")

Columns = Mapping[str, LiteralString]
"""What a roll-up can be grouped and filtered by, and the column that is there."""


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """What every report says it is about."""

    start: datetime = msgspec.field(name="from")
    end: datetime = msgspec.field(name="to")
    time_zone: str
    interval: Interval | None
    group_by: Sequence[str]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A span, what its rows are grouped by, and the values they are about: of a column that is not there, all."""

    span: Span
    group_by: Sequence[str] = ()
    filters: Mapping[str, Sequence[str]] = {}
    rows_max: int

    def parameters(self) -> dict[str, Any]:
        """The span, its intervals, the tiles it is made up of, and what passes the filters."""
        edges = self.span.edges()
        minutes, starts, ends = zip(*tiles(edges, self.span.end), strict=True)
        return {
            "start": self.span.start,
            "end": self.span.end,
            "edges": edges,
            "tile_minutes": list(minutes),
            "tile_starts": list(starts),
            "tile_ends": list(ends),
            **{f"only_{name}": list(values) for name, values in self.filters.items()},
        }

    def heading(self) -> dict[str, Any]:
        """The fields of a Heading."""
        span = self.span
        return {
            "start": span.start,
            "end": span.end,
            "time_zone": span.time_zone,
            "interval": span.interval,
            "group_by": self.group_by,
        }

    def where(self, columns: Columns, time: LiteralString = "slot") -> sql.Composed:
        """The condition that a row lies in the span and passes the filters on these columns."""
        conditions = [sql.SQL("{0} >= %(start)s AND {0} < %(end)s").format(sql.SQL(time))]
        conditions += [
            sql.SQL("{} = ANY({})").format(sql.SQL(columns[name]), sql.Placeholder(f"only_{name}"))
            for name in self.filters
            if name in columns
        ]
        return sql.SQL(" AND ").join(conditions)


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Connection]:
    """A connection on which all queries see the same book, so that the parts of a report agree."""
    async with pool.connection() as conn, conn.transaction():
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield conn


class Reader(msgspec.Struct, frozen=True):
    """Reads reports on a span."""

    pool: Pool
    span: Span
    rows_max: int

    async def read(
        self,
        report: Callable[[Connection, Asked], Awaitable[R]],
        group_by: Sequence[str] | None = None,
        **only: Sequence[str] | None,
    ) -> R:
        """The report, of the named columns with only these values. Raises Invalid, too_many_rows."""
        asked = Asked(
            span=self.span,
            group_by=list(dict.fromkeys(group_by or ())),
            filters={name: values for name, values in only.items() if values},
            rows_max=self.rows_max,
        )
        async with snapshot(self.pool) as conn:
            return await report(conn, asked)


TILED: LiteralString = """
(
  SELECT row.*
  FROM unnest(%(tile_minutes)s::integer[], %(tile_starts)s::timestamptz[], %(tile_ends)s::timestamptz[])
    AS tile(length, first, last)
  CROSS JOIN LATERAL (
    SELECT {columns} FROM {totals} WHERE minutes = length AND slot >= first AND slot < last
    OFFSET 0  -- for each tile by itself, with the index
  ) AS row
  UNION ALL
  SELECT {columns} FROM {increments} WHERE slot >= %(start)s AND slot < %(end)s
)
"""


def tiled(columns: LiteralString, totals: LiteralString, increments: LiteralString) -> sql.Composed:
    """The rows of a table of totals that make up the span, and what is not folded into it yet."""
    return sql.SQL(TILED).format(columns=sql.SQL(columns), totals=sql.SQL(totals), increments=sql.SQL(increments))


async def grouped(
    conn: Connection,
    asked: Asked,
    columns: Columns,
    *,
    table: sql.Composable,
    sums: LiteralString,
    order: LiteralString,
    limit: int | None = None,
    **parameters: Any,
) -> list[dict[str, Any]]:
    """The sums of each group of a table that has a `slot`: by time, then in the order given. Without groups one row, if
    there is anything.

    The first `limit`, or all: then raises Invalid, too_many_rows, for more than may be. The table's own parameters come
    along.
    """
    groups = {name: sql.SQL(columns[name]) for name in asked.group_by}
    if asked.span.interval:
        groups = {"time": sql.SQL("width_bucket(slot, %(edges)s::timestamptz[])"), **groups}
    query = sql.SQL("SELECT {columns} FROM {table} WHERE {where} {grouped} ORDER BY {order} LIMIT %(rows)s").format(
        columns=sql.SQL(", ").join([*_named(groups), sql.SQL(sums)]),
        table=table,
        where=asked.where(columns),
        grouped=sql.SQL("GROUP BY {}").format(sql.SQL(", ").join(groups.values()))
        if groups
        else sql.SQL("HAVING count(*) > 0"),
        order=sql.SQL(", ").join([*([sql.Identifier("time")] if asked.span.interval else []), sql.SQL(order)]),
    )
    parameters |= {**asked.parameters(), "rows": asked.rows_max + 1 if limit is None else limit}
    found = await (await conn.execute(query, parameters)).fetchall()
    if limit is None and len(found) > asked.rows_max:
        raise too_many_rows(asked.rows_max)
    if asked.span.interval:
        for row in found:
            row["time"] = asked.span.label(parameters["edges"][row["time"] - 1])
    return found


def _named(groups: Mapping[str, sql.Composable]) -> Iterator[sql.Composed]:
    for name, column in groups.items():
        yield sql.SQL("{} AS {}").format(column, sql.Identifier(name))


def percent(part: int, whole: int) -> str | None:
    """`12.34`, rounded half away from zero; None of nothing or less."""
    if whole <= 0:
        return None
    hundredths = money.round_half_away(part * 10_000, whole)
    return f"{'-' if hundredths < 0 else ''}{abs(hundredths) // 100}.{abs(hundredths) % 100:02d}"
