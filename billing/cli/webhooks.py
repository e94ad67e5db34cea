"""`billing webhooks`: who is told of what, and what became of it."""

from datetime import datetime

import click
from rich.text import Text

from billing.cli._database import run_with_pool
from billing.cli._input import Instant, checked
from billing.cli._print import as_json_option, console, print_json, table
from billing.db.pool import Pool
from billing.outbox import TYPES
from billing.pages import Page
from billing.settings import Settings
from billing.webhooks import courier, endpoints, store
from billing.webhooks.api import NewWebhook, Replayed
from billing.webhooks.endpoints import Changes, Issued
from billing.webhooks.messages import Attempt
from billing.webhooks.sending import Sender
from billing.webhooks.store import Delivery, Endpoint

SHOWN_MAX = 100


@click.group("webhooks", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, add and remove webhooks, and see what became of their messages. Without a subcommand: list them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_webhooks)


@command.command("list")
@click.option("--account", metavar="ACCOUNT", help="Only those told of this customer alone.")
@as_json_option
def list_webhooks(account: str | None = None, as_json: bool = False) -> None:
    """List webhooks, the newest first."""

    async def work(pool: Pool, _settings: Settings) -> list[Endpoint]:
        async with pool.connection() as conn:
            return (await store.listed(conn, None, account, Page(SHOWN_MAX)))[0]

    found = run_with_pool(work)
    if as_json:
        print_json(found)
        return
    printed = table("webhook", "owner", "account", "url", "types", "state")
    for one in found:
        types = ", ".join(one.types) if one.types else "all"
        printed.add_row(one.id, one.owner or "operator", one.account or "all", Text(one.url), types, Text(_state(one)))
    console().print(printed if found else "There are no webhooks.")


def _state(endpoint: Endpoint) -> str:
    if endpoint.disabled_at is not None:
        return f"disabled {endpoint.disabled_at:%Y-%m-%d}: {endpoint.disabled_because}"
    return f"failing since {endpoint.failing_since:%Y-%m-%d %H:%M}Z" if endpoint.failing_since else "fine"


@command.command("add")
@click.argument("url")
@click.option("--account", metavar="ACCOUNT", help="Told of this customer only.  [default: of all]")
@click.option("--type", "types", type=click.Choice(TYPES), multiple=True, help="Repeatable.  [default: all]")
@as_json_option
def add(url: str, account: str | None, types: tuple[str, ...], as_json: bool) -> None:
    """Have messages sent to URL, from now on. The secret that signs them is shown this once."""
    asked = checked(NewWebhook, url=url, account=account, types=list(types) or None)

    async def work(pool: Pool, settings: Settings) -> Issued:
        async with pool.connection() as conn:
            return await endpoints.create(
                conn, settings, owner=None, account=asked.account, url=asked.url, types=asked.types
            )

    _show_secret(run_with_pool(work), as_json)


@command.command("rotate")
@click.argument("webhook_id", metavar="WEBHOOK")
@as_json_option
def rotate(webhook_id: str, as_json: bool) -> None:
    """Give a webhook a new secret. The old one signs, too, for BILLING_WEBHOOK_ROTATION_HOURS."""

    async def work(pool: Pool, settings: Settings) -> Issued:
        async with pool.connection() as conn:
            return await endpoints.rotate(conn, settings, webhook_id, None)

    _show_secret(run_with_pool(work), as_json)


def _show_secret(issued: Issued, as_json: bool) -> None:
    if as_json:
        print_json(issued)
        return
    click.echo(issued.secret)
    console(stderr=True).print(f"This signs what {issued.webhook.id} is sent. It is shown this once.", style="yellow")


@command.command("enable")
@click.argument("webhook_id", metavar="WEBHOOK")
def enable(webhook_id: str) -> None:
    """Send to a webhook again; what is pending goes out at once."""
    _change(webhook_id, Changes(disabled=False))
    console().print(f"The webhook {webhook_id} is enabled. `billing webhooks replay` sends what it has missed.")


@command.command("disable")
@click.argument("webhook_id", metavar="WEBHOOK")
def disable(webhook_id: str) -> None:
    """Send nothing more to a webhook."""
    _change(webhook_id, Changes(disabled=True))
    console().print(f"The webhook {webhook_id} is disabled.")


def _change(webhook_id: str, changes: Changes) -> None:
    async def work(pool: Pool, settings: Settings) -> Endpoint:
        async with pool.connection() as conn:
            return await endpoints.change(conn, settings, webhook_id, None, changes)

    run_with_pool(work)


@command.command("remove")
@click.argument("webhook_id", metavar="WEBHOOK")
def remove(webhook_id: str) -> None:
    """Take a webhook away, with all that was to be delivered to it."""

    async def work(pool: Pool, _settings: Settings) -> Endpoint:
        async with pool.connection() as conn:
            return await endpoints.delete(conn, webhook_id, None)

    run_with_pool(work)
    console().print(f"The webhook {webhook_id} is gone.")


@command.command("test")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.pass_context
def test(ctx: click.Context, webhook_id: str) -> None:
    """Send a message of type webhook.test now, once. Exits with 1 when it does not get through."""

    async def work(pool: Pool, settings: Settings) -> Attempt:
        async with Sender.opened(settings.webhook_seconds_max, private=settings.webhook_private) as sender:
            return await courier.test(pool, settings, sender, webhook_id, None)

    attempt = run_with_pool(work)
    console().print(f"{_outcome(attempt)}, after {attempt.milliseconds} ms.")
    ctx.exit(0 if attempt.delivered else 1)


def _outcome(attempt: Attempt) -> str:
    return f"delivered (HTTP {attempt.status})" if attempt.delivered else f"not delivered: {attempt.reason}"


@command.command("replay")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.option("--since", type=Instant(), help="All messages from then on.")
@click.option("--message", metavar="MESSAGE", help="This one (msg_…).")
@as_json_option
def replay(webhook_id: str, since: datetime | None, message: str | None, as_json: bool) -> None:
    """Have the service send messages once more, under the same ids, delivered or not."""
    if (since is None) == (message is None):
        raise click.UsageError("Say what to replay: --since or --message.")

    async def work(pool: Pool, settings: Settings) -> Replayed:
        async with pool.connection() as conn:
            many = await endpoints.replay(conn, settings, webhook_id, None, since=since, message=message)
        return Replayed(messages=many)

    done = run_with_pool(work)
    if as_json:
        print_json(done)
        return
    console().print(f"{done.messages} {'message is' if done.messages == 1 else 'messages are'} on the way once more.")


@command.command("log")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.option("--state", type=click.Choice(["pending", "delivered", "failed"]))
@as_json_option
def log(webhook_id: str, state: str | None, as_json: bool) -> None:
    """What became of a webhook's last messages, the newest first."""

    async def work(pool: Pool, _settings: Settings) -> list[Delivery]:
        async with pool.connection() as conn:
            await store.find(conn, webhook_id, None)
            return (await store.deliveries(conn, webhook_id, state, Page(SHOWN_MAX)))[0]

    found = run_with_pool(work)
    if as_json:
        print_json(found)
        return
    printed = table("message", "type", "account", "state", "attempts", "last", numbers=("attempts",))
    for one in found:
        last = _outcome(one.log[-1]) if one.log else "–"
        printed.add_row(one.id, one.type, one.account or "–", one.state, str(one.attempts), last)
    console().print(printed if found else "There are no such messages.")
