"""Quotes, prices and explained charges: calculations that a person can follow, with arithmetic to check them."""

from asyncio import to_thread
from fractions import Fraction

import msgspec
import pytest
from click.testing import CliRunner, Result

from billing.cli import main
from billing.db.pool import open_pool
from billing.metering.events import JSON, read
from billing.metering.intake import Intake
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book
from tests import factories
from tests.cli.conftest import Billing, printed

pytestmark = pytest.mark.anyio
PURE = {"BILLING_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
"""No database is there, and none is asked for."""


def pure(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env=PURE)


def lines(text: str) -> list[str]:
    """Without the blanks that only align."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_a_quote_is_a_calculation() -> None:
    result = pure("quote", "gpt-4", "--input", "19", "--output", "106", "--at", "2026-10-01")
    assert result.exit_code == 0, result.output
    assert lines(result.output)[:5] == [
        "gpt-4 at 2026-10-01 00:00Z",
        "input 19 tokens ÷ 1,000,000 × $30.00 × 0.5 = $0.000285",
        "output 106 tokens ÷ 1,000,000 × $60.00 × 0.5 = $0.003180",
        "─────────",
        "charge $0.003465",
    ]
    assert "gpt-4/input@2023-03-14" in result.output


def test_the_published_row_is_quoted_exactly() -> None:
    quote = printed(pure("quote", "gpt-4-1106-preview", "--input", "1000", "--output", "1000", "--json"))
    assert [line["amount"] for line in quote["lines"]] == ["0.005", "0.01"]
    assert quote["amount"] == "0.015"


@pytest.mark.parametrize(
    ("model", "usage", "amount"),
    [
        ("dall-e-3", '{"n":2,"size":"1024x1792","quality":"hd"}', 2 * Fraction("0.12") / 2),
        ("tts-1-hd", '{"characters":4096}', 4096 * Fraction(30) / 1_000_000 / 2),
        ("text-embedding-ada-002", '{"prompt_tokens":8,"total_tokens":8}', 8 * Fraction("0.1") / 1_000_000 / 2),
        ("gpt-4o", '{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens":0}', None),
    ],
)
def test_any_spelling_of_usage_is_quoted(model: str, usage: str, amount: Fraction | None) -> None:
    quote = printed(pure("quote", model, "--usage", usage, "--json"))
    recomputed = sum(
        Fraction(line["quantity"], line["unit_size"])
        * Fraction(line["official_unit_price"])
        * Fraction(line["multiplier"])
        for line in quote["lines"]
    )
    assert Fraction(quote["amount"]) == recomputed
    assert amount is None or recomputed == amount


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("gpt-44", "--input", "1"), 1, "No price is known for the model 'gpt-44'. The nearest known names are gpt-4"),
        (("gpt-4", "--usage", '{"prompt_tokens":-1}'), 1, "The usage is not acceptable"),
        (("gpt-4", "--usage", "{"), 1, "The usage is not acceptable"),
        (("gpt-4",), 2, "Say what is used"),
        (("gpt-4", "--input", "1", "--usage", "{}"), 2, "Say what is used"),
        (("gpt-4", "--input", "-1"), 2, "not in the range"),
        (("dall-e-3", "--usage", '{"n":1,"size":"7x7"}'), 1, "7x7"),
    ],
)
def test_what_cannot_be_quoted_is_said(arguments: tuple[str, ...], code: int, sentence: str) -> None:
    result = pure("quote", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in result.stderr


def test_prices_are_those_of_their_day() -> None:
    def turbo(day: str) -> list[tuple[str, str]]:
        found = printed(pure("prices", "gpt-3.5-turbo", "--at", day, "--json"))
        return [(price["official_unit_price"], price["unit_price"]) for price in found if not price["variant"]]

    assert turbo("2023-05-01") == [("2", "1"), ("2", "1")]
    assert turbo("2026-10-01") == [("0.5", "0.25"), ("1.5", "0.75")]
    people = pure("prices", "dall-e-3")
    assert "image hd:1024x1792 $0.12 0.5 $0.06 image" in " ".join(people.output.split())


def test_all_prices_are_listed_and_an_unknown_model_is_not() -> None:
    found = {price["model"] for price in printed(pure("prices", "--json"))}
    assert {"gpt-4", "tts-1-hd-1106", "dall-e-2"} <= found
    result = pure("prices", "nothing-like-it")
    assert (result.exit_code, "No price is known for the model 'nothing-like-it'" in result.stderr) == (1, True)


@pytest.fixture
async def account(url: str, settings: Settings) -> str:
    """A customer with a usual event, a failed one, one without a price, and two that share a name."""
    pool = await open_pool(settings, url)
    async with pool:
        async with pool.connection() as conn:
            account = await factories.account(conn)
        usage = {"prompt_tokens": 19, "completion_tokens": 10}
        plain = {"source": "gw", "time": "2026-10-05T08:00:00Z", "account": account, "model": "gpt-4", "usage": usage}
        made = [
            {**plain, "id": f"usual-{account}", "user": "user-7"},
            {**plain, "id": f"failed-{account}", "status": 500, "ended": "failed", "usage": None},
            {**plain, "id": f"unpriced-{account}", "model": "gpt-99"},
            {**plain, "id": f"twin-{account}"},
            {**plain, "id": f"twin-{account}", "source": "gw-2"},
        ]
        intake = Intake(pool, TermsKeeper(book.load(), "0.5"), settings)
        results = await intake.post(read(msgspec.json.encode(made), JSON, 10))
        assert [result.status for result in results] == ["accepted", "accepted", "unpriced", "accepted", "accepted"]
    return account


async def test_an_event_is_explained_to_people_and_programs(billing: Billing, account: str) -> None:
    charge = 19 * Fraction(15) / 1_000_000 + 10 * Fraction(30) / 1_000_000
    people = await to_thread(billing, "explain", f"usual-{account}")
    assert people.exit_code == 0, people.output
    said = lines(people.output)
    assert f"account {account}" in said
    assert "input 19 tokens ÷ 1,000,000 × $30.00 × 0.5 = $0.000285" in said
    assert "output 10 tokens ÷ 1,000,000 × $60.00 × 0.5 = $0.000300" in said
    assert "charge $0.000585" in said
    assert "user user-7" in said
    assert any(line.startswith("wallet revenue $") for line in said)
    event = printed(await to_thread(billing, "explain", f"usual-{account}", "--json"))
    assert Fraction(event["charge"]) == charge


async def test_why_nothing_is_charged_is_said(billing: Billing, account: str) -> None:
    failed = await to_thread(billing, "explain", f"failed-{account}")
    assert "The request failed and nothing was delivered, so nothing is charged." in failed.output
    unpriced = await to_thread(billing, "explain", f"unpriced-{account}")
    assert "Nobody knows a price for its model, so it waits for review and is not billed." in unpriced.output
    assert "no price is known" in unpriced.output


async def test_an_event_has_to_be_named_clearly(billing: Billing, account: str) -> None:
    twins = await to_thread(billing, "explain", f"twin-{account}")
    assert twins.exit_code == 1
    assert "More than one event is called" in twins.stderr
    assert f"--account {account} --source gw" in twins.stderr
    assert (await to_thread(billing, "explain", f"twin-{account}", "--source", "gw-2")).exit_code == 0
    nobody = await to_thread(billing, "explain", "nothing", "--source", "gw")
    assert (nobody.exit_code, nobody.stderr.strip()) == (1, "Error: There is no event nothing of source gw.")
