"""How a claim about the book is looked at: each part of a proof answers a sentence for each difference it finds."""

from collections.abc import Awaitable, Callable
from typing import Any, LiteralString

from psycopg import sql

from billing.db.pool import Connection

SHOWN_MAX = 20
"""Differences listed for each part of a check; of more, the number is said."""

ROWS_AT_ONCE = 500
"""Rows that come from the server at a time; the service answers requests between two of these."""

Row = dict[str, Any]
Part = Callable[[Connection], Awaitable[list[str]]]


def query(text: LiteralString) -> Part:
    """A part that is one query, whose rows (`difference`) say where the claim does not hold."""
    limited = sql.SQL("SELECT difference, count(*) OVER () AS total FROM ({}) AS found LIMIT {}").format(
        sql.SQL(text), SHOWN_MAX
    )

    async def find(conn: Connection) -> list[str]:
        rows = await (await conn.execute(limited)).fetchall()
        return with_rest([row["difference"] for row in rows], rows[0]["total"] if rows else 0)

    return find


async def looked_at(conn: Connection, query: LiteralString, fault_of: Callable[[Row], str | None]) -> list[str]:
    """What is wrong with each row of a query: the first sentences, and how many more there are."""
    shown: list[str] = []
    total = 0
    async with conn.cursor("proof") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(query)
        async for row in cursor:
            fault = fault_of(row)
            if fault is not None:
                total += 1
                shown += [fault] if total <= SHOWN_MAX else []
    return with_rest(shown, total)


def with_rest(shown: list[str], total: int) -> list[str]:
    more = total - len(shown)
    return [*shown, f"… and {more} more like it."] if more else shown


def said(error: Exception) -> str:
    """The error's type and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".rstrip(": .")
