"""`billing pay INV-2026-000001`: money counted towards an invoice."""

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
from billing.invoices.settlement.api import NewPayment, payment_asked
from billing.invoices.settlement.payments import found, pay
from billing.invoices.settlement.views import PaymentView, payment_view
from billing.invoices.store import id_named
from billing.settings import Settings
from pricing import money


@click.command("pay")
@click.argument("invoice", metavar="INVOICE")
@click.argument("amount", metavar="[AMOUNT]", required=False)
@click.option("--reference", required=True, help="What names the money: a transfer, a receipt.")
@click.option("--from-top-up", is_flag=True, help="The money is that of the top-up of this reference, booked already.")
@click.option("--method", help="How it was paid.")
@click.option("--paid-at", type=Instant(), help="When it came in.  [default: now]")
@as_json_option
def command(
    invoice: str,
    amount: str | None,
    reference: str,
    from_top_up: bool,
    method: str | None,
    paid_at: datetime | None,
    as_json: bool,
) -> None:
    """Count dollars towards an INVOICE, called by its id or its number: all that is open of it, without an AMOUNT.

    The same reference for the same invoice is the same payment: it is booked once, however often the command is run.
    """
    data = checked(
        NewPayment, reference=reference, amount=amount, from_top_up=from_top_up, method=method, paid_at=paid_at
    )

    async def once(pool: Pool, _settings: Settings) -> PaymentView:
        async with pool.connection() as conn:
            asked = payment_asked(await id_named(conn, invoice), data, ACTOR)

        async def work(conn: Connection) -> PaymentView:
            return payment_view(await pay(conn, asked))

        key = f"pay {asked.invoice_id} {amount or ''} {reference}"[:255]
        request = msgspec.json.encode(asked)
        made = await idempotency.once(pool, actor=ACTOR, key=key, request=request, kind=PaymentView, work=work)
        async with pool.connection() as conn:
            return payment_view(await found(conn, made.id))

    payment = run_with_pool(once)
    if payment.reversed_at:
        raise Failure(
            f"The payment {payment.id} by {reference} does not count any more ({payment.reason}). "
            "Another payment needs another --reference."
        )
    if as_json:
        print_json(payment)
    else:
        paid = exact(money.parse(payment.amount))
        console().print(f"Payment [bold]{payment.id}[/]: {paid} by {payment.reference} for {payment.invoice}.")
