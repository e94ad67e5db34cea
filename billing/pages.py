"""Lists, a page at a time: newest first, with a stable tie-breaker (interfaces.md, Lists)."""

from typing import Any, Generic, LiteralString, TypeVar

import msgspec
from psycopg import sql
from psycopg.rows import DictRow

from billing.db.pool import Connection
from billing.errors import Fault, Invalid

T = TypeVar("T")


class Page(msgspec.Struct, frozen=True):
    """Which page: the `limit` items older than `starting_after`, or newer than `ending_before`."""

    limit: int = 20
    starting_after: str | None = None
    ending_before: str | None = None


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """A page as it is answered."""

    url: str
    has_more: bool
    data: list[T]
    object: str = "list"


async def rows_of(
    conn: Connection, select: LiteralString, parameters: dict[str, Any], *, newest_by: LiteralString, page: Page
) -> tuple[list[DictRow], bool]:
    """The rows of one page of `select` (which has a column `id` and one named `newest_by`), and whether more follow.

    Raises Invalid when both edges are given, or an edge is not in the list.
    """
    if page.starting_after and page.ending_before:
        raise two_cursors()
    backwards = page.ending_before is not None
    query = sql.SQL(
        """
        SELECT * FROM ({select}) AS listed
        WHERE %(edge)s::text IS NULL
           OR ({key}, id) {older} (SELECT {key}, id FROM ({select}) AS edge WHERE id = %(edge)s LIMIT 1)
        ORDER BY {key} {direction}, id {direction}
        LIMIT %(limit)s + 1
        """
    ).format(
        select=sql.SQL(select),
        key=sql.Identifier(newest_by),
        older=sql.SQL(">" if backwards else "<"),
        direction=sql.SQL("ASC" if backwards else "DESC"),
    )
    edge = page.ending_before or page.starting_after
    cursor = await conn.execute(query, {**parameters, "edge": edge, "limit": page.limit})
    found = await cursor.fetchall()
    if edge and not found:
        await _check_edge(conn, select, parameters, edge)
    kept = found[: page.limit]
    return (kept[::-1] if backwards else kept), len(found) > page.limit


async def _check_edge(conn: Connection, select: LiteralString, parameters: dict[str, Any], edge: str) -> None:
    query = sql.SQL("SELECT FROM ({}) AS listed WHERE id = %(edge)s").format(sql.SQL(select))
    if await (await conn.execute(query, {**parameters, "edge": edge})).fetchone() is None:
        raise unknown_cursor(edge)


def two_cursors() -> Invalid:
    return Invalid("two_cursors", "Give starting_after or ending_before, not both.")


def unknown_cursor(edge: str) -> Invalid:
    detail = f"There is no {edge[:80]} in this list."
    return Invalid("unknown_cursor", detail, (Fault("unknown_cursor", detail, "starting_after | ending_before"),))
