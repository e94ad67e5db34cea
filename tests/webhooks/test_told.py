"""What is told, where it happens, in the same transaction."""

from datetime import timedelta
from typing import Any

import pytest

from billing import outbox
from billing.accounts import keys
from billing.accounts import store as accounts
from billing.accounts.store import Changes
from billing.db.pool import Connection
from billing.ledger.store import Posting, post
from billing.outbox import Mismatches
from pricing import money
from tests import factories
from tests.invoices.conftest import Relay
from tests.metering.contents import ANSWER, ANSWER_TOKENS, HELLO, HELLO_TOKENS
from tests.metering.events import batch, event

pytestmark = pytest.mark.anyio

usd = money.parse


async def told(conn: Connection, account: str) -> list[tuple[str, dict[str, Any]]]:
    rows = await conn.execute(
        "SELECT type, data FROM webhook_messages WHERE account_id = %s ORDER BY created_at, type DESC", [account]
    )
    return [(row["type"], row["data"]) for row in await rows.fetchall()]


async def types(conn: Connection, account: str) -> list[str]:
    return [kind for kind, _ in await told(conn, account)]


async def move(conn: Connection, account: str, dollars: str) -> None:
    amount = usd(dollars)
    source, destination = ("cash", "wallet") if amount > 0 else ("wallet", "cash")
    await post(
        conn,
        Posting(account_id=account, kind="top_up", source=source, destination=destination, amount=abs(amount)),
    )


async def test_a_balance_is_low_once_for_each_crossing(conn: Connection) -> None:
    account = await factories.account(conn)
    await move(conn, account, "20")
    await accounts.change(conn, account, Changes(balance_low=usd("5")))
    await move(conn, account, "-15")  # 5 are left: not less than 5
    assert await types(conn, account) == []
    await move(conn, account, "-0.000000000001")
    await move(conn, account, "-1")
    await move(conn, account, "0.5")  # still low
    await move(conn, account, "-0.5")
    [(kind, data)] = await told(conn, account)
    assert kind == "balance.low"
    assert data == {
        "account": account,
        "currency": "USD",
        "posted": "4.999999999999",
        "credit_limit": "0",
        "remaining": "4.999999999999",
        "threshold": "5",
    }
    await move(conn, account, "10")
    await move(conn, account, "-10")
    assert await types(conn, account) == ["balance.low"] * 2


async def test_a_balance_is_depleted_with_its_credit_limit(conn: Connection) -> None:
    account = await factories.account(conn)
    await move(conn, account, "-1")  # there was nothing before: no crossing
    await move(conn, account, "1")
    assert await types(conn, account) == []
    await accounts.change(conn, account, Changes(credit_limit=usd("10")))
    await move(conn, account, "-9.5")
    assert await types(conn, account) == []
    await move(conn, account, "-0.5")
    [(kind, data)] = await told(conn, account)
    assert (kind, data["remaining"], data["posted"], data["threshold"]) == ("balance.depleted", "0", "-10", None)
    await move(conn, account, "-5")
    assert len(await told(conn, account)) == 1
    await accounts.change(conn, account, Changes(credit_limit=usd("20")))
    await accounts.change(conn, account, Changes(credit_limit=0))
    assert await types(conn, account) == ["balance.depleted"] * 2


async def test_one_fall_may_cross_both(conn: Connection) -> None:
    account = await factories.account(conn)
    await move(conn, account, "20")
    await accounts.change(conn, account, Changes(balance_low=usd("5")))
    await move(conn, account, "-25")
    assert await types(conn, account) == ["balance.low", "balance.depleted"]


async def test_a_threshold_above_the_balance_is_told_when_it_is_set(conn: Connection) -> None:
    account = await factories.account(conn)
    await move(conn, account, "3")
    shown = await accounts.change(conn, account, Changes(balance_low=usd("5")))
    assert shown.balance_low == "5"
    await accounts.change(conn, account, Changes(balance_low=usd("4")))  # low before and after
    shown = await accounts.change(conn, account, Changes(balance_low=None))
    assert shown.balance_low is None
    assert await types(conn, account) == ["balance.low"]


async def test_usage_credits_and_what_is_taken_back(relay: Relay, conn: Connection) -> None:
    account = await relay.account()
    await relay.move(account, "0.001", "2026-10-01T00:00Z")
    await relay.use(account, "2026-10-02T00:00Z")  # 19 and 10 tokens of gpt-4: 0.000585
    assert await types(conn, account) == []
    await relay.use(account, "2026-10-02T00:00Z", "2026-10-03T00:00Z")
    [(kind, data)] = await told(conn, account)
    assert (kind, data["remaining"]) == ("balance.depleted", "-0.000755")
    async with conn.transaction(force_rollback=True):
        await move(conn, account, "1")
        await move(conn, account, "-1")
    assert len(await told(conn, account)) == 1


async def test_a_final_invoice_is_told(relay: Relay, conn: Connection) -> None:
    account = await relay.account("Asia/Shanghai")
    await relay.use(account, "2026-10-10T10:00Z", tokens=(1000, 100))
    invoice = await relay.invoiced("2026-10", account)
    await relay.close("2026-10", account)
    [data] = [data for kind, data in await told(conn, account) if kind == "invoice.finalized"]
    assert data["id"] == invoice.id
    assert data["number"] == invoice.number
    assert data["total"] == money.format(invoice.total)
    assert data["period"] == {
        "start": "2026-09-30T16:00:00Z",
        "end": "2026-10-31T16:00:00Z",
        "time_zone": "Asia/Shanghai",
    }


async def test_a_revoked_key_is_told_once(conn: Connection) -> None:
    account = await factories.account(conn)
    made = [(await keys.create(conn, scope="customer", name="k", account_id=account))[0] for _ in range(2)]
    await keys.revoke(conn, made[0].id)
    await keys.revoke(conn, made[0].id)
    [(kind, data)] = await told(conn, account)
    assert (kind, data["key"], data["hint"], data["scope"]) == ("key.revoked", made[0].id, made[0].hint, "customer")
    await accounts.close(conn, account)
    await accounts.close(conn, account)
    assert [data["key"] for _, data in await told(conn, account)] == [key.id for key in made]


async def test_what_is_reported_wrongly_is_told_by_its_batch(relay: Relay, conn: Connection) -> None:
    account = await relay.account()
    content = {"request": HELLO, "response": ANSWER}
    true = {"prompt_tokens": HELLO_TOKENS, "completion_tokens": ANSWER_TOKENS}
    over = {"prompt_tokens": HELLO_TOKENS + 500, "completion_tokens": ANSWER_TOKENS}
    sent = [event(account, "a", usage=true, content=content), event(account, "b", usage=over, content=content)]
    await relay.intake.post(batch(*sent))
    await relay.intake.post(batch(sent[1]))  # a duplicate
    await relay.intake.close()
    [(kind, data)] = await told(conn, account)
    assert (kind, data["over_reported"], data["under_reported"]) == ("verification.mismatch", 1, 0)
    assert 0 < data["excess"] <= 500


async def test_mismatches_of_some_minutes_are_one_message(conn: Connection) -> None:
    account, other = await factories.account(conn), await factories.account(conn)
    async with conn.transaction():  # so that both are of the same span, whatever the clock says
        await conn.execute(
            "CREATE FUNCTION pg_temp.clock_timestamp() RETURNS timestamptz AS 'SELECT now()' LANGUAGE sql"
        )
        await conn.execute("SET LOCAL search_path = pg_temp, public, pg_catalog")
        await outbox.add_mismatches(conn, {account: Mismatches(over_reported=1, excess=30), other: Mismatches(1)})
        await outbox.add_mismatches(
            conn, {account: Mismatches(over_reported=2, excess=5, under_reported=1, shortfall=7)}
        )
    [(kind, data)] = await told(conn, account)
    counts = {name: data[name] for name in ("over_reported", "under_reported", "excess", "shortfall")}
    assert kind == "verification.mismatch"
    assert counts == {"over_reported": 3, "under_reported": 1, "excess": 35, "shortfall": 7}
    assert data["account"] == account
    rows = await conn.execute(
        "SELECT due_at - (data ->> 'to')::timestamptz AS slack, due_at - created_at AS until FROM webhook_messages "
        "WHERE account_id = %s",
        [account],
    )
    [row] = await rows.fetchall()
    assert row["slack"] == timedelta(seconds=10)
    assert row["until"] <= timedelta(minutes=5, seconds=10)
