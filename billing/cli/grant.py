"""`billing grant`: credit given to a customer."""

from datetime import datetime
from typing import get_args

import click
import msgspec

from billing import idempotency
from billing.audit.log import COMMAND_LINE as ACTOR
from billing.cli import Failure
from billing.cli._database import run_with_pool
from billing.cli._input import Instant, checked
from billing.cli._print import as_json_option, console, exact, print_json
from billing.credits.api import GrantToGive, grant_asked
from billing.credits.giving import GrantView, give
from billing.credits.grants import PRIORITY, Category
from billing.db.pool import Pool
from billing.errors import Unprocessable
from billing.settings import Settings
from pricing import money


@click.command("grant")
@click.argument("account", metavar="ACCOUNT")
@click.argument("amount", metavar="AMOUNT")
@click.option("--category", type=click.Choice(get_args(Category)), required=True)
@click.option("--reference", required=True, help="What names the grant: a campaign, a receipt.")
@click.option("--reason")
@click.option("--priority", type=int, default=PRIORITY, show_default=True, help="Lower ones are used first.")
@click.option("--effective-at", type=Instant(), help="When it begins.  [default: now]")
@click.option("--expires-at", type=Instant(), help="When what remains of it expires.  [default: never]")
@click.option("--idempotency-key", help="Running it again with the same key gives nothing.  [default: the reference]")
@as_json_option
def command(
    account: str,
    amount: str,
    category: Category,
    reference: str,
    reason: str | None,
    priority: int,
    effective_at: datetime | None,
    expires_at: datetime | None,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Give dollars of credit, such as 12.50, to an account. Credit pays usage before the wallet does.

    The same reference for the same account is the same grant: it is given once, however often the command is run
    (for BILLING_IDEMPOTENCY_HOURS).
    """
    data = checked(
        GrantToGive,
        amount=amount,
        category=category,
        priority=priority,
        effective_at=effective_at,
        expires_at=expires_at,
        reference=reference,
        reason=reason,
    )
    asked = grant_asked(account, data, ACTOR)

    async def work(pool: Pool, _settings: Settings) -> GrantView:
        return await idempotency.once(
            pool,
            actor=ACTOR,
            key=idempotency_key or f"grant {account} {reference}",
            request=msgspec.json.encode(asked),
            kind=GrantView,
            work=lambda conn: give(conn, asked),
        )

    try:
        grant = run_with_pool(work)
    except Unprocessable as problem:
        if problem.code != "idempotency_key_reused":
            raise
        sentence = f"The reference {reference} stands for another grant to {account} already"
        raise Failure(f"{sentence}. Nothing was given. Another grant needs another --reference.") from None
    if as_json:
        print_json(grant)
    else:
        _say(grant)


def _say(grant: GrantView) -> None:
    until = "" if grant.expires_at is None else f" until {grant.expires_at:%Y-%m-%d %H:%M}Z"
    since = f"from {grant.effective_at:%Y-%m-%d %H:%M}Z{until}"
    amount = exact(money.parse(grant.amount))
    console().print(
        f"Grant [bold]{grant.id}[/]: {grant.account} has [bold]{amount}[/] of {grant.category} credit {since}."
    )
