"""A proof of one account, one of what is new, and what is proved after old events were dropped."""

import asyncio
from datetime import UTC, datetime

import pytest
from psycopg import sql

from billing import proof
from billing.db import partitions
from billing.db.pool import Connection
from billing.examined import Scope
from billing.metering import reads, retention
from tests.invoices.conftest import Relay, own_relay  # noqa: F401
from tests.ledger.test_proof import unguarded
from tests.metering.events import batch, event

pytestmark = pytest.mark.anyio

INCREMENTAL = Scope("incremental")
IN_OCTOBER = "2026-10-05T08:00:00Z"


async def marks(conn: Connection) -> dict[str, int]:
    rows = await (await conn.execute("SELECT account_id, seq FROM proved")).fetchall()
    return {row["account_id"]: row["seq"] for row in rows}


async def two(relay: Relay) -> tuple[str, str]:
    """Two accounts with money, credits and usage."""
    accounts = [await relay.account(), await relay.account()]
    for account in accounts:
        await relay.move(account, "10", IN_OCTOBER)
        await relay.use(account, IN_OCTOBER, IN_OCTOBER, upstream="azure")
        await relay.use(account, "2026-10-06T08:00:00Z")
    return accounts[0], accounts[1]


async def test_of_one_account_only_its_rows_are_looked_at(own_relay: Relay) -> None:  # noqa: F811
    one, other = await two(own_relay)
    await own_relay.invoiced("2026-10", one)
    await own_relay.invoiced("2026-10", other)
    async with own_relay.pool.connection() as conn:
        claims: list[str] = []
        assert await proof.differences(conn, lambda claim, _found: claims.append(claim), Scope("full", one)) == []
        assert "Invoices are numbered without gaps" not in claims
        assert len(claims) == len(proof.CHECKS) - 3
        assert await marks(conn) == {one: 4}
        await unguarded(conn)
        await conn.execute("UPDATE balances SET posted = 7 WHERE account_id = %s", [other])
        await conn.execute("UPDATE charges SET amount = 7 WHERE account_id = %s", [other])
        assert await proof.differences(conn, scope=Scope("full", one)) == []
        found = await proof.differences(conn, scope=Scope("full", other))
        assert any("has a balance of 7.0" in difference for difference in found)
        assert not [difference for difference in found if one in difference or "Not proved" in difference]
        left = await conn.execute("SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind <> 'i'")
        assert left.rowcount == 0


async def test_what_is_new_is_looked_at_and_goes_on_from_what_was_proved(own_relay: Relay) -> None:  # noqa: F811
    one, other = await two(own_relay)
    async with own_relay.pool.connection() as conn:
        assert await proof.differences(conn) == []
        assert await marks(conn) == {one: 3, other: 3}
        assert await proof.differences(conn, scope=INCREMENTAL) == []
        await own_relay.use(one, "2026-10-07T08:00:00Z", IN_OCTOBER)
        await own_relay.move(one, "-1", IN_OCTOBER, kind="adjustment")
        third = await own_relay.account()
        await own_relay.use(third, IN_OCTOBER)
        assert await proof.differences(conn, scope=INCREMENTAL) == []
        assert await marks(conn) == {one: 5, other: 3, third: 1}


TAMPERED = {
    "a new charge": ("UPDATE charges SET amount = amount + 1 WHERE transaction = {new}", "its events were charged"),
    "a new charge's factors": ("UPDATE charges SET quantities = '{{1, 1}}' WHERE transaction = {new}", "factors make"),
    "a new charge gone": ("DELETE FROM charges WHERE transaction = {new}", "its events were charged 0"),
    "a new event gone": (
        "DELETE FROM events WHERE id IN (SELECT id FROM charges WHERE transaction = {new})",
        "its events were charged 0",
    ),
    "a new body": (
        """UPDATE events SET body = body || '{{"user": "x"}}'
           WHERE id IN (SELECT id FROM charges WHERE transaction = {new})""",
        "another content",
    ),
    "a new posting": ("UPDATE postings SET amount = amount + 1 WHERE transaction = {new}", "it should be number 4"),
    "a new chain": ("UPDATE postings SET chain = sha256(chain) WHERE transaction = {new}", "(number 4) is not what"),
    "the last one proved": (
        "UPDATE postings SET chain = sha256(chain) WHERE seq = 3",
        "Transaction number 3 of account",
    ),
    "the last one proved gone": ("DELETE FROM postings WHERE seq = 3", "is not what it was when it was proved"),
    "the chain begun anew": (
        "UPDATE postings SET chain = NULL; UPDATE balances SET chain = NULL",
        "is not what it was when it was proved",
    ),
    "a balance": ("UPDATE balances SET posted = posted + 1", "but its postings sum up to"),
    "an event nobody was charged for": (
        "INSERT INTO events (account_id, time, source, id, body) "
        "SELECT account_id, time, source, 'x', body FROM events LIMIT 1",
        "is kept, but was never charged",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
async def test_tampering_with_what_is_new_is_named(own_relay: Relay, what: str) -> None:  # noqa: F811
    one, _ = await two(own_relay)
    statement, sentence = TAMPERED[what]
    async with own_relay.pool.connection() as conn:
        assert await proof.differences(conn) == []
        await own_relay.use(one, "2026-10-07T08:00:00Z")
        newest = await (await conn.execute("SELECT max(transaction) AS n FROM postings")).fetchone()
        assert newest is not None
        await unguarded(conn)
        for change in statement.split("; "):
            await conn.execute(sql.SQL(change).format(new=sql.Literal(newest["n"])))
        for scope in (INCREMENTAL, proof.WHOLE_BOOK):
            found = await proof.differences(conn, scope=scope)
            assert [difference for difference in found if sentence in difference] or scope.mode == "full", found
            assert found
            assert not [difference for difference in found if "Not proved" in difference]
        assert (await marks(conn))[one] == 3


async def test_the_service_proves_all_of_it_now_and_then_and_after_a_difference(own_relay: Relay) -> None:  # noqa: F811
    await two(own_relay)
    async with own_relay.pool.connection() as conn:
        assert await proof.next_scope(conn, 7) == proof.WHOLE_BOOK
        assert await proof.differences(conn) == []
        assert await proof.next_scope(conn, 7) == INCREMENTAL
        assert await proof.next_scope(conn, 0) == proof.WHOLE_BOOK
        await conn.execute("UPDATE balances SET posted = posted + 1")
        assert await proof.differences(conn, scope=INCREMENTAL) != []
        assert await proof.next_scope(conn, 7) == proof.WHOLE_BOOK
        await conn.execute("UPDATE balances SET posted = posted - 1")
        assert await proof.differences(conn) == []
        assert await proof.next_scope(conn, 7) == INCREMENTAL


async def in_october(conn: Connection) -> None:
    """As if all that is booked had been booked in October."""
    await unguarded(conn)
    await partitions.ensure(conn, datetime(2026, 10, 15, tzinfo=UTC))
    await conn.execute("UPDATE events SET received_at = '2026-10-20Z'")
    await conn.execute("UPDATE postings SET posted_at = '2026-10-20Z'")
    await conn.execute("ALTER TABLE postings ENABLE TRIGGER USER")


async def test_what_is_dropped_is_missed_by_nobody(own_relay: Relay) -> None:  # noqa: F811
    one, other = await two(own_relay)
    november = datetime(2026, 11, 1, tzinfo=UTC)
    async with own_relay.pool.connection() as conn:
        await in_october(conn)
        for why in ("6 are of periods that are not closed", "the whole book has not been proved since"):
            month, *_ = await retention.drop(conn, november)
            assert (month.events, month.dropped, month.needed and why in month.needed) == (6, False, True), month
            for account in (one, other):
                await own_relay.close("2026-10", account)
        assert await proof.differences(conn) == []
        assert [month.dropped for month in await retention.drop(conn, november, dry_run=True)] == [False]
        assert [month.dropped for month in await retention.drop(conn, november)] == [True]
        assert await retention.drop(conn, november) == []
        assert await proof.differences(conn) == []
        assert await proof.differences(conn, scope=INCREMENTAL) == []
        charge = await (await conn.execute("SELECT * FROM charges WHERE account_id = %s", [one])).fetchone()
        assert charge is not None
        [seen] = await reads.find(conn, event_id=charge["id"], source=None, account_id=one)
        assert seen.event is None
        assert seen.charge != "0"
        await conn.execute("ALTER TABLE usage_rollups DISABLE TRIGGER USER")
        await conn.execute("UPDATE usage_rollups SET evidence = sha256(evidence) WHERE account_id = %s", [one])
        assert any("has evidence that is not the hash" in difference for difference in await proof.differences(conn))
        await conn.execute("DELETE FROM charges WHERE id = %s", [charge["id"]])
        assert any("6 were dropped, but 5 were charged" in difference for difference in await proof.differences(conn))


async def test_an_event_dropped_long_ago_is_still_a_duplicate(own_relay: Relay) -> None:  # noqa: F811
    account = await own_relay.account()
    sent = event(account, "old", time=IN_OCTOBER, upstream={"name": "azure"})
    [first] = await own_relay.intake.post(batch(sent))
    async with own_relay.pool.connection() as conn:
        await in_october(conn)
        await own_relay.close("2026-10", account)
        assert await proof.differences(conn) == []
        await retention.drop(conn, datetime(2026, 11, 1, tzinfo=UTC))
        left = await conn.execute("SELECT FROM events")
        assert left.rowcount == 0
    [again] = await own_relay.intake.post(batch(sent))
    assert (first.status, again.status) == ("accepted", "duplicate")
    for change in ({"model": "gpt-4o"}, {"upstream": {"name": "aws"}}):
        [other] = await own_relay.intake.post(batch({**sent, **change}))
        assert other.status == "conflict"


async def test_what_waits_for_review_is_not_dropped(own_relay: Relay) -> None:  # noqa: F811
    account = await own_relay.account()
    await own_relay.intake.post(batch(event(account, "a", time=IN_OCTOBER), event(account, "b", model="no-such-model")))
    async with own_relay.pool.connection() as conn:
        await in_october(conn)
        await own_relay.close("2026-10", account)
        assert await proof.differences(conn) == []
        [month] = await retention.drop(conn, datetime(2026, 11, 1, tzinfo=UTC))
        assert month.needed == "1 wait for review"


def test_the_months_kept_are_counted_over_the_end_of_a_year() -> None:
    now = datetime(2027, 2, 3, 4, tzinfo=UTC)
    assert retention.oldest_kept(now, 0) == datetime(2027, 2, 1, tzinfo=UTC)
    assert retention.oldest_kept(now, 2) == datetime(2026, 12, 1, tzinfo=UTC)
    assert retention.oldest_kept(now, 14) == datetime(2025, 12, 1, tzinfo=UTC)


async def test_a_book_is_looked_at_some_accounts_at_a_time(
    own_relay: Relay,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody's rows are left out: of the first, of the last, of one that has balances or charges only."""
    monkeypatch.setattr(proof, "CHARGES_AT_ONCE", 3)
    accounts = sorted([*await two(own_relay), *await two(own_relay), await own_relay.account()])
    begun: list[str] = []
    async with own_relay.pool.connection() as conn:
        assert await proof.differences(conn, begun=begun.append) == []
        assert begun[0] == "Every balance is the sum of its postings (1 of 5)"
        assert set(await marks(conn)) == {account for account in accounts if await used(conn, account)}
        await unguarded(conn)
        await conn.execute("UPDATE balances SET posted = 7")
        await conn.execute("ALTER TABLE charges DISABLE TRIGGER ALL")
        for stray in ("a", "zzz"):
            await conn.execute(
                "UPDATE charges SET account_id = %s WHERE ctid = (SELECT min(ctid) FROM charges)", [stray]
            )
        found = await proof.differences(conn)
    for account in accounts:
        assert len([line for line in found if f"Account {account} has a balance of 7.0" in line]) == 1, found
    for stray in ("a", "zzz"):
        assert [line for line in found if f"account {stray}," in line], found


async def used(conn: Connection, account: str) -> bool:
    return (await conn.execute("SELECT FROM postings WHERE account_id = %s LIMIT 1", [account])).rowcount == 1


async def test_what_is_posted_between_two_looks_is_no_difference(
    own_relay: Relay,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proof, "CHARGES_AT_ONCE", 1)
    accounts = await two(own_relay)

    async def post() -> None:
        for _ in range(20):
            for account in accounts:
                await own_relay.use(account, IN_OCTOBER)

    posting = asyncio.create_task(post())
    async with own_relay.pool.connection() as conn:
        while not posting.done():
            assert await proof.differences(conn) == []
            assert await proof.differences(conn, scope=INCREMENTAL) == []
    await posting
