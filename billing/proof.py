"""The proof that no cent is missing: every sum in the book, done again from what it is the sum of (rules.md Ledger 3).

Each check answers a sentence for each difference it finds, and nothing when all is right. They all read one snapshot,
so that usage which is posted meanwhile is no difference. A check that breaks over a row nobody thought of is a
difference, too: what could not be proved is not right. Memory does not grow with the book: what Python looks at comes
through cursors of the server.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from billing.credits import verify as credits
from billing.db.pool import Connection, untimed
from billing.holds import verify as holds
from billing.invoices import verify as invoices
from billing.ledger import verify as ledger
from billing.metering import verify as metering
from billing.metering import verify_totals
from billing.proving import Part, said

PROOF_LOCK = 7_305_812_048  # any constant number: of several processes one proves

Progress = Callable[[str, list[str]], None]


class Check(NamedTuple):
    """What is claimed, and the parts that look whether it is so."""

    claim: str
    parts: tuple[Part, ...]


CHECKS = (
    Check("Every balance is the sum of its postings", ledger.SUMS),
    Check("Transactions are numbered without gaps, and each carries the balance after it", ledger.NUMBERS),
    Check("Each account's transactions are the links of its chain, none changed since it was booked", ledger.CHAINED),
    Check("What takes a transaction back names it, and takes no more", ledger.REVERSED),
    Check("Credits are the sums of their grants, and grants paid usage in their order", credits.PARTS),
    Check("What is held is the sum of the open holds; what keys have spent is that of the roll-ups", holds.PARTS),
    Check("What events were charged is what was posted", ledger.USAGE),
    Check("Every charge follows from its quantities, official prices and multiplier", metering.CHARGES),
    Check("The roll-ups are the sums of the charges, and their evidence is that of the events", metering.ROLLUPS),
    Check("What reports read are the sums of the roll-ups", verify_totals.TOTALS),
    Check(
        "Every event that was charged is kept, or dropped because of its age, and says what was charged",
        metering.EVENTS,
    ),
    Check("Every verdict is that of an event, and their roll-ups are their sums", metering.VERIFICATION),
    Check(
        "Invoices are the sums of their lines, their lines those of the roll-ups, their numbers without gaps",
        invoices.PARTS,
    ),
)


async def differences(conn: Connection, progress: Progress) -> list[str]:
    """Every difference in the whole book, as sentences; none when it is right. `progress` hears of each check done."""
    async with _snapshot(conn):
        return await _prove(conn, progress)


async def differences_unless_proving(conn: Connection, progress: Progress) -> list[str] | None:
    """The same, unless another process is at it: then None."""
    async with _snapshot(conn):
        row = await (await conn.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", [PROOF_LOCK])).fetchone()
        return await _prove(conn, progress) if row is not None and row["mine"] else None


@asynccontextmanager
async def _snapshot(conn: Connection) -> AsyncIterator[None]:
    async with untimed(conn):
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await conn.execute("SET LOCAL cursor_tuple_fraction = 1")  # cursors are read to their end
        yield


async def _prove(conn: Connection, progress: Progress) -> list[str]:
    found: list[str] = []
    for claim, parts in CHECKS:
        differing = [difference for part in parts for difference in await _attempt(conn, claim, part)]
        progress(claim, differing)
        found += differing
    return found


async def _attempt(conn: Connection, claim: str, part: Part) -> list[str]:
    """What a part finds. One that fails proves nothing, and the others go on; a lost connection fails all."""
    try:
        async with conn.transaction():
            return await part(conn)
    except Exception as error:
        if conn.closed:
            raise
        return [f"Not proved, because the check itself failed: “{claim}”. {said(error)}."]
