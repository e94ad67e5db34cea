"""The events that a line of an invoice bills, a page at a time.

Which they are follows from what was charged and posted alone (docs/evidence.md): their prices are the line's, their
time lies in the period the line is of, and the quarter hour billed in, which their transaction's posting says, in the
invoice's. They are found by the index of the kept events; where events of that time were dropped, among all that the
account was charged, which takes longer.
"""

from datetime import datetime
from fractions import Fraction
from typing import Any, LiteralString

import msgspec
from psycopg import sql

from billing.db.pool import Connection
from billing.invoices.invoice import Invoice
from billing.invoices.lines import Line
from billing.pages import Page, two_cursors, unknown_cursor
from pricing import money


class LineEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event, and what it adds to the line; one that stands for another (`corrects`) may take away."""

    id: str
    source: str
    time: datetime
    quantity: int
    amount: str
    corrects: str | None
    transaction: str


EVENTS: LiteralString = """
SELECT charges.source, charges.id, charges.time, charges.price_ids, charges.quantities, charges.corrects,
       charges.transaction
FROM {kept}
WHERE charges.account_id = %(account)s
  AND {time} >= %(first)s AND {time} <= %(last)s
  AND charges.price_ids && %(prices)s::integer[]
  AND %(late)s <> EXISTS (
    SELECT FROM postings
    WHERE postings.account_id = charges.account_id AND postings.transaction = charges.transaction
      AND kind = 'usage' AND effective_at = date_bin('15 minutes', charges.time, 'epoch')
  )
  AND (NOT %(late)s OR (
    SELECT min(effective_at) >= %(start)s AND min(effective_at) < %(end)s
    FROM postings
    WHERE postings.account_id = charges.account_id AND postings.transaction = charges.transaction AND kind = 'usage'
  ))
  AND (%(edge_time)s::timestamptz IS NULL
       OR (charges.time, charges.source, charges.id) {older} (%(edge_time)s, %(edge_source)s, %(edge_id)s))
ORDER BY {time} {direction}, charges.source {direction}, charges.id {direction}
LIMIT %(limit)s + 1
"""

KEPT = "events JOIN charges USING (account_id, time, source, id)"


async def listed(
    conn: Connection, invoice: Invoice, line: Line, source: str, page: Page
) -> tuple[list[LineEvent], bool]:
    """A page of the line's events, newest first, and whether more follow. An edge is the id of an event of `source`.

    Raises Invalid when both edges are given, or an edge is not in the list.
    """
    if page.starting_after and page.ending_before:
        raise two_cursors()
    edge = page.ending_before or page.starting_after
    edge_time = await _time(conn, invoice.account_id, source, edge, line) if edge else None
    backwards = page.ending_before is not None
    dropped = await _dropped(conn, line.first_at)
    query = sql.SQL(EVENTS).format(
        kept=sql.SQL("charges" if dropped else KEPT),
        time=sql.SQL("charges.time" if dropped else "events.time"),
        older=sql.SQL(">" if backwards else "<"),
        direction=sql.SQL("ASC" if backwards else "DESC"),
    )
    cursor = await conn.execute(
        query,
        {
            "account": invoice.account_id,
            "first": line.first_at,
            "last": line.last_at,
            "prices": list(line.price_ids),
            "late": line.correction_of is not None,
            "start": invoice.period.start,
            "end": invoice.period.end,
            "edge_time": edge_time,
            "edge_source": source,
            "edge_id": edge,
            "limit": page.limit,
        },
    )
    rows = await cursor.fetchall()
    kept = rows[: page.limit]
    return [_event(row, line) for row in (kept[::-1] if backwards else kept)], len(rows) > page.limit


async def _time(conn: Connection, account_id: str, source: str, event_id: str, line: Line) -> datetime:
    cursor = await conn.execute(
        """
        SELECT time
        FROM charges
        WHERE account_id = %s AND source = %s AND id = %s AND time BETWEEN %s AND %s AND price_ids && %s::integer[]
        """,
        [account_id, source, event_id, line.first_at, line.last_at, list(line.price_ids)],
    )
    row = await cursor.fetchone()
    if row is None:
        raise unknown_cursor(event_id)
    found: datetime = row["time"]
    return found


async def _dropped(conn: Connection, since: datetime) -> bool:
    """Whether events that came then or later may be kept no more."""
    cursor = await conn.execute("SELECT FROM dropped_months WHERE until > %s LIMIT 1", [since])
    return await cursor.fetchone() is not None


def _event(row: dict[str, Any], line: Line) -> LineEvent:
    counts = [
        quantity for price, quantity in zip(row["price_ids"], row["quantities"], strict=True) if price in line.price_ids
    ]
    return LineEvent(
        id=row["id"],
        source=row["source"],
        time=row["time"],
        quantity=sum(counts),
        amount=money.format(sum(_rounded(line.factors.product(count)) for count in counts)),
        corrects=row["corrects"],
        transaction=str(row["transaction"]),
    )


def _rounded(exact: Fraction) -> int:
    """Each event is charged whole picodollars."""
    return money.round_half_away(exact.numerator, exact.denominator)
