"""What a proof looks at, laid as temporary relations over the tables, so that each check is written once.

All of a proof's queries run unchanged, whatever its scope:

- of one account, or some: every table that has accounts is hidden by a view of their rows;
- what is new: `examined_postings`, `examined_charges` and `examined_events` are what was booked since the account was
  last proved (and its last transaction proved, from which balance and chain go on: `proved_before`). In a full proof
  they are everything, and `proved_before` is empty.
"""

from typing import Literal, LiteralString

import msgspec
from psycopg import sql

from billing.db.pool import Connection

Mode = Literal["full", "incremental"]


class Scope(msgspec.Struct, frozen=True):
    """Of the whole book, of one account, or of those behind one until another; all of it, or what is new since it was
    proved."""

    mode: Mode = "full"
    account: str | None = None
    after: str | None = None
    until: str | None = None

    def accounts(self) -> sql.Composed | None:
        """The condition on `account_id`; None when it may be any."""
        bounds = (("=", self.account), (">", self.after), ("<=", self.until))
        conditions = [
            sql.SQL("account_id {} {}").format(sql.SQL(sign), sql.Literal(bound))
            for sign, bound in bounds
            if bound is not None
        ]
        return sql.SQL(" AND ").join(conditions) if conditions else None


WITH_ACCOUNTS = """
SELECT relname AS name
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
  AND attname = 'account_id' AND NOT attisdropped
"""

OF_ACCOUNTS = """
CREATE TEMPORARY VIEW {table} AS SELECT * FROM {schema}.{table} WHERE {accounts}
"""

EVERYTHING: tuple[LiteralString, ...] = (
    "CREATE TEMPORARY VIEW proved_before AS SELECT account_id, seq FROM proved WHERE false",
    "CREATE TEMPORARY VIEW examined_postings AS SELECT * FROM postings",
    "CREATE TEMPORARY VIEW examined_charges AS SELECT * FROM charges",
    "CREATE TEMPORARY VIEW examined_events AS SELECT * FROM events",
)

# Charges are found by their events, of which those are looked through that came since: charges have no index for it.
# A charge whose event is not there is missed by them, and so is a difference to what its transaction posted.
SINCE: tuple[LiteralString, ...] = (
    "CREATE TEMPORARY TABLE proved_before ON COMMIT DROP AS SELECT account_id, seq FROM proved",
    "CREATE TEMPORARY TABLE examined_postings ON COMMIT DROP AS "
    "SELECT booked.* FROM balances LEFT JOIN proved_before USING (account_id) CROSS JOIN LATERAL ("
    "  SELECT * FROM postings WHERE postings.account_id = balances.account_id AND seq >= coalesce(proved_before.seq, 0)"
    ") AS booked",
    "CREATE TEMPORARY TABLE new_transactions ON COMMIT DROP AS "
    "SELECT account_id, transaction, min(posted_at) AS posted_at FROM examined_postings AS booked "
    "WHERE NOT EXISTS (SELECT FROM proved_before AS p WHERE p.account_id = booked.account_id AND p.seq = booked.seq) "
    "GROUP BY account_id, transaction",
    "CREATE TEMPORARY TABLE examined_charges ON COMMIT DROP AS "
    "SELECT charges.* FROM events "
    "JOIN charges ON charges.account_id = events.account_id AND charges.source = events.source "
    "  AND charges.id = events.id "
    "JOIN new_transactions AS new ON new.account_id = charges.account_id AND new.transaction = charges.transaction "
    "WHERE received_at >= (SELECT min(posted_at) FROM new_transactions)",
    "CREATE TEMPORARY TABLE examined_events ON COMMIT DROP AS "
    "SELECT events.* FROM events LEFT JOIN charges USING (account_id, source, id) "
    "WHERE received_at >= (SELECT min(posted_at) FROM new_transactions) AND (charges.id IS NULL OR EXISTS ("
    "  SELECT FROM new_transactions AS new "
    "  WHERE new.account_id = charges.account_id AND new.transaction = charges.transaction))",
    "ANALYZE proved_before, examined_postings, new_transactions, examined_charges, examined_events",
)

RELATIONS = """
SELECT relname AS name, relkind = 'v' AS is_view FROM pg_class WHERE relnamespace = pg_my_temp_schema()
  AND relkind IN ('r', 'v')
"""


async def lay_out(conn: Connection, scope: Scope) -> None:
    """Make the temporary relations, in the proof's transaction. Their queries are not to be prepared beside them."""
    accounts = scope.accounts()
    if accounts is not None:
        row = await (await conn.execute("SELECT current_schema() AS name")).fetchone()
        assert row is not None
        for table in await (await conn.execute(WITH_ACCOUNTS)).fetchall():
            names = {"schema": sql.Identifier(row["name"]), "table": sql.Identifier(table["name"])}
            await conn.execute(sql.SQL(OF_ACCOUNTS).format(**names, accounts=accounts))
    for statement in SINCE if scope.mode == "incremental" else EVERYTHING:
        await conn.execute(statement)


async def clear(conn: Connection) -> None:
    """Take them away again, so that the connection serves others."""
    for row in await (await conn.execute(RELATIONS)).fetchall():
        kind = sql.SQL("VIEW" if row["is_view"] else "TABLE")
        await conn.execute(sql.SQL("DROP {} IF EXISTS pg_temp.{} CASCADE").format(kind, sql.Identifier(row["name"])))
