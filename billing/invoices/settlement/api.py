"""Credit notes and payments over HTTP."""

from typing import Annotated

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from billing.accounts.keys import Principal
from billing.db.pool import Connection, Pool
from billing.errors import Fault, Invalid, NotFound
from billing.http import StrictRequest, requires
from billing.invoices import files_api
from billing.invoices.drafts import issuer_of
from billing.invoices.settlement import store
from billing.invoices.settlement.files import FORMATS
from billing.invoices.settlement.note import CENT, Wanted
from billing.invoices.settlement.notes import Credit, credit
from billing.invoices.settlement.payments import Pay, pay, reverse
from billing.invoices.settlement.reading import current, note_views
from billing.invoices.settlement.replacing import Replacement, replace
from billing.invoices.settlement.views import CreditNoteView, CurrentInvoiceView, PaymentView, payment_view
from billing.ledger.api import IdempotencyKey, amount_of, booked_once, refused_amount
from billing.pages import Listing, Page
from billing.prices.words import Language
from billing.settings import Settings
from billing.text import Dollars, Instant, Name
from billing.times import bounded

Position = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Payout = Annotated[bool, msgspec.Meta(description="Pay the money out, instead of giving it back to the wallet.")]
LINES_MAX = 1000


class LineToCredit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line of the invoice by its position, from 1 on: cents of it, a quantity's share, or (neither) the rest."""

    position: Position
    amount: Dollars | None = None
    quantity: Quantity | None = None


class NewCreditNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is credited: some lines, or (none named) all that is left of the invoice, which voids it."""

    reason: Name
    lines: Annotated[list[LineToCredit], msgspec.Meta(min_length=1, max_length=LINES_MAX)] | None = None
    refund: Payout = False


class Voiding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why all that is left of an invoice is credited."""

    reason: Name
    refund: Payout = False


class Replacing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why another invoice is put in the place of one."""

    reason: Name


class NewPayment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Money for an invoice: an `amount`, or all that is open. It came in now, at `paid_at`, by a transfer that the
    `reference` names; with `from_top_up` it is that of the top-up of this reference, which is booked already."""

    reference: Name
    amount: Dollars | None = None
    from_top_up: bool = False
    method: Name | None = None
    paid_at: Instant | None = None


class Reversal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why a payment is taken back."""

    reason: Name


def wanted(lines: list[LineToCredit] | None) -> list[Wanted] | None:
    """Raises Invalid for an amount that is not in whole cents, or beside a quantity."""
    return None if lines is None else [_wanted(at, line) for at, line in enumerate(lines)]


def _wanted(at: int, line: LineToCredit) -> Wanted:
    amount = None if line.amount is None else amount_of(line.amount)
    if amount is not None and (amount <= 0 or amount % CENT or line.quantity is not None):
        detail = "Of a line a whole number of cents, more than none, can be credited, or a quantity's share."
        raise Invalid("invalid_amount", detail, (Fault("invalid_amount", detail, f"$.lines[{at}].amount"),))
    return Wanted(position=line.position, amount=amount, quantity=line.quantity)


@post("/v1/invoices/{invoice_id:str}/credit-notes", guards=[requires("admin")], tags=["invoices"])
async def create_credit_note(
    request: StrictRequest,
    invoice_id: FromPath[str],
    data: JSONBody[NewCreditNote],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    principal: NamedDependency[Principal],
    idempotency_key: IdempotencyKey = None,
) -> CreditNoteView:
    """Credit an invoice, in part or whole, by a note with a number of its own. Taxes are given back in proportion.

    The money goes back to the wallet; with `refund`, out of the house, when nothing of the invoice is open any more.
    """
    asked = Credit(
        invoice_id=invoice_id,
        lines=wanted(data.lines),
        settle="refund" if data.refund else "wallet",
        reason=data.reason,
        actor=principal.key_id,
    )
    return await _credited(request, pool, idempotency_key, asked, settings)


@post("/v1/invoices/{invoice_id:str}/void", guards=[requires("admin")], tags=["invoices"])
async def void_invoice(
    request: StrictRequest,
    invoice_id: FromPath[str],
    data: JSONBody[Voiding],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    principal: NamedDependency[Principal],
    idempotency_key: IdempotencyKey = None,
) -> CreditNoteView:
    """Void an invoice by a credit note over all that is left of it. The invoice keeps its number and stays as it is."""
    asked = Credit(
        invoice_id=invoice_id,
        lines=None,
        settle="refund" if data.refund else "wallet",
        reason=data.reason,
        actor=principal.key_id,
    )
    return await _credited(request, pool, idempotency_key, asked, settings)


async def _credited(
    request: StrictRequest, pool: Pool, key: str | None, asked: Credit, settings: Settings
) -> CreditNoteView:
    async def work(conn: Connection) -> CreditNoteView:
        return (await note_views(conn, [await credit(conn, asked, settings.credit_note_prefix)]))[0]

    return await booked_once(request, pool, key, CreditNoteView, work)


@post("/v1/invoices/{invoice_id:str}/replace", guards=[requires("admin")], tags=["invoices"])
async def replace_invoice(
    request: StrictRequest,
    invoice_id: FromPath[str],
    data: JSONBody[Replacing],
    pool: NamedDependency[Pool],
    settings: NamedDependency[Settings],
    principal: NamedDependency[Principal],
    idempotency_key: IdempotencyKey = None,
) -> CurrentInvoiceView:
    """Void an invoice and put another in its place: the same lines, with the details of issuer and customer of today.

    It has a number of its own and names the one that it replaces. No money moves; what was paid counts towards it.
    """
    asked = Replacement(invoice_id=invoice_id, reason=data.reason, actor=principal.key_id)
    issuer = issuer_of(settings)

    async def work(conn: Connection) -> CurrentInvoiceView:
        prefixes = {"invoice_prefix": settings.invoice_prefix, "note_prefix": settings.credit_note_prefix}
        return (await current(conn, [await replace(conn, asked, issuer, **prefixes)]))[0]

    return await booked_once(request, pool, idempotency_key, CurrentInvoiceView, work)


@post("/v1/invoices/{invoice_id:str}/payments", guards=[requires("admin")], tags=["invoices"])
async def create_payment(
    request: StrictRequest,
    invoice_id: FromPath[str],
    data: JSONBody[NewPayment],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    idempotency_key: IdempotencyKey = None,
) -> PaymentView:
    """Record a payment of an invoice: the money goes to the wallet, once for a reference of the account.

    With `from_top_up` no money moves: a top-up that is booked already is counted towards the invoice.
    """
    asked = payment_asked(invoice_id, data, principal.key_id)

    async def work(conn: Connection) -> PaymentView:
        return payment_view(await pay(conn, asked))

    return await booked_once(request, pool, idempotency_key, PaymentView, work)


def payment_asked(invoice_id: str, data: NewPayment, actor: str) -> Pay:
    """Raises Invalid for an amount or a year that cannot be."""
    amount = None if data.amount is None else amount_of(data.amount)
    if amount is not None and amount <= 0:
        raise refused_amount("A payment must be more than zero.")
    return Pay(
        invoice_id=invoice_id,
        reference=data.reference,
        amount=amount,
        from_top_up=data.from_top_up,
        method=data.method,
        paid_at=bounded(data.paid_at, "$.paid_at"),
        actor=actor,
    )


@post("/v1/payments/{payment_id:str}/reverse", guards=[requires("admin")], tags=["invoices"])
async def reverse_payment(
    request: StrictRequest,
    payment_id: FromPath[str],
    data: JSONBody[Reversal],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    idempotency_key: IdempotencyKey = None,
) -> PaymentView:
    """Take back a payment, such as one that bounced: its money goes out of the wallet again, below zero if need be.

    What was counted from a top-up stays in the wallet.
    """

    async def work(conn: Connection) -> PaymentView:
        return payment_view(await reverse(conn, payment_id, reason=data.reason, actor=principal.key_id))

    return await booked_once(request, pool, idempotency_key, PaymentView, work)


@get("/v1/credit-notes", guards=[requires("customer", "admin")], tags=["invoices"])
async def list_credit_notes(
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    page: NamedDependency[Page],
    account: FromQuery[str | None] = None,
) -> Listing[CreditNoteView]:
    """Credit notes, newest first: a customer's own, or with an admin's key those of `account` or of all."""
    owner = principal.owner(account)
    async with pool.connection() as conn:
        found, more = await store.notes(conn, owner, page)
        shown = await note_views(conn, found)
    return Listing(url="/v1/credit-notes", has_more=more, data=shown)


@get("/v1/credit-notes/{note_id:str}", guards=[requires("customer", "admin")], tags=["invoices"])
async def get_credit_note(
    request: StrictRequest,
    note_id: FromPath[str],
    pool: NamedDependency[Pool],
    principal: NamedDependency[Principal],
    lang: FromQuery[Language | None] = None,
) -> Response[CreditNoteView | bytes]:
    """One credit note, as JSON.

    Behind the id, `.json`, `.csv`, `.ndjson`, `.html`, `.pdf`, `.xml` (EN 16931), `.focus.csv` or `.focus.ndjson`
    asks for a file. HTML and PDF are in `lang`, else in the browser's language.
    """
    name, kind = files_api.split(note_id, FORMATS, "A credit note")
    async with pool.connection() as conn:
        found = await store.note(conn, name, principal.account_id)
        if found is None:
            raise NotFound("unknown_credit_note", f"There is no credit note {name[:80]}.")
        shown = (await note_views(conn, [found]))[0]
    if not kind:
        return Response(shown)
    return await files_api.file(request, FORMATS[kind], shown, f"{shown.number}.{kind}", lang)


router = Router(
    "/",
    route_handlers=[
        create_credit_note,
        void_invoice,
        replace_invoice,
        create_payment,
        reverse_payment,
        list_credit_notes,
        get_credit_note,
    ],
)
