"""Folding: what was posted is added to the totals that reports read, after it was booked and out of its way."""

from importlib.resources import files

from billing.db.pool import Connection, Pool
from billing.metering.outcomes import BUCKET_EDGES_MS

FOLD = (files("billing.metering") / "fold.sql").read_text()
FOLD_LOCK = 7_305_812_049  # any constant number: of several processes one folds
ROWS_AT_ONCE = 50_000
"""Of each table in one transaction, so that none lasts long after a lull."""


async def fold(pool: Pool) -> None:
    """Fold all there is, unless another process is at it."""
    async with pool.connection() as conn:
        while await fold_some(conn):
            pass


async def fold_some(conn: Connection) -> bool:
    """Fold as much as one transaction should; whether there may be more."""
    async with conn.transaction():
        row = await (await conn.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", [FOLD_LOCK])).fetchone()
        if row is None or not row["mine"]:
            return False
        cursor = await conn.execute(FOLD, {"edges": list(BUCKET_EDGES_MS), "rows": ROWS_AT_ONCE})
        folded = await cursor.fetchone()
    return folded is not None and ROWS_AT_ONCE in folded.values()
