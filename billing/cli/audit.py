"""`billing audit`: who did what."""

from datetime import datetime

import click
import msgspec
from rich.text import Text

from billing.audit.log import Act, Asked, listed
from billing.cli._database import run_with_pool
from billing.cli._input import Instant
from billing.cli._print import as_json_option, console, print_json, table
from billing.db.pool import Connection, Pool
from billing.pages import Page
from billing.settings import Settings

PAGE = 100


@click.command("audit")
@click.option("--account", metavar="ACCOUNT", help="Only what was done to this account.")
@click.option("--actor", metavar="KEY", help="Only what this key did; `cli` for commands, `service` for the service.")
@click.option("--action", metavar="ACTION", help="Only acts of this kind, such as key.revoke.")
@click.option("--from", "start", type=Instant(), help="From this instant on.")
@click.option("--to", "end", type=Instant(), help="Before this instant.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@as_json_option
def command(
    account: str | None,
    actor: str | None,
    action: str | None,
    start: datetime | None,
    end: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List what administrators did, the newest first."""
    asked = Asked(account=account, actor=actor, action=action, start=start, end=end)

    async def work(pool: Pool, _settings: Settings) -> list[Act]:
        async with pool.connection() as conn:
            return await _newest(conn, asked, limit)

    acts = run_with_pool(work)
    if as_json:
        print_json(acts)
        return
    printed = table("at", "by", "act", "account", "to", "details")
    for act in acts:
        details = msgspec.json.encode(act.details).decode() if act.details else ""
        printed.add_row(
            f"{act.at:%Y-%m-%d %H:%M:%S}Z",
            Text(act.actor),
            act.action,
            act.account or "",
            Text(act.subject or ""),
            Text(details),
        )
    console().print(printed if acts else "Nothing was done that is looked for.")


async def _newest(conn: Connection, asked: Asked, limit: int) -> list[Act]:
    found: list[Act] = []
    more = True
    while more and len(found) < limit:
        last = found[-1].id if found else None
        page, more = await listed(conn, asked, Page(min(PAGE, limit - len(found)), last))
        found += page
    return found
