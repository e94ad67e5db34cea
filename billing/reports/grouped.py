"""How a report is summed up: rows of a roll-up, grouped and filtered by what was asked for."""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import msgspec
from psycopg import sql

from billing.db.pool import Connection
from billing.reports.asked import Span, too_many_rows

Columns = Mapping[str, LiteralString]
"""What a roll-up can be grouped and filtered by, and the column it is there."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A span, what its rows are grouped by, and the values they are about: of a column that is not there, all."""

    span: Span
    group_by: Sequence[str] = ()
    filters: Mapping[str, Sequence[str]] = {}
    rows_max: int

    def parameters(self) -> dict[str, Any]:
        given = {f"only_{name}": list(values) for name, values in self.filters.items()}
        return {"start": self.span.start, "end": self.span.end, **given}

    def where(self, columns: Columns, time: LiteralString = "slot") -> sql.Composed:
        """The condition that a row lies in the span and passes the filters."""
        conditions = [sql.SQL("{0} >= %(start)s AND {0} < %(end)s").format(sql.SQL(time))]
        conditions += [
            sql.SQL("{} = ANY({})").format(sql.SQL(columns[name]), sql.Placeholder(f"only_{name}"))
            for name in self.filters
        ]
        return sql.SQL(" AND ").join(conditions)


async def grouped(
    conn: Connection, asked: Asked, columns: Columns, *, table: LiteralString, sums: LiteralString, order: LiteralString
) -> list[dict[str, Any]]:
    """The sums of each group of a table that has a `slot`: by time, then in the order given. Raises Invalid,
    too_many_rows."""
    groups = {name: sql.SQL(columns[name]) for name in asked.group_by}
    edges = asked.span.edges()
    if asked.span.interval:
        groups = {"time": sql.SQL("width_bucket(slot, %(edges)s::timestamptz[])"), **groups}
    query = sql.SQL("SELECT {} FROM {} WHERE {} {} ORDER BY {} LIMIT %(rows)s").format(
        sql.SQL(", ").join(
            [sql.SQL("{} AS {}").format(column, sql.Identifier(name)) for name, column in groups.items()]
            + [sql.SQL(sums)]
        ),
        sql.SQL(table),
        asked.where(columns),
        sql.SQL("GROUP BY {}").format(sql.SQL(", ").join(groups.values()))
        if groups
        else sql.SQL("HAVING count(*) > 0"),
        sql.SQL(", ").join([*([sql.Identifier("time")] if asked.span.interval else []), sql.SQL(order)]),
    )
    parameters = {**asked.parameters(), "edges": edges, "rows": asked.rows_max + 1}
    found = await (await conn.execute(query, parameters)).fetchall()
    if len(found) > asked.rows_max:
        raise too_many_rows(asked.rows_max)
    if asked.span.interval:
        for row in found:
            row["time"] = asked.span.label(edges[row["time"] - 1])
    return found
