"""The audit log: who did what, written in the transaction of the act, so that neither is there without the other.

The database refuses to change it. Who acts is known to everything that is done for a request or a command.
"""

from contextvars import ContextVar
from datetime import datetime
from typing import Any, LiteralString

import msgspec
from psycopg.types.json import Json

from billing.db.pool import Connection
from billing.observe.logs import request_id
from billing.pages import Page, rows_of

SERVICE = "service"
COMMAND_LINE = "cli"

actor: ContextVar[str] = ContextVar("actor", default=SERVICE)
"""Id of the key that asked; `cli` in a command; `service` for what is done by itself."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Something an administrator did. `subject` is the id of what it was done to, `details` what was asked for."""

    id: str
    at: datetime
    actor: str
    action: str
    account: str | None
    subject: str | None
    details: dict[str, Any]
    request_id: str | None


async def record(
    conn: Connection, action: str, *, account: str | None = None, subject: str | None = None, **details: object
) -> None:
    """Say what is being done, in the caller's transaction. No secrets; what is UNSET is left out."""
    told = {name: value for name, value in details.items() if value is not msgspec.UNSET}
    await conn.execute(
        """
        INSERT INTO audit_log (actor, action, account_id, subject, details, request_id)
        VALUES (%s, %s, %s, %s, %s, nullif(%s, '-'))
        """,
        [actor.get(), action, account, subject, Json(told, dumps=msgspec.json.encode), request_id.get()],
    )


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which acts: those of an account, an actor, a kind; of a span of time [start, end). None: all."""

    account: str | None = None
    actor: str | None = None
    action: str | None = None
    start: datetime | None = None
    end: datetime | None = None


LISTED: LiteralString = """
SELECT lpad(id::text, 19, '0') AS id, at, actor, action, account_id AS account, subject, details, request_id
FROM audit_log
WHERE (%(account)s::text IS NULL OR account_id = %(account)s)
  AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(action)s::text IS NULL OR action = %(action)s)
  AND (%(start)s::timestamptz IS NULL OR at >= %(start)s)
  AND (%(end)s::timestamptz IS NULL OR at < %(end)s)
"""


async def listed(conn: Connection, asked: Asked, page: Page) -> tuple[list[Act], bool]:
    """A page of the acts, newest first, and whether more follow."""
    rows, more = await rows_of(conn, LISTED, msgspec.structs.asdict(asked), newest_by="at", page=page)
    return [Act(**row) for row in rows], more
