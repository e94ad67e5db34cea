"""`billing credit-note INV-2026-000001`: an invoice credited in part or whole, or replaced by another one."""

import hashlib

import click
import msgspec

from billing import idempotency
from billing.audit.log import COMMAND_LINE as ACTOR
from billing.cli._database import run_with_pool
from billing.cli._input import checked
from billing.cli._print import as_json_option, console, exact, print_json
from billing.db.pool import Connection, Pool
from billing.invoices.drafts import issuer_of
from billing.invoices.settlement.api import LineToCredit, NewCreditNote, wanted
from billing.invoices.settlement.notes import Credit, credit
from billing.invoices.settlement.reading import current, note_views
from billing.invoices.settlement.replacing import Replacement, replace
from billing.invoices.settlement.views import CreditNoteView, CurrentInvoiceView
from billing.invoices.store import id_named
from billing.settings import Settings
from pricing import money


@click.command("credit-note")
@click.argument("invoice", metavar="INVOICE")
@click.option("--reason", required=True, help="Printed on the note.")
@click.option("--line", "lines", multiple=True, metavar="POSITION[=AMOUNT]", help="A line to credit; may come again.")
@click.option("--refund", is_flag=True, help="Pay the money out instead of giving it back to the wallet.")
@click.option("--replace", "replacing", is_flag=True, help="Put an invoice with the details of today in its place.")
@click.option("--idempotency-key", help="Running it again with the same key issues nothing.  [default: the arguments]")
@as_json_option
def command(
    invoice: str,
    reason: str,
    lines: tuple[str, ...],
    refund: bool,
    replacing: bool,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Credit some lines of an INVOICE, called by its id or its number, or all that is left of it, which voids it.

    With --replace nothing is paid back: another invoice with the same lines takes its place.
    """
    if replacing and (lines or refund):
        raise click.UsageError("--replace is for the whole invoice, and moves no money.")
    if replacing:
        asked = Replacement(invoice_id=invoice, reason=checked(NewCreditNote, reason=reason).reason, actor=ACTOR)
        new = run_with_pool(lambda pool, settings: _replace_once(pool, settings, asked, idempotency_key))
        _say(new, as_json, f"Invoice [bold]{new.number}[/] stands for it: {new.id}, {exact(money.parse(new.total))}.")
        return
    named = checked(NewCreditNote, reason=reason, lines=[_line(text) for text in lines] or None, refund=refund)
    credited = Credit(
        invoice_id=invoice,
        lines=wanted(named.lines),
        settle="refund" if refund else "wallet",
        reason=named.reason,
        actor=ACTOR,
    )
    note = run_with_pool(lambda pool, settings: _credit_once(pool, settings, credited, idempotency_key))
    where = "paid out" if refund else "to the wallet"
    total = exact(money.parse(note.total))
    _say(note, as_json, f"Credit note [bold]{note.number}[/]: {total} of invoice {note.invoice.number}, {where}.")


def _line(text: str) -> dict[str, object]:
    position, _, amount = text.partition("=")
    if not position.isdecimal():
        raise click.UsageError(
            f"{text!r} is no line: write its position, or its position and an amount, such as 2=12.50."
        )
    return msgspec.to_builtins(checked(LineToCredit, position=int(position), amount=amount or None))  # type: ignore[no-any-return]


async def _credit_once(pool: Pool, settings: Settings, asked: Credit, key: str | None) -> CreditNoteView:
    async with pool.connection() as conn:
        asked = msgspec.structs.replace(asked, invoice_id=await id_named(conn, asked.invoice_id))

    async def work(conn: Connection) -> CreditNoteView:
        return (await note_views(conn, [await credit(conn, asked, settings.credit_note_prefix)]))[0]

    request = msgspec.json.encode(asked)
    return await idempotency.once(
        pool, actor=ACTOR, key=key or _key(request), request=request, kind=CreditNoteView, work=work
    )


async def _replace_once(pool: Pool, settings: Settings, asked: Replacement, key: str | None) -> CurrentInvoiceView:
    async with pool.connection() as conn:
        asked = msgspec.structs.replace(asked, invoice_id=await id_named(conn, asked.invoice_id))

    async def work(conn: Connection) -> CurrentInvoiceView:
        prefixes = {"invoice_prefix": settings.invoice_prefix, "note_prefix": settings.credit_note_prefix}
        return (await current(conn, [await replace(conn, asked, issuer_of(settings), **prefixes)]))[0]

    request = msgspec.json.encode(asked)
    return await idempotency.once(
        pool, actor=ACTOR, key=key or _key(request), request=request, kind=CurrentInvoiceView, work=work
    )


def _key(request: bytes) -> str:
    """By what a command that is run again with the same arguments is known."""
    return f"credit-note {hashlib.sha256(request).hexdigest()}"


def _say(made: object, as_json: bool, sentence: str) -> None:
    if as_json:
        print_json(made)
    else:
        console().print(sentence)
