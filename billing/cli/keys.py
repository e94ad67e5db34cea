"""`billing keys`: who may come in."""

from datetime import UTC, datetime

import click
from rich.text import Text

from billing.accounts import keys, store
from billing.accounts import limits as key_limits
from billing.accounts.api import IssuedKey, KeyChanges, NewKey, NewServiceKey, key_changes
from billing.accounts.keys import Key
from billing.accounts.limits import KeySpending
from billing.cli._database import run_with_pool
from billing.cli._input import Instant, checked
from billing.cli._print import as_json_option, console, print_json, table
from billing.db.pool import Pool
from billing.settings import Settings

NONE = "none"
"""Given instead of a value: it lifts a limit."""


@click.group("keys", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, make and revoke API keys. Without a subcommand: list those of gateways and administrators."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_keys)


@command.command("list")
@click.option(
    "--account", metavar="ACCOUNT", help="A customer's keys, instead of those of gateways and administrators."
)
@as_json_option
def list_keys(account: str | None = None, as_json: bool = False) -> None:
    """List keys, the newest first."""

    async def work(pool: Pool, _settings: Settings) -> list[Key]:
        async with pool.connection() as conn:
            if account:
                await store.get(conn, account)
            return await keys.listed(conn, account)

    found = run_with_pool(work)
    if as_json:
        print_json(found)
        return
    printed = table("key", "scope", "name", "ends in", "created", "state")
    for key in found:
        created = f"{key.created_at:%Y-%m-%d}"
        printed.add_row(key.id, key.scope, Text(key.name), f"…{key.hint}", created, _state(key, datetime.now(UTC)))
    console().print(printed if found else "There are no such keys.")


def _state(key: Key, now: datetime) -> str:
    if key.revoked_at:
        return f"[red]revoked {key.revoked_at:%Y-%m-%d}[/]"
    if key.expires_at is None:
        return "[green]valid[/]"
    return f"{'[red]expired' if key.expires_at <= now else '[green]valid until'} {key.expires_at:%Y-%m-%d %H:%M}Z[/]"


@command.command("create")
@click.option("--account", metavar="ACCOUNT", help="The customer whose key it is to be.")
@click.option("--scope", type=click.Choice(["gateway", "admin"]), help="For a gateway or an administrator instead.")
@click.option("--name", default="default", show_default=True)
@click.option("--expires-at", type=Instant(), help="It is not accepted from then on.  [default: never]")
@as_json_option
def create(account: str | None, scope: str | None, name: str, expires_at: datetime | None, as_json: bool) -> None:
    """Make a key, for a customer (--account) or for a gateway or administrator (--scope). It is shown this once."""
    if (account is None) == (scope is None):
        raise click.UsageError("Say whose key it is to be: --account acct_…, or --scope gateway or admin.")
    if expires_at and expires_at <= datetime.now(UTC):
        raise click.UsageError("The key would have expired already.")
    asked: NewKey | NewServiceKey = (
        checked(NewKey, name=name, expires_at=expires_at)
        if account
        else checked(NewServiceKey, scope=scope, name=name, expires_at=expires_at)
    )

    async def work(pool: Pool, _settings: Settings) -> tuple[Key, str]:
        async with pool.connection() as conn:
            return await keys.create(
                conn,
                scope=asked.scope if isinstance(asked, NewServiceKey) else "customer",
                name=asked.name,
                account_id=account,
                expires_at=asked.expires_at,
            )

    key, secret = run_with_pool(work)
    if as_json:
        print_json(IssuedKey(key=key, secret=secret))
        return
    click.echo(secret)
    console(stderr=True).print(
        f"This is the key {key.id}, of scope {key.scope}. Keep it: it is shown this once, and only its hash is stored.",
        style="yellow",
    )


@command.command("revoke")
@click.argument("key_id", metavar="KEY")
@as_json_option
def revoke(key_id: str, as_json: bool) -> None:
    """Revoke a key, by its id (key_…): from now on it is not accepted. What it used before is still billed."""

    async def work(pool: Pool, _settings: Settings) -> Key:
        async with pool.connection() as conn:
            return await keys.revoke(conn, key_id)

    key = run_with_pool(work)
    if as_json:
        print_json(key)
    else:
        console().print(f"The key {key.id} is revoked since {key.revoked_at:%Y-%m-%d %H:%M:%S}Z.")


@command.command("limit")
@click.argument("key_id", metavar="KEY")
@click.option("--day", metavar="DOLLARS", help="The most it may spend in a day (UTC).")
@click.option("--month", metavar="DOLLARS", help="The most it may spend in a month (UTC).")
@click.option("--total", metavar="DOLLARS", help="The most it may spend in all.")
@click.option(
    "--model", "models", multiple=True, help="A model it may use, or gpt-4* for all that begin so; repeatable."
)
@click.option("--ip", "ips", multiple=True, help="A network it may be used from, 192.0.2.0/24; repeatable.")
@as_json_option
def limit(key_id: str, models: tuple[str, ...], ips: tuple[str, ...], as_json: bool, **spans: str | None) -> None:
    """Limit what a customer's key may do, and show it. `none` instead of a value lifts a limit; the others stay."""
    given = {"models": models, "ips": ips}
    asked = {name: None if NONE in values else list(values) for name, values in given.items() if values}
    limits = {span: None if value == NONE else value for span, value in spans.items() if value is not None}
    changes = key_changes(checked(KeyChanges, **asked, limits=limits))

    async def work(pool: Pool, _settings: Settings) -> KeySpending:
        async with pool.connection() as conn:
            if asked or limits:
                await key_limits.change(conn, key_id, changes)
            return await key_limits.spending(conn, key_id)

    key = run_with_pool(work)
    if as_json:
        print_json(key)
        return
    printed = table("limit", "dollars", "spent", title=key.id)
    for span in keys.SPANS:
        spent = getattr(key.spent, span) if key.spent else None
        printed.add_row(span, getattr(key.limits, span) or "–", spent or "–")
    console().print(printed)
    console().print(f"  held: {key.held or '–'}   models: {_listed(key.models)}   networks: {_listed(key.ips)}")


def _listed(names: list[str] | None) -> str:
    return "all" if names is None else ", ".join(names)
