"""The proof that no cent is missing: every sum in the book, done again from what it is the sum of (rules.md Ledger 3).

Each check answers a sentence for each difference it finds, and nothing when all is right. What is compared is read in
one snapshot, so that usage which is posted meanwhile is no difference; a whole book is looked at some accounts at a
time, because a snapshot that is kept for long makes every balance slow to change. A check that breaks over a row nobody
thought of is a difference, too: what could not be proved is not right. Memory does not grow with the book: what Python
looks at comes through cursors of the server.

A proof is of the whole book or of one account, and full or incremental (examined.py): then it goes on from where each
account was last proved without a difference, and leaves out the checks whose sums go over all time.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Literal, NamedTuple

from psycopg import sql
from psycopg.errors import SerializationFailure

from billing.credits import verify as credits
from billing.db.pool import Connection, untimed
from billing.examined import Scope, clear, lay_out
from billing.holds import verify as holds
from billing.invoices import verify as invoices
from billing.invoices.settlement import verify as settlement
from billing.ledger import verify as ledger
from billing.metering import verify as metering
from billing.metering import verify_totals
from billing.proving import Part, said

PROOF_LOCK = 7_305_812_048  # any constant number: of several processes one proves

CHARGES_AT_ONCE = 100_000
"""Of the accounts that are looked at in one snapshot, or those of one account that has more."""

SIZES = "SELECT account_id, count(*) AS charges FROM charges GROUP BY account_id ORDER BY account_id"

Progress = Callable[[str, list[str]], None]
Begun = Callable[[str], None]
WHOLE_BOOK = Scope()


class Check(NamedTuple):
    """What is claimed, and the parts that look whether it is so.

    `scope`: `new` may be looked at in what is new only; `account` in one account; `book` in the whole book only.
    """

    claim: str
    parts: tuple[Part, ...]
    scope: Literal["new", "account", "book"] = "account"


class Piece(NamedTuple):
    """What is looked at in one snapshot, and which checks look."""

    scope: Scope
    checks: tuple[Check, ...]


CHECKS = (
    Check("Every balance is the sum of its postings", ledger.SUMS, "new"),
    Check("Transactions are numbered without gaps, and each carries the balance after it", ledger.NUMBERS, "new"),
    Check(
        "Each account's transactions are the links of its chain, none changed since it was booked",
        ledger.CHAINED,
        "new",
    ),
    Check("What takes a transaction back names it, and takes no more", ledger.REVERSED, "new"),
    Check("Credits are the sums of their grants, and grants paid usage in their order", credits.PARTS),
    Check("What is held is the sum of the open holds; what keys have spent is that of the roll-ups", holds.PARTS),
    Check("What events were charged is what was posted", ledger.USAGE, "new"),
    Check("Every charge follows from its quantities, official prices and multiplier", metering.CHARGES, "new"),
    Check("The roll-ups are the sums of the charges, and their evidence is that of the events", metering.ROLLUPS),
    Check("What was posted for each quarter hour is what the roll-ups say", ledger.QUARTER_HOURS),
    Check("What reports read are the sums of the roll-ups", verify_totals.TOTALS, "book"),
    Check(
        "Every event that was charged is kept, or dropped because of its age, and says what was charged",
        metering.EVENTS,
        "new",
    ),
    Check("Of the months of events that were dropped, no charge is missing", metering.DROPPED_MONTHS, "book"),
    Check("Every verdict is that of an event, and their roll-ups are their sums", metering.VERIFICATION),
    Check("Invoices are the sums of their lines, their lines those of the roll-ups", invoices.OF_ACCOUNTS),
    Check("Invoices and credit notes are numbered without gaps", invoices.SERIES, "book"),
    Check("Credit notes give back what they say, never more than the invoice has", settlement.NOTES),
    Check("Payments are money that came in, counted once", settlement.PAYMENTS),
)


def _unheard(*_told: object) -> None:
    """Of a proof that nobody watches."""


async def differences(
    conn: Connection,
    progress: Progress = _unheard,
    scope: Scope = WHOLE_BOOK,
    begun: Begun = _unheard,
) -> list[str]:
    """Every difference there is, as sentences; none when all is right. `progress` hears of each check done, `begun` of
    what begins."""
    started = time.monotonic()
    pieces = await _pieces(conn, scope)
    found: dict[str, list[str]] = {check.claim: [] for check in CHECKS for piece in pieces if check in piece.checks}
    for number, piece in enumerate(pieces, start=1):
        for claim, differing in (await _prove(conn, piece, begun, f"{number} of {len(pieces)}")).items():
            found[claim] += differing
    for claim, differing in found.items():
        progress(claim, differing)
    count = sum(map(len, found.values()))
    milliseconds = round((time.monotonic() - started) * 1000)
    await conn.execute(
        "INSERT INTO proofs (mode, account_id, differences, milliseconds) VALUES (%s, %s, %s, %s)",
        [scope.mode, scope.account, count, milliseconds],
    )
    return [difference for differing in found.values() for difference in differing]


async def differences_unless_proving(conn: Connection, scope: Scope = WHOLE_BOOK) -> list[str] | None:
    """The same, unless another process is at it: then None."""
    row = await (await conn.execute("SELECT pg_try_advisory_lock(%s) AS mine", [PROOF_LOCK])).fetchone()
    if row is None or not row["mine"]:
        return None
    try:
        return await differences(conn, scope=scope)
    finally:
        if not conn.closed:
            await conn.execute("SELECT pg_advisory_unlock(%s)", [PROOF_LOCK])


async def next_scope(conn: Connection, full_days: int) -> Scope:
    """What the service proves next: all of it after a difference and every so many days, else what is new."""
    cursor = await conn.execute(
        """
        SELECT FROM (
          SELECT differences FROM proofs WHERE account_id IS NULL ORDER BY id DESC LIMIT 1
        ) AS last
        WHERE differences = 0 AND EXISTS (
          SELECT FROM proofs
          WHERE account_id IS NULL AND mode = 'full' AND finished_at > now() - make_interval(days => %s)
        )
        """,
        [full_days],
    )
    return Scope("incremental" if await cursor.fetchone() is not None else "full")


@asynccontextmanager
async def _snapshot(conn: Connection) -> AsyncIterator[None]:
    """One snapshot for some checks. Their queries are not prepared: they read other relations with every scope."""
    threshold, conn.prepare_threshold = conn.prepare_threshold, None
    try:
        async with untimed(conn):
            await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            await conn.execute("SET LOCAL cursor_tuple_fraction = 1")  # cursors are read to their end
            yield
    finally:
        conn.prepare_threshold = threshold


async def _pieces(conn: Connection, scope: Scope) -> list[Piece]:
    """Some accounts at a time, and what is of the book as a whole; of one account, or what is new, all at once."""
    if scope.mode == "incremental":
        return [Piece(scope, tuple(check for check in CHECKS if check.scope == "new"))]
    of_accounts = tuple(check for check in CHECKS if check.scope != "book")
    if scope.account is not None:
        return [Piece(scope, of_accounts)]
    edges = [None, *await _edges(conn), None]
    some = [Piece(Scope(after=after, until=until), of_accounts) for after, until in pairwise(edges)]
    return [*some, Piece(scope, tuple(check for check in CHECKS if check.scope == "book"))]


async def _edges(conn: Connection) -> list[str]:
    """The accounts, in their order, between which the book is divided."""
    edges: list[str] = []
    last, charges = None, 0
    async with untimed(conn), conn.cursor("sizes") as cursor:
        await cursor.execute(
            "SELECT account_id, count(*) AS charges FROM charges GROUP BY account_id ORDER BY account_id"
        )
        async for row in cursor:
            charges += row["charges"]
            if charges > CHARGES_AT_ONCE and last is not None:
                edges.append(last)
                charges = row["charges"]
            last = row["account_id"]
    return edges


async def _prove(conn: Connection, piece: Piece, begun: Begun, place: str) -> dict[str, list[str]]:
    """What differs, by claim."""
    found: dict[str, list[str]] = {}
    async with _snapshot(conn):
        await lay_out(conn, piece.scope)
        for check in piece.checks:
            begun(f"{check.claim} ({place})")
            found[check.claim] = [line for part in check.parts for line in await _attempt(conn, check.claim, part)]
        await clear(conn)
        if not any(found.values()) and any(check.scope == "new" for check in piece.checks):
            await _remember(conn, piece.scope)
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


async def _remember(conn: Connection, scope: Scope) -> None:
    """Keep how far these accounts are right, as the snapshot saw it. Another proof that ended meanwhile has kept its
    own."""
    query = sql.SQL(
        """
        INSERT INTO proved (account_id, seq, chain)
        SELECT account_id, transactions, chain FROM balances
        WHERE transactions > 0 AND {accounts}
        ORDER BY account_id
        ON CONFLICT (account_id) DO UPDATE SET seq = excluded.seq, chain = excluded.chain
        WHERE proved.seq < excluded.seq
        """
    )
    try:
        async with conn.transaction():
            await conn.execute(query.format(accounts=scope.accounts() or sql.SQL("true")))
    except SerializationFailure:
        return
