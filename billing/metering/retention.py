"""Old events are dropped by the month, whole partitions at a time; what they were charged is kept for ever.

A month of arrivals may go once nothing needs its bodies any more: every period that bills them is closed, none waits
for review, and the whole book has been proved since. Their identities, charges, verdicts, roll-ups and postings stay.
"""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from psycopg import sql

from billing.audit import log as audit
from billing.db.pool import Connection, untimed

LOCK_TIMEOUT = "500ms"
"""Dropping a month locks `events` for an instant, and intake waits behind whoever waits for that."""

MONTH = re.compile(r"events_([0-9]{4})_([0-9]{2})\Z")

PARTITIONS = """
SELECT relname AS name
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'events'::regclass
ORDER BY relname
"""

NEEDED = """
SELECT count(*) AS events,
       count(*) FILTER (WHERE charges.id IS NULL OR charges.upstream IS NULL) AS unknown,
       count(*) FILTER (WHERE open_from IS NULL OR open_from < {until} OR events.time >= open_from) AS open,
       count(*) FILTER (WHERE review IS NOT NULL AND NOT EXISTS (
         SELECT FROM charges AS later
         WHERE later.account_id = events.account_id AND later.source = events.source AND later.corrects = events.id
       )) AS waiting,
       (
         SELECT coalesce(bool_and(differences = 0), false) FROM (
           SELECT differences FROM proofs
           WHERE mode = 'full' AND account_id IS NULL AND finished_at >= {until}
           ORDER BY finished_at DESC
           LIMIT 1
         ) AS newest
       ) AS proved
FROM {month} AS events
LEFT JOIN charges ON charges.account_id = events.account_id AND charges.source = events.source
  AND charges.id = events.id
LEFT JOIN balances ON balances.account_id = events.account_id
"""


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """A month of arrivals (UTC): how many events, whether they were dropped, or why they are needed still."""

    start: datetime
    events: int
    dropped: bool
    needed: str | None


def oldest_kept(now: datetime, months: int) -> datetime:
    """The start of the first month that is kept when this one and as many before it are to be."""
    count = now.year * 12 + now.month - 1 - months
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)


async def drop(conn: Connection, before: datetime, *, dry_run: bool = False) -> list[Month]:
    """Drop the months that are over before an instant and that nothing needs any more; what became of each.

    Raises LockNotAvailable when `events` is in use for too long; what was dropped until then is. Try again later.
    """
    found = await (await conn.execute(PARTITIONS)).fetchall()
    named = [(row["name"], _start(row["name"])) for row in found]
    return [
        await _drop_month(conn, name, start, dry_run=dry_run)
        for name, start in named
        if start is not None and _end(start) <= before
    ]


async def _drop_month(conn: Connection, name: str, start: datetime, *, dry_run: bool) -> Month:
    until = _end(start)
    query = sql.SQL(NEEDED).format(month=sql.Identifier(name), until=sql.Literal(until))
    async with untimed(conn):
        row = await (await conn.execute(query)).fetchone()
    assert row is not None
    needed = _needed(row)
    dropped = needed is None and not dry_run
    if dropped:
        await _drop_partition(conn, name, start, row["events"])
    return Month(start=start, events=row["events"], dropped=dropped, needed=needed)


def _needed(row: dict[str, Any]) -> str | None:
    """Why a month is needed still. What makes it needless once does so for ever, so no lock is needed to look."""
    if row["unknown"]:
        return f"{row['unknown']} have what no charge has: they were booked by an older release, or not at all"
    if row["open"]:
        return f"{row['open']} are of periods that are not closed"
    if row["waiting"]:
        return f"{row['waiting']} wait for review"
    if row["events"] and not row["proved"]:
        return "the whole book has not been proved since (billing verify)"
    return None


async def _drop_partition(conn: Connection, name: str, start: datetime, events: int) -> None:
    async with conn.transaction():
        await conn.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT))
        await conn.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        await conn.execute(
            "INSERT INTO dropped_months (start, until, events) VALUES (%s, %s, %s)", [start, _end(start), events]
        )
        await audit.record(conn, "events.drop", subject=f"{start:%Y-%m}", events=events)


def _start(name: str) -> datetime | None:
    match = MONTH.match(name)
    return None if match is None else datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC)


def _end(start: datetime) -> datetime:
    return oldest_kept(start, -1)
