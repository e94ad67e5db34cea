"""Periods of any zone and anchor day, closed while usage comes late, is voided and the calendar changes, beside a small
model that knows the rules and nothing of the code: what is charged it works out in fractions."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count, pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.credits.giving import give
from billing.credits.grants import NewGrant
from billing.db.pool import Connection
from billing.invoices import account as accounts
from billing.invoices import close, drafts, store
from billing.invoices.invoice import Invoice
from billing.invoices.tax_store import add_rate, assign
from billing.invoices.taxes import Rate
from billing.ledger.movements import Movement, book
from billing.metering.intake import Intake
from tests import factories
from tests.metering.events import batch, event
from tests.stateful.machine import UNHURRIED, relay

PICO = 10**12
CENT = PICO // 100
PRICES = {  # picodollars a token, half of the official price in 2026, input and output
    "gpt-4": (PICO * 15 // 10**6, PICO * 30 // 10**6),
    "gpt-3.5-turbo": (PICO // 4 // 10**6, PICO * 3 // 4 // 10**6),
}
ZONES = (
    "UTC",
    "Asia/Shanghai",
    "America/New_York",
    "Pacific/Apia",
    "Europe/Berlin",
    "Asia/Kolkata",
    "America/St_Johns",
)
SINCE = datetime(2026, 2, 1, tzinfo=UTC)
SLOT = timedelta(minutes=15)

numbers = count()
times = st.integers(0, 280 * 86_400 - 1).map(lambda seconds: SINCE + timedelta(seconds=seconds))
tokens = st.integers(1, 10**7)
calendars = st.tuples(st.sampled_from(ZONES), st.sampled_from((1, 1, 2, 15, 29, 31)))
uses = st.tuples(st.just("use"), st.sampled_from(sorted(PRICES)), tokens, tokens, times)
voids = st.tuples(st.just("void"), st.integers(0, 100))
moves = st.tuples(st.sampled_from(("top_up", "adjustment", "grant")), st.integers(1, 10**15), times)
closes = st.tuples(st.just("close"))
changes = st.tuples(st.just("calendar"), calendars, times)
steps = st.lists(st.one_of(uses, uses, uses, closes, closes, voids, moves, changes), max_size=25)
taxes = st.sampled_from((None, (Decimal(19), False), (Decimal("8.875"), False), (Decimal(10), True)))


class Used(msgspec.Struct):
    """What the model remembers of an event: its tokens by dimension, negative when they were taken back."""

    id: str
    model: str
    tokens: dict[str, int]
    time: datetime
    billed: datetime
    voided: bool = False

    def amount(self, dimension: str) -> int:
        return self.tokens[dimension] * PRICES[self.model][dimension == "output"]


class Model:
    """One account, and what is known of it."""

    def __init__(self, account: str, intake: Intake, tax: tuple[Decimal, bool] | None) -> None:
        self.account, self.intake, self.tax = account, intake, tax
        self.used: list[Used] = []
        self.moved: list[tuple[datetime, int]] = []
        self.invoices: list[Invoice] = []
        self.open_from = datetime.min.replace(tzinfo=UTC)

    async def post(self, id: str, model: str, counts: dict[str, int], time: datetime, **more: Any) -> None:
        usage = {"prompt_tokens": counts["input"], "completion_tokens": counts["output"]}
        given = event(self.account, id, model=model, time=time.isoformat(), **{"usage": usage, **more})
        [result] = await self.intake.post(batch(given))
        assert result.status == "accepted", result

    async def step(self, conn: Connection, step: tuple[Any, ...]) -> None:
        match step:
            case ("use", model, of_input, of_output, time):
                counts = {"input": of_input, "output": of_output}
                used = Used(f"e{next(numbers)}", model, counts, time, self.billed(time))
                await self.post(used.id, model, counts, time)
                self.used.append(used)
            case ("void", place) if open_ones := [used for used in self.used if not used.voided]:
                first = open_ones[place % len(open_ones)]
                back = {name: -number for name, number in first.tokens.items()}
                taken = Used(f"e{next(numbers)}", first.model, back, first.time, self.billed(first.time), voided=True)
                await self.post(taken.id, first.model, first.tokens, first.time, voids=first.id, usage=...)
                first.voided = True
                self.used.append(taken)
            case ("top_up" | "adjustment" | "grant" as kind, amount, time) if time >= self.open_from:
                await self.move(conn, kind, amount, time)
                self.moved.append((time, amount))
            case ("calendar", (zone, anchor_day), time) if time > self.open_from:
                await conn.execute(
                    "INSERT INTO account_calendars VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                    [self.account, time, zone, anchor_day],
                )
            case ("close",):
                await self.close(conn)

    async def move(self, conn: Connection, kind: Any, amount: int, time: datetime) -> None:
        async with conn.transaction():
            if kind == "grant":
                grant = NewGrant(
                    account_id=self.account, category="paid", amount=amount, effective_at=time, actor="test"
                )
                await give(conn, grant)
            else:
                await book(
                    conn, Movement(account_id=self.account, kind=kind, amount=amount, effective_at=time, actor="test")
                )

    def billed(self, time: datetime) -> datetime:
        return max(time - (time - SINCE) % SLOT, self.open_from)

    async def close(self, conn: Connection) -> bool:
        """Close a period as the service does by itself; False: none is due."""
        chosen = msgspec.structs.replace(self.intake.settings, close_after_hours=1)
        async with conn.transaction():
            found = await accounts.get(conn, self.account)
            period = next(found.open_periods())
            draft = (await drafts.draft(conn, chosen, found, period)).draft
            result = await close.close_due(conn, chosen, self.account, close.named_rates)
        if result is None:
            return False
        assert result.outcome in ("invoiced", "empty"), result
        assert period.start >= self.open_from
        self.check_edges(found, period.start, period.end)
        self.open_from = period.end
        if result.invoice:
            invoice = await store.find(conn, result.invoice, self.account)
            assert (invoice.lines, invoice.statement, invoice.taxes) == (draft.lines, draft.statement, draft.taxes)
            self.check(invoice)
            self.invoices.append(invoice)
        return True

    def check_edges(self, found: accounts.Account, start: datetime, end: datetime) -> None:
        """It ends at a local midnight of the anchor day that was set when it began."""
        calendar = found.calendars.at(start)
        local = end.astimezone(calendar.zone)
        assert (local.hour, local.minute) == (0, 0)
        assert local.day == min(calendar.anchor_day, monthrange(local.year, local.month)[1])
        assert timedelta(days=2) < end - start < timedelta(days=34)

    def check(self, invoice: Invoice) -> None:
        start, end = invoice.period.start, invoice.period.end
        here = [used for used in self.used if start <= used.billed < end]
        for line in invoice.lines:
            late = line.correction_of
            of = late or invoice.period
            mine = [used for used in here if used.model == line.factors.model and of.start <= used.time < of.end]
            exact = sum(used.amount(line.factors.dimension) for used in mine)
            assert line.amount_exact == exact
            assert line.quantity == sum(used.tokens[line.factors.dimension] for used in mine)
            assert line.amount == rounded(Fraction(exact))
            if late:
                assert late.end <= start
                known = [
                    other.period for other in self.invoices if other.period.start <= line.first_at < other.period.end
                ]
                assert known in ([], [late])
        assert invoice.amount_exact == sum(used.amount(name) for used in here for name in used.tokens)
        assert invoice.subtotal == sum(line.amount for line in invoice.lines)
        assert invoice.residue == invoice.subtotal - invoice.amount_exact
        self.check_money(invoice)

    def check_money(self, invoice: Invoice) -> None:
        percent, inclusive = self.tax or (Decimal(0), False)
        tax = rounded(invoice.subtotal * Fraction(percent) / (100 + (Fraction(percent) if inclusive else 0)))
        assert (invoice.tax, invoice.tax_included) == ((0, tax) if inclusive else (tax, 0))
        assert invoice.total == invoice.subtotal + invoice.tax
        before = sum(amount for at, amount in self.moved if at < invoice.period.end)
        closing = before - sum(other.total for other in self.invoices) - invoice.total
        assert invoice.statement.closing == closing
        assert invoice.amount_due + invoice.earlier_due == max(0, -closing)
        assert invoice.amount_due == invoice.total - invoice.applied
        assert (invoice.due_date is not None) == (invoice.amount_due > 0)
        opening = self.invoices[-1].statement.closing if self.invoices else 0
        since = self.invoices[-1].period.end if self.invoices else datetime.min.replace(tzinfo=UTC)
        assert invoice.statement.opening == opening + sum(
            amount for at, amount in self.moved if since <= at < invoice.period.start
        )


def rounded(exact: Fraction) -> int:
    """Whole cents, half away from zero."""
    cents = abs(exact) / CENT + Fraction(1, 2)
    return (1 if exact >= 0 else -1) * int(cents) * CENT


async def play(intake: Intake, first: tuple[str, int], tax: Any, steps: list[Any]) -> None:
    async with intake.pool.connection() as conn:
        account = await factories.account(conn, time_zone=first[0])
        await conn.execute(
            "UPDATE accounts SET anchor_day = %s, created_at = %s WHERE id = %s", [first[1], SINCE, account]
        )
        await conn.execute("INSERT INTO account_calendars VALUES (%s, %s, %s, %s)", [account, SINCE, *first])
        if tax:
            name = f"t{next(numbers)}"
            await add_rate(conn, Rate(id=name, name="Tax", percent=tax[0], inclusive=tax[1]))
            await assign(conn, account, [name], SINCE)
        model = Model(account, intake, tax)
        for step in steps:
            await model.step(conn, step)
        while await model.close(conn):
            pass
        for one, following in pairwise(model.invoices):
            assert one.period.end <= following.period.start
        row = await (await conn.execute("SELECT posted FROM balances WHERE account_id = %s", [account])).fetchone()
        left = [used for used in model.used if used.billed >= model.open_from]
        spent = sum(used.amount(name) for used in left for name in used.tokens)
        assert int(row["posted"] * PICO) == (
            sum(amount for _, amount in model.moved) - sum(invoice.total for invoice in model.invoices) - spent
        )


def test_every_closing_is_right_whatever_happened_before(fresh_database: str) -> None:
    with relay(fresh_database) as (runner, intake):

        @settings(max_examples=60, **UNHURRIED)
        @given(calendars, taxes, steps)
        def plays(first: tuple[str, int], tax: Any, steps: list[Any]) -> None:
            runner.run(play(intake, first, tax, steps))

        plays()
