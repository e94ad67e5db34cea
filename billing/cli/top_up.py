"""`billing top-up`: money that came in."""

from datetime import datetime

import click
import msgspec

from billing import idempotency
from billing.audit.log import COMMAND_LINE as ACTOR
from billing.cli import Failure
from billing.cli._database import run_with_pool
from billing.cli._input import Instant, checked
from billing.cli._print import as_json_option, console, exact, print_json
from billing.db.pool import Connection, Pool
from billing.errors import Unprocessable
from billing.ledger.api import NewTopUp
from billing.ledger.movements import Movement, book
from billing.ledger.reads import PostingView
from pricing import money


@click.command("top-up")
@click.argument("account", metavar="ACCOUNT")
@click.argument("amount", metavar="AMOUNT")
@click.option("--reference", required=True, help="What names the payment: a transfer, a receipt.")
@click.option("--reason")
@click.option("--effective-at", type=Instant(), help="The day it counts from.  [default: now]")
@click.option("--idempotency-key", help="Running it again with the same key books nothing.  [default: the reference]")
@as_json_option
def command(
    account: str,
    amount: str,
    reference: str,
    reason: str | None,
    effective_at: datetime | None,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Add dollars, such as 12.50, to an account's wallet.

    The same reference for the same account is the same payment: it is booked once, however often the command is run
    (for BILLING_IDEMPOTENCY_HOURS).
    """
    asked = checked(NewTopUp, amount=amount, reference=reference, reason=reason, effective_at=effective_at)
    picos = money.parse(asked.amount)
    if picos <= 0:
        raise click.UsageError("A top-up must be more than zero.")
    movement = Movement(
        account_id=account,
        kind="top_up",
        amount=picos,
        effective_at=effective_at,
        reference=reference,
        reason=reason,
        actor=ACTOR,
    )
    posting, is_new = run_with_pool(
        lambda pool, _settings: _book_once(pool, movement, idempotency_key or f"top-up {account} {reference}")
    )
    if as_json:
        print_json(posting)
    else:
        _say(posting, is_new)


async def _book_once(pool: Pool, movement: Movement, key: str) -> tuple[PostingView, bool]:
    """The posting, and whether it was booked now."""
    booked = False

    async def work(conn: Connection) -> PostingView:
        nonlocal booked
        posting = await book(conn, movement)
        booked = True
        return posting

    request = msgspec.json.encode(movement)
    try:
        posting = await idempotency.once(pool, actor=ACTOR, key=key, request=request, kind=PostingView, work=work)
    except Unprocessable as problem:
        if problem.code != "idempotency_key_reused":
            raise
        sentence = f"The reference {movement.reference} is booked for {movement.account_id} already, but not like this"
        raise Failure(f"{sentence}. Nothing was booked. Another payment needs another --reference.") from None
    return posting, booked


def _say(posting: PostingView, is_new: bool) -> None:
    amount, balance = exact(money.parse(posting.amount)), exact(money.parse(posting.balance))
    if is_new:
        console().print(f"Booked [bold]{amount}[/] for {posting.account}: its balance is now [bold]{balance}[/].")
    else:
        when = f"{posting.posted_at:%Y-%m-%d %H:%M:%S}Z"
        console().print(f"{amount} with this reference was booked already, at {when}. Nothing was booked again.")
