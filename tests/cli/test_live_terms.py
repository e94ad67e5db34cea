"""Prices and quotes by the terms in the database, and what `billing prices check --live` has to say about those."""

from asyncio import to_thread

import msgspec
import psycopg
import pytest
from click.testing import CliRunner, Result

from billing.cli import main
from billing.db.pool import open_pool
from billing.settings import Settings
from tests import factories
from tests.cli.conftest import printed

pytestmark = pytest.mark.anyio


def billing(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"BILLING_DATABASE_URL": url})


@pytest.fixture
async def account(fresh_database: str, settings: Settings) -> str:
    """A customer on a plan, with a price of its own, in a database where everybody has one that the book lacks."""
    pool = await open_pool(settings, fresh_database)
    async with pool, pool.connection() as conn:
        account = await factories.account(conn)
        prices = [(None, "gpt-99", "3", ""), (account, "gpt-4", "20", ""), (None, "tts-1", "14", "contract 9")]
        for whose, model, price, note in prices:
            await conn.execute(
                "INSERT INTO price_rows (account_id, model, dimension, tier, context, unit, price, effective_from, "
                "source, note, actor) VALUES (%s, %s, %s, '', '', %s, %s, '2026-01-01', 'test', %s, 'test')",
                [
                    *(whose, model, "input_characters" if model == "tts-1" else "input"),
                    *("1M_characters" if model == "tts-1" else "1M_tokens", price, note),
                ],
            )
        await conn.execute("INSERT INTO plans (id) VALUES ('wholesale')")
        await conn.execute(
            "INSERT INTO account_plans (account_id, plan_id, effective_from, actor) "
            "VALUES (%s, 'wholesale', '2026-01-01', 'test')",
            [account],
        )
        factors = [("0.3", "2026-01-01", "a mistake"), ("0.4", "2026-01-01", "volume"), ("0.6", "2126-01-01", "later")]
        for factor, since, reason in factors:
            await conn.execute(
                "INSERT INTO multipliers (plan_id, multiplier, effective_from, reason, actor) "
                "VALUES ('wholesale', %s, %s, %s, 'test')",
                [factor, since, reason],
            )
        await conn.execute("UPDATE terms_version SET version = version + 1")
    return account


async def test_a_quote_goes_by_the_terms_that_are_asked_for(fresh_database: str, account: str) -> None:
    def quote(*arguments: str) -> Result:
        return billing(fresh_database, "quote", *arguments, "--input", "1000000", "--at", "2026-10-01")

    shipped = await to_thread(quote, "gpt-4", "--json")
    assert printed(shipped)["amount"] == "15"
    assert "the database was not asked" in shipped.stderr
    assert (await to_thread(quote, "gpt-99")).exit_code == 1

    live = await to_thread(quote, "gpt-99", "--live", "--json")
    assert printed(live)["amount"] == "1.5"
    assert "Terms: the database's" in live.stderr
    own = await to_thread(quote, "gpt-4", "--account", account)
    assert "$8.00" in own.stdout
    assert f"Terms: those of {account} in the database: multiplier 0.4, with prices of its own." in own.stdout

    nobody = await to_thread(quote, "gpt-4", "--account", "acct_nobody")
    assert (nobody.exit_code, nobody.stderr.strip()) == (1, "Error: There is no account acct_nobody.")


async def test_prices_go_by_the_terms_that_are_asked_for(fresh_database: str, account: str) -> None:
    def prices(*arguments: str) -> dict[str, str]:
        found = printed(billing(fresh_database, "prices", *arguments, "--at", "2026-10-01", "--json"))
        return {row["model"]: row["unit_price"] for row in found if (row["dimension"], row["variant"]) == ("input", "")}

    shipped, live, own = (
        await to_thread(prices),
        await to_thread(prices, "--live"),
        await to_thread(prices, "--account", account),
    )
    assert "gpt-99" not in shipped
    assert (shipped["gpt-4"], live["gpt-4"], own["gpt-4"]) == ("15", "15", "8")
    assert (live["gpt-99"], own["gpt-99"]) == ("1.5", "1.2")
    people = await to_thread(billing, fresh_database, "prices", "gpt-99", "--live")
    assert "Terms: the database's" in people.stdout


async def test_the_check_looks_at_what_operators_have_added(fresh_database: str, account: str) -> None:
    before = await to_thread(billing, fresh_database, "prices", "check")
    assert (before.exit_code, "wholesale" in before.output) == (0, False)

    checked = await to_thread(billing, fresh_database, "prices", "check", "--live", "--json")
    assert checked.exit_code == 1
    assert "1 of 23 findings have no reason yet" in checked.stderr
    found = [
        (finding["subject"], finding["sentence"], finding["reason"])
        for finding in msgspec.json.decode(checked.stdout)
        if finding["check"] == "multiplier"
    ]
    assert found == [
        ("plan wholesale", "Pays 0.6 of the official price, above 0.5, from 2126-01-01 00:00Z on.", "later"),
        ("plan wholesale", "Pays 0.4 of the official price, below 0.5, from 2026-01-01 00:00Z on.", "volume"),
    ]
    people = (await to_thread(billing, fresh_database, "prices", "check", "--live")).output
    assert f"✗ {account} customer:gpt-4/input@2026-01-01: 20 for 1M_tokens is below the official 30" in people
    assert "• local:tts-1/input_characters@2026-01-01: 14 for 1M_characters is below the official 15" in people
    assert "contract 9" in people


async def test_another_standard_multiplier_is_a_finding(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_MULTIPLIER", "0.6")
    with psycopg.connect(fresh_database):
        result = await to_thread(billing, fresh_database, "prices", "check", "--live")
    assert result.exit_code == 0
    assert "• everybody: Pays 0.6 of the official price, above 0.5, always." in result.output
