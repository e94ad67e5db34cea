"""Time zones an account may live in: those that Python and PostgreSQL both know, for both count its days."""

from functools import cache
from zoneinfo import available_timezones

from billing.db.pool import Connection

# Files beside the zones that are none themselves: what a machine has set up, and what says that nothing is.
NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})


async def known(conn: Connection, name: str) -> bool:
    if name not in names():
        return False
    cursor = await conn.execute("SELECT FROM pg_timezone_names WHERE name = %s", [name])
    return await cursor.fetchone() is not None


@cache
def names() -> frozenset[str]:
    """The names Python knows. `right/…` counts leap seconds, `posix/…` repeats the rest."""
    return frozenset(
        name for name in available_timezones() - NO_ZONES if not name.startswith(("right/", "posix/", "SystemV/"))
    )
