"""The proof names what is wrong with credits and reversals: each test tampers with one thing, with the guards off."""

import pytest

from billing import proof
from billing.ledger.movements import Movement, Refund, book, refund
from tests.credits.conftest import UNIT, Customer, from_now
from tests.ledger.test_proof import unguarded

pytestmark = pytest.mark.anyio

GRANT = "UPDATE grants SET {} WHERE reference = '{}'"
TAMPERED = {
    "balances.credits": ("UPDATE balances SET credits = credits + 1", "has credits of"),
    "balances.credits_due_at": ("UPDATE balances SET credits_due_at = NULL", "is looked at at no time"),
    "balances.credits_due_at, too late": (
        "UPDATE balances SET credits_due_at = credits_due_at + interval '9 years'",
        "begins or expires at",
    ),
    "grants.remaining": (GRANT.format("remaining = 7", "ends"), "remaining 7"),
    "grants.used": (GRANT.format("used = 0", "used"), "says amount 0.000045000000, used 0"),
    "grants.amount": (GRANT.format("amount = 7", "ends"), "says amount 7"),
    "grants.state, never expired": (GRANT.format("state = 'voided'", "expired"), "(voided) says"),
    "grants.state, never begun": (GRANT.format("state = 'pending', remaining = 0", "ends"), "(pending) says"),
    "grants.account_id": (
        """INSERT INTO accounts (id, name) VALUES ('acct_x', 'x');
           UPDATE grants SET account_id = 'acct_x' WHERE reference = 'used'""",
        "(missing) says",
    ),
    "a grant gone": ("DELETE FROM grants WHERE reference = 'expired'", "(missing) says"),
    "grants.priority": (GRANT.format("priority = 0", "ends"), "was used up"),
    "grants.priority of the other": (GRANT.format("priority = 900", "used"), "was used up"),
    "grants.expires_at": (GRANT.format("expires_at = effective_at + interval '1 us'", "used"), "after it had expired"),
    "postings.grant_id": (
        """UPDATE postings SET grant_id = (SELECT id FROM grants WHERE reference = 'ends')
           WHERE kind = 'burn' AND grant_id = (SELECT id FROM grants WHERE reference = 'used')""",
        "says amount",
    ),
    "a burn that was too small": (
        "UPDATE postings SET amount = amount / 3 WHERE kind = 'burn'",
        "and left credits of",
    ),
    "a burn that was too big": ("UPDATE postings SET amount = amount * 3 WHERE kind = 'burn'", "and left credits of"),
    "postings.source of a burn": ("UPDATE postings SET source = 'cash' WHERE kind = 'burn'", "books burn from cash"),
    "postings.destination of a grant": (
        "UPDATE postings SET destination = 'wallet' WHERE kind = 'grant' AND reverses IS NULL",
        "books grant from promotions to wallet",
    ),
    "a grant that is taken back for nothing": (
        "UPDATE postings SET reverses = NULL WHERE kind = 'grant'",
        "books grant from credits to promotions",
    ),
    "postings.destination of an expiry": (
        "UPDATE postings SET destination = 'cash' WHERE kind = 'expiry'",
        "books expiry from credits to cash",
    ),
    "postings.reverses": ("UPDATE postings SET reverses = reverses + 90 WHERE kind = 'top_up'", "booked only 0 to be"),
    "postings.amount of a refund": (
        "UPDATE postings SET amount = amount * 9 WHERE kind = 'top_up' AND reverses IS NOT NULL",
        "to be reversed",
    ),
    "a refund of a refund": (
        "UPDATE postings SET source = destination, destination = source WHERE kind = 'top_up' AND reverses IS NOT NULL",
        "booked only 0 to be reversed",
    ),
}


async def used(customer: Customer) -> None:
    """A book with grants in every state, a burn over two of them, and a refund."""
    await customer.give(3, reference="used", priority=1, expires_at=from_now(20))
    await customer.give(9, reference="ends", priority=2, expires_at=from_now(30))
    await customer.use(2)
    await customer.use(3)
    await customer.give(5, reference="pending", effective_at=from_now(9))
    voided = await customer.give(5, reference="voided", priority=3)
    await customer.void(voided.id)
    await customer.give(5, reference="expired", priority=3, expires_at=from_now(1))
    await customer.settle(from_now(2))
    top_up = Movement(account_id=customer.id, kind="top_up", amount=2 * UNIT, actor="test")
    number = (await customer.move(book, top_up)).transaction
    asked = Refund(account_id=customer.id, transaction=number, amount=UNIT, reason="test", actor="test")
    await customer.move(refund, asked)


@pytest.mark.parametrize("what", TAMPERED)
async def test_what_is_tampered_with_is_named(customer: Customer, what: str) -> None:
    await used(customer)
    change, sentence = TAMPERED[what]
    async with customer.pool.connection() as conn:
        await unguarded(conn)
        await conn.execute("ALTER TABLE grants DISABLE TRIGGER ALL")
        for constraint in ("sums", "remaining", "span"):
            await conn.execute(f"ALTER TABLE grants DROP CONSTRAINT grants_{constraint}_check".encode())
        assert await proof.differences(conn) == []
        for statement in change.split(";"):
            await conn.execute(statement.encode())
        found = await proof.differences(conn)
    assert any(sentence in difference for difference in found), found
    assert not [difference for difference in found if "Not proved" in difference]
