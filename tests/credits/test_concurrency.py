"""Many at once on one account: credits pay what they can, once; what is due is posted once, whoever does it."""

import asyncio

import pytest

from billing.chores import settle_credits
from billing.metering.intake import Intake
from tests import factories
from tests.books import differences
from tests.credits.conftest import Customer, from_now

pytestmark = pytest.mark.anyio

POSTERS = 6
BATCHES = 10


async def burnt(customer: Customer) -> int:
    return sum(amount for kind, _, _, amount in await customer.moves() if kind == "burn")


@pytest.mark.parametrize("credit", [7, 100, 1000])
async def test_posters_at_once_burn_what_was_used_or_what_there_was(customer: Customer, credit: int) -> None:
    for part in range(3):
        await customer.give(credit, reference=f"g{part}", priority=part, expires_at=from_now(part + 1))

    async def post(worker: Intake) -> None:
        mine = Customer(customer.pool, worker, customer.id)
        for _ in range(BATCHES):
            await mine.use(1, 2)

    workers = [Intake(customer.pool, customer.intake.terms, customer.intake.settings) for _ in range(POSTERS)]
    await asyncio.gather(*(post(worker) for worker in workers))
    used = POSTERS * BATCHES * 3
    assert await burnt(customer) == min(used, 3 * credit)
    assert await customer.holds() == (3 * credit - used, max(3 * credit - used, 0))
    assert await differences(customer.pool) == []


async def due(customer: Customer) -> None:
    """Let what is due in a day be due now, for every account: the past is made, not waited for."""
    async with customer.pool.connection() as conn:
        for column in ("effective_at", "expires_at"):
            await conn.execute(f"UPDATE grants SET {column} = {column} - interval '2 days'".encode())
        await conn.execute("UPDATE balances SET credits_due_at = credits_due_at - interval '2 days'")


async def test_sweepers_at_once_post_each_expiry_once(customer: Customer) -> None:
    others = []
    for _ in range(30):
        async with customer.pool.connection() as conn:
            others.append(Customer(customer.pool, customer.intake, await factories.account(conn)))
    for other in others:
        await other.give(5, reference="ends", expires_at=from_now(1))
        await other.give(3, reference="begins", effective_at=from_now(1))
        await other.give(2, reference="is over before it is seen", effective_at=from_now(1), expires_at=from_now(1.5))
    await due(customer)
    busy = [other.use(1) for other in others[::3]]  # who books meets what is due before the sweepers do, or after
    await asyncio.gather(*(settle_credits(customer.pool) for _ in range(8)), *busy)
    await settle_credits(customer.pool)  # what was locked then
    for place, other in enumerate(others):
        took = 0 if place % 3 else 1
        assert [move for move in await other.moves() if move[0] == "expiry"] == [
            ("expiry", "credits", "promotions", amount) for amount in (5, 2)
        ]
        assert await other.holds() == (3 - took, 3 - took)
        assert (await other.grants())["begins"] == ("active", 3 - took, took)
    assert await differences(customer.pool) == []


async def test_voids_at_once_take_back_once(customer: Customer) -> None:
    grant = await customer.give(10, reference="g")
    answers = await asyncio.gather(*(customer.void(grant.id) for _ in range(5)), return_exceptions=True)
    assert sum(not isinstance(answer, Exception) for answer in answers) == 1
    assert await customer.holds() == (0, 0)
    assert await differences(customer.pool) == []
