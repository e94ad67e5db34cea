"""The proof names every difference: each test tampers with one thing, with the guards off, in a book that was right."""

import pytest
from psycopg import sql

from billing import proof
from billing.db.pool import Connection, Pool
from billing.metering.intake import Intake
from billing.metering.rerate import rerate
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book
from tests import factories
from tests.invoices.conftest import Relay
from tests.metering.events import batch, event

pytestmark = pytest.mark.anyio

AT = "2026-10-05T08:00:00Z"
TABLES = ("balances", "postings", "charges", "prices", "invoices", "invoice_lines")
BROKEN = "was not charged as its body says: it has another"

# One change of every column that any sum or hash hangs on, and what is said of it.
TAMPERED = {
    # The roll-ups. `UPDATE … WHERE` finds the one with three events in three batches, or all of them.
    "usage_rollups.account_id": (
        "UPDATE usage_rollups SET account_id = 'acct_x' WHERE events = 3",
        ["is missing", "no such charges"],
    ),
    "usage_rollups.billed": ("UPDATE usage_rollups SET billed = billed + '15 min'", ["is missing", "no such charges"]),
    "usage_rollups.slot": ("UPDATE usage_rollups SET slot = slot - interval '15 min'", ["is missing"]),
    "usage_rollups.price_id": ("UPDATE usage_rollups SET price_id = price_id + 90", ["is missing", "no such charges"]),
    "usage_rollups.key_id": ("UPDATE usage_rollups SET key_id = 'key_x'", ["is missing", "key key_x"]),
    "usage_rollups.upstream": ("UPDATE usage_rollups SET upstream = 'x'", ["is missing", "upstream x, says"]),
    "usage_rollups.events": ("UPDATE usage_rollups SET events = events + 1", ["says events 4, but its charges 3"]),
    "usage_rollups.requests": ("UPDATE usage_rollups SET requests = 7", ["says requests 7, but its charges 3"]),
    "usage_rollups.quantity": ("UPDATE usage_rollups SET quantity = 7", ["says quantity 7, but its charges 57"]),
    "usage_rollups.amount": ("UPDATE usage_rollups SET amount = 7", ["says amount 7.0", "the roll-ups say"]),
    "usage_rollups.first_time": ("UPDATE usage_rollups SET first_time = '2026-10-01Z'", ["says first time 2026-10-01"]),
    "usage_rollups.last_time": ("UPDATE usage_rollups SET last_time = '2026-10-31Z'", ["says last time 2026-10-31"]),
    "usage_rollups.evidence": (
        "UPDATE usage_rollups SET evidence = sha256(evidence) WHERE events = 3",
        ["has evidence that is not the hash"],
    ),
    "usage_rollups.evidence of one batch": (
        "UPDATE usage_rollups SET evidence = sha256(evidence) WHERE events = 1",
        ["has evidence that is not the hash"],
    ),
    "a roll-up gone": ("DELETE FROM usage_rollups WHERE events = 3", ["is missing: its charges are 0.00"]),
    # The events as they were kept.
    "events.account_id": ("UPDATE events SET account_id = 'acct_x'", ["charged, but is not kept", "never charged"]),
    "events.source": ("UPDATE events SET source = 'x'", ["charged, but is not kept", "never charged"]),
    "events.id": ("UPDATE events SET id = id || 'x'", ["charged, but is not kept", "kept, but was never charged"]),
    "events.time": ("UPDATE events SET time = time + interval '1 s'", ["was charged for 2026-10-05"]),
    "events.received_at": ("UPDATE events SET received_at = received_at - interval '1 us'", ["was received at"]),
    "events.key_id": ("UPDATE events SET key_id = 'key_x'", ["but is kept with key key_x"]),
    "events.body, its id": ("""UPDATE events SET body = body || '{"id": "x"}'""", [f"{BROKEN} id."]),
    "events.body, its source": ("""UPDATE events SET body = body || '{"source": "x"}'""", [f"{BROKEN} source."]),
    "events.body, its account": ("""UPDATE events SET body = body || '{"account": "x"}'""", [f"{BROKEN} account."]),
    "events.body, its time": (
        """UPDATE events SET body = body || '{"time": "2026-10-05T08:00:01Z"}'""",
        [f"{BROKEN} time."],
    ),
    "events.body, its model": ("""UPDATE events SET body = body || '{"model": "gpt-4o"}'""", [f"{BROKEN} model."]),
    "events.body, its served model": (
        """UPDATE events SET body = body || '{"served_model": "gpt-4o"}'""",
        [f"{BROKEN} model."],
    ),
    "events.body, its usage": (
        """UPDATE events SET body = body || '{"usage": {"prompt_tokens": 1, "completion_tokens": 10}}'""",
        [f"{BROKEN} usage."],
    ),
    "events.body, its cost": (
        """UPDATE events SET body = jsonb_set(body, '{upstream,cost}', '"7"') WHERE id = 'costed'""",
        [f"{BROKEN} cost."],
    ),
    "events.body, no usage": ("UPDATE events SET body = body - 'usage'", [f"{BROKEN} usage."]),
    "events.body, its status": ("UPDATE events SET body = body - 'status'", [f"{BROKEN} content."]),
    "events.body, its user": ("""UPDATE events SET body = body || '{"user": "x"}'""", [f"{BROKEN} content."]),
    "events.body, its upstream": (
        """UPDATE events SET body = body || '{"upstream": {"name": "x"}}'""",
        ["was charged to upstream azure, but says another"],
    ),
    "events.body, nothing left": ("UPDATE events SET body = '{}'", ["has a body that is no event: ValidationError"]),
    "events.body, a time that is none": (
        """UPDATE events SET body = body || '{"time": "2026-99-99T00:00:00Z"}'""",
        ["has a body that is no event: ValidationError"],
    ),
    "an event gone": ("DELETE FROM events WHERE id = 'late'", ["Event late of source gateway-1, account", "not kept"]),
    "an event twice": ("INSERT INTO events SELECT * FROM events WHERE id = 'late'", ["is kept 2 times"]),
    # The charges.
    "charges.account_id": ("UPDATE charges SET account_id = 'acct_x'", ["were charged 0", "is not kept"]),
    "charges.source": ("UPDATE charges SET source = 'x'", ["was charged, but is not kept"]),
    "charges.id": ("UPDATE charges SET id = id || 'x'", ["was charged, but is not kept"]),
    "charges.digest": ("UPDATE charges SET digest = 'x' WHERE id = 'late'", ["has evidence that is not the hash"]),
    "charges.time": ("UPDATE charges SET time = time + interval '1 us'", ["was charged for", "says first time"]),
    "charges.transaction": ("UPDATE charges SET transaction = transaction + 90", ["but its events were charged"]),
    "charges.position": ("UPDATE charges SET position = -position", ["has evidence that is not the hash"]),
    "charges.price_ids": ("UPDATE charges SET price_ids = '{90, 91}'", ["its factors make 0", "price 90"]),
    "charges.quantities": ("UPDATE charges SET quantities = '{1, 1}'", ["its factors make", f"{BROKEN} usage."]),
    "charges.amount": ("UPDATE charges SET amount = 1", ["its events were charged", "was charged 1.0"]),
    "charges.review": ("UPDATE charges SET review = NULL", ["has no price, but does not wait for review"]),
    "charges.review of a price": ("UPDATE charges SET review = 'no_usage'", ["waits for review (no_usage), but has"]),
    "charges.review unknown": ("UPDATE charges SET review = 'x'", ["waits for a review that does not exist: x"]),
    "charges.key_id": ("UPDATE charges SET key_id = 'key_x'", ["key key_x, upstream azure, is missing"]),
    "charges.upstream": ("UPDATE charges SET upstream = 'x'", ["upstream x, is missing", "upstream azure, says"]),
    "charges.corrects": (
        "UPDATE charges SET corrects = 'late' WHERE id = 'e1'",
        ["does not take back what late was charged", "says requests"],
    ),
    # The ledger.
    "balances.chain": ("UPDATE balances SET chain = sha256(chain)", ["The chain of account"]),
    "balances.chain gone": ("UPDATE balances SET chain = NULL", ["ends with nothing"]),
    "postings.chain": (
        "UPDATE postings SET chain = sha256(chain) WHERE seq = 1",
        ["(number 1) is not what", "(number 2)"],
    ),
    "postings.chain gone": ("UPDATE postings SET chain = NULL WHERE seq = 2", ["(number 2) is not what its place"]),
    "balances.posted": ("UPDATE balances SET posted = posted + 1", ["but its postings sum up to"]),
    "balances.transactions": ("UPDATE balances SET transactions = 7", ["counts 7 transactions"]),
    "postings.transaction": ("UPDATE postings SET transaction = transaction + 90", ["events were charged", "posted 0"]),
    "postings.line": ("UPDATE postings SET line = line + 10", ["has 1 postings, numbered from 11 to 11"]),
    "postings.seq": ("UPDATE postings SET seq = seq + 1", ["it should be number"]),
    "postings.kind": ("UPDATE postings SET kind = 'rounding'", ["books rounding from wallet to revenue"]),
    "postings.source": ("UPDATE postings SET source = 'cash'", ["books usage from cash to revenue", "sum up to 0"]),
    "postings.destination": ("UPDATE postings SET destination = 'cash'", ["books usage from wallet to cash"]),
    "postings.amount": ("UPDATE postings SET amount = 7", ["posted 7.0", "postings sum up to"]),
    "postings.balance": ("UPDATE postings SET balance = 7", ["with a balance of 7.0"]),
    "postings.effective_at": (
        "UPDATE postings SET effective_at = effective_at + interval '1 day'",
        ["was posted 0 for usage billed at", "no such charges"],
    ),
    "postings.posted_at": ("UPDATE postings SET posted_at = now() - interval '1 day'", ["but posted at"]),
    # The prices: whatever they say is in their digest.
    **{
        f"prices.{column}": (f"UPDATE prices SET {column} = {value}", ["is not what its digest was made of"])
        for column, value in {
            "digest": "sha256(digest)",
            "model": "'x'",
            "dimension": "'x'",
            "variant": "'x'",
            "unit": "'x'",
            "unit_size": "unit_size * 2",
            "official": "official * 2",
            "multiplier": "multiplier * 2",
            "entry": "entry || 'x'",
            "source": "'x'",
            "book": "'x'",
        }.items()
    },
}


async def used(pool: Pool) -> str:
    """A book with every kind of event: with a key, late, unpriced, failed, empty, bill later, in several batches."""
    intake = Intake(pool, TermsKeeper(book.load(), "0.5"), Settings())
    async with pool.connection() as conn:
        account = await factories.account(conn)
        secret = await factories.key(conn, "customer", account)
        other = await factories.account(conn)
    mine = {"time": AT, "upstream": {"name": "azure"}, "account": ..., "api_key": secret}
    for number in range(3):
        await intake.post(batch(event(account, f"e{number}", **mine)))
    same_quarter_hour = [event(account, f"both{number}", time="2026-10-05T09:00:00.5Z") for number in range(2)]
    await intake.post(batch(*same_quarter_hour, event(other)))
    async with pool.connection() as conn:
        await conn.execute("UPDATE balances SET open_from = '2026-10-01Z' WHERE account_id = %s", [account])
    await intake.post(
        batch(
            event(account, "late", time="2026-09-05T08:00:00.25+02:00"),
            event(account, "unpriced", model="no-such-model"),
            event(account, "no-usage", usage=...),
            event(account, "failed", status=500, usage=...),
            event(account, "costed", time="2026-10-05T11:00:00Z", upstream={"name": "azure", "cost": "0.0001"}),
            event(account, "empty", usage={"prompt_tokens": 0}),
            event(account, "spelled", model="openai/gpt-4"),
            event(account, "azure", model="gpt-35-turbo"),
            event(account, "snapshot", served_model="gpt-4o-2024-08-06"),
            event(account, "seconds", model="whisper-1", usage={"seconds": 1.5}),
            event(account, "tools", usage={"prompt_tokens": 5, "tool_calls": {"web_search": 2}}, model="gpt-4o"),
        )
    )
    return account


async def unguarded(conn: Connection) -> None:
    for table in TABLES:
        await conn.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(sql.Identifier(table)))
    await conn.execute("ALTER TABLE balances DISABLE TRIGGER ALL")


async def test_a_book_that_is_right_has_no_differences(relay_pool: Pool) -> None:
    account = await used(relay_pool)
    text = "model,dimension,tier,context,unit,price,effective_from,effective_to,confidence,source,checked,note"
    rows = [f"no-such-model,{name},,,1M_tokens,1,2020-01-01,,A,x,2026-01-01," for name in ("input", "output")]
    priced = book.load().overlaid("\n".join([text, *rows, ""]))
    intake = Intake(relay_pool, TermsKeeper(priced, "0.5"), Settings())
    assert (await rerate(relay_pool, intake.large, account)).billed == 1
    claims = []
    async with relay_pool.connection() as conn:
        assert await proof.differences(conn, lambda claim, _found: claims.append(claim)) == []
    assert len(claims) == len(proof.CHECKS)


@pytest.mark.parametrize("what", TAMPERED)
async def test_what_is_tampered_with_is_named(relay_pool: Pool, what: str) -> None:
    await used(relay_pool)
    change, sentences = TAMPERED[what]
    async with relay_pool.connection() as conn:
        await unguarded(conn)
        assert await proof.differences(conn) == []
        await conn.execute(change.encode())
        found = await proof.differences(conn)
    for sentence in sentences:
        assert any(sentence in difference for difference in found), (sentence, found)
    assert not [difference for difference in found if "Not proved" in difference]


async def test_many_differences_are_counted_and_few_are_shown(relay_pool: Pool) -> None:
    intake = Intake(relay_pool, TermsKeeper(book.load(), "0.5"), Settings())
    async with relay_pool.connection() as conn:
        account = await factories.account(conn)
    await intake.post(batch(*(event(account, f"e{number:03}") for number in range(50))))
    async with relay_pool.connection() as conn:
        await conn.execute("UPDATE events SET body = '{}'")
        found = await proof.differences(conn)
    assert [place for place, sentence in enumerate(found) if sentence == "… and 30 more like it."] == [20]


async def test_an_invoice_that_cannot_be_read_is_a_difference_and_hides_no_other(relay_pool: Pool) -> None:
    own_relay = Relay(relay_pool, Settings())
    account = await own_relay.account()
    await own_relay.use(account, "2026-10-02T00:00Z")
    await own_relay.invoiced("2026-10", account)
    async with own_relay.pool.connection() as conn:
        await unguarded(conn)
        assert await proof.differences(conn) == []
        await conn.execute("UPDATE invoices SET statement = '{}'")
        await conn.execute("UPDATE invoice_series SET last_sequence = 3")
        found = await proof.differences(conn)
        assert any("its statement says" in difference for difference in found), found
        assert any("the last one taken is 3" in difference for difference in found)
        await conn.execute("""UPDATE invoices SET statement = '{"usage": "much"}'""")
        found = await proof.differences(conn)
    assert any("Not proved" in difference and "InvalidTextRepresentation" in difference for difference in found)
    assert any("the last one taken is 3" in difference for difference in found)


async def test_a_check_that_fails_is_a_difference_and_the_others_go_on(relay_pool: Pool) -> None:
    await used(relay_pool)
    async with relay_pool.connection() as conn:
        await conn.execute("ALTER TABLE usage_rollups RENAME TO lost")
        await conn.execute("UPDATE balances SET posted = 7")
        found = await proof.differences(conn)
    assert any("Not proved" in difference and "UndefinedTable: relation" in difference for difference in found)
    assert any("has a balance of 7.0" in difference for difference in found)


async def test_of_several_processes_one_proves(relay_pool: Pool) -> None:
    async with relay_pool.connection() as one, relay_pool.connection() as other:
        async with one.transaction():
            await one.execute("SELECT pg_advisory_xact_lock(%s)", [proof.PROOF_LOCK])
            assert await proof.differences_unless_proving(other) is None
        assert await proof.differences_unless_proving(other) == []
