"""The order in which credits pay, what begins and ends when, and how it is told."""

from datetime import UTC, datetime, timedelta

import pytest

from billing import proof
from billing.ledger.reads import balance_at
from pricing import money
from tests.books import balance
from tests.credits.conftest import DAY, UNIT, Customer, from_now
from tests.metering.events import batch

pytestmark = pytest.mark.anyio


async def test_grants_pay_by_priority_then_expiry_then_age_and_the_wallet_last(customer: Customer) -> None:
    await customer.give(1, reference="never ends")
    await customer.give(1, reference="older", expires_at=(later := from_now(9)))
    await customer.give(1, reference="younger", expires_at=later)
    await customer.give(1, reference="ends first", expires_at=from_now(8))
    await customer.give(1, reference="last", priority=101, expires_at=from_now(1))
    await customer.give(1, reference="first", priority=0, category="paid")
    await customer.give(1, reference="not yet", priority=0, effective_at=from_now(1))
    order = ["first", "ends first", "older", "younger", "never ends", "last"]
    for used_up in range(len(order)):
        await customer.use(1)
        states = await customer.grants()
        assert [name for name in order if states[name][0] == "used"] == order[: used_up + 1]
    assert await customer.holds() == (0, 0)
    await customer.use(1)
    assert await customer.holds() == (-1, 0)
    assert (await customer.grants())["not yet"] == ("pending", 0, 0)


async def test_a_batch_is_paid_line_by_line_in_its_own_transaction(customer: Customer) -> None:
    first = await customer.give(5, reference="a", priority=1)
    second = await customer.give(4, reference="b", priority=2)
    await customer.take(
        [customer.event(amount, time=f"2026-10-05T08:{15 * place:02}:00Z") for place, amount in enumerate((3, 4, 5))]
    )
    usage, burns = await transaction(customer)
    assert [(posting.line, posting.effective_at.minute) for posting in usage] == [(1, 0), (2, 15), (3, 30)]
    assert [(burn.line, burn.grant, money.parse(burn.amount) // UNIT, burn.effective_at.minute) for burn in burns] == [
        (4, first.id, 3, 0),
        (5, first.id, 2, 15),
        (6, second.id, 2, 15),
        (7, second.id, 2, 30),
    ]
    assert {posting.balance for posting in usage + burns} == {money.format(-3 * UNIT)}
    assert await customer.holds() == (-3, 0)


async def transaction(customer: Customer):
    """The usage and the burn postings of the last transaction."""
    journal = await customer.journal()
    last = [posting for posting in journal if posting.seq == journal[-1].seq]
    assert {posting.kind for posting in last} == {"usage", "burn"}
    return [[posting for posting in last if posting.kind == kind] for kind in ("usage", "burn")]


@pytest.mark.parametrize("all_or_nothing", [False, True])
async def test_what_is_due_is_posted_before_usage_that_meets_it(customer: Customer, all_or_nothing: bool) -> None:
    """Nobody has swept: the one that books does, and the journal is in order."""
    await customer.give(5, reference="ends", expires_at=from_now(1))
    await customer.give(3, reference="begins", effective_at=from_now(1))
    async with customer.pool.connection() as conn:
        await conn.execute("UPDATE grants SET expires_at = now() WHERE reference = 'ends'")
        await conn.execute("UPDATE grants SET effective_at = now() WHERE reference = 'begins'")
        await conn.execute("UPDATE balances SET credits_due_at = now()")
    await customer.intake.post(batch(customer.event(2)), all_or_nothing=all_or_nothing)
    assert [(kind, amount) for kind, _, _, amount in await customer.moves()] == [
        ("grant", 5),
        ("expiry", 5),
        ("grant", 3),
        ("usage", 2),
        ("burn", 2),
    ]
    assert await customer.holds() == (1, 1)


async def test_unused_credit_goes_where_its_kind_of_credit_ends(customer: Customer) -> None:
    now = from_now(1)
    for category in ("paid", "promotional"):
        await customer.give(2, now=now, reference=category, category=category, expires_at=now + DAY)
    await customer.settle(now + DAY - timedelta(microseconds=1))
    assert await customer.holds() == (4, 4)
    await customer.settle(now + DAY)
    await customer.settle(now + 2 * DAY)
    assert sorted(move for move in await customer.moves() if move[0] == "expiry") == [
        ("expiry", "credits", "breakage", 2),
        ("expiry", "credits", "promotions", 2),
    ]
    assert await customer.holds() == (0, 0)


async def test_what_is_voided_names_what_gave_it(customer: Customer) -> None:
    paid = await customer.give(5, reference="paid", category="paid")
    await customer.use(2)
    voided = await customer.void(paid.id)
    assert (voided.state, voided.used, voided.remaining) == ("voided", money.format(2 * UNIT), "0")
    last = (await customer.journal())[-1]
    assert (last.kind, last.source, last.destination, last.reverses) == ("grant", "credits", "cash", paid.transaction)
    assert (last.grant, last.amount) == (paid.id, money.format(3 * UNIT))
    pending = await customer.give(5, reference="pending", effective_at=from_now(1))
    assert (await customer.void(pending.id)).transaction is None
    assert await customer.holds() == (0, 0)


async def test_what_usage_gives_back_goes_to_the_wallet(customer: Customer) -> None:
    await customer.give(5, reference="a")
    first = customer.event(4, time="2026-10-05T08:00:00Z")
    await customer.take([first])
    less = customer.event(1, time="2026-10-05T08:00:00Z", corrects=first["id"])
    await customer.take([less, customer.event(2, time="2026-10-05T09:00:00Z")])
    assert await customer.holds() == (2, 0)  # 3 given back to the wallet; 1 of the 2 paid by what credit was left
    assert await customer.grants() == {"a": ("used", 0, 5)}
    async with customer.pool.connection() as conn:
        assert await proof.differences(conn) == []


async def test_a_grant_is_never_posted_into_a_closed_period(customer: Customer) -> None:
    now = from_now(0)
    await customer.give(1, reference="a", effective_at=now + DAY, expires_at=now + 2 * DAY)
    async with customer.pool.connection() as conn:
        await conn.execute("UPDATE balances SET open_from = %s", [now + 3 * DAY])
    await customer.settle(now + 4 * DAY)
    journal = await customer.journal()
    assert {(posting.kind, posting.effective_at) for posting in journal} == {
        ("grant", now + 3 * DAY),
        ("expiry", now + 3 * DAY),
    }


async def test_past_balances_are_those_that_were_booked_by_then(customer: Customer) -> None:
    async def at(instant: datetime) -> str:
        async with customer.pool.connection() as conn:
            return (await balance_at(conn, customer.id, instant)).posted

    before = datetime.now(UTC)
    for _ in range(9):
        await customer.use(1)
    await customer.give(4, reference="dated back", effective_at=datetime(2026, 10, 1, tzinfo=UTC))
    await customer.use(2)
    journal = await customer.journal()
    assert await at(before) == "0"
    for posting in journal:
        assert await at(posting.posted_at) == posting.balance
        earlier = [other.balance for other in journal if other.seq < posting.seq]
        assert await at(posting.posted_at - timedelta(microseconds=1)) == (earlier[-1] if earlier else "0")
    async with customer.pool.connection() as conn:
        assert await at(datetime.now(UTC)) == money.format((await balance(conn, customer.id)).posted)


async def test_the_book_is_right_after_all_of_it(customer: Customer) -> None:
    for number in range(5):
        await customer.give(number + 1, reference=f"g{number}", priority=number % 2)
    await customer.use(*range(1, 6))
    async with customer.pool.connection() as conn:
        assert await proof.differences(conn) == []
