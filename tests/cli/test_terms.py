"""Terms from the command line: the same rules as over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest

from tests.cli.conftest import Billing, printed

SINCE = ("--from", "2026-10-01")


@pytest.fixture
def url(clone: Callable[[], str]) -> str:
    """A database of each test's own: terms are everybody's."""
    return clone()


@pytest.fixture
def account(billing: Billing) -> str:
    return str(printed(billing("accounts", "create", "Ada", "--json"))["id"])


def test_terms_that_are_added_are_listed_and_hold(billing: Billing, account: str) -> None:
    assert "There are no special terms." in billing("terms").output
    assert billing("terms", "create-plan", "wholesale").exit_code == 0
    joined = billing("terms", "join", account, "--plan", "wholesale", *SINCE).output
    assert joined.strip() == f"{account} is on the plan wholesale from 2026-10-01 00:00:00Z on."
    multiplier = ("terms", "multiplier", "0.40", "--plan", "wholesale", "--reason", "volume", *SINCE)
    assert "The multiplier of plan wholesale is 0.4 from 2026-10-01 00:00:00Z on." in billing(*multiplier).output
    policy = printed(billing("terms", "policy", "lower", "--account", account, "--reason", "[b]17", "--json"))
    assert (policy["policy"], policy["account"], policy["actor"]) == ("lower", account, "cli")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(policy["effective_from"])).total_seconds()) < 60

    shown = printed(billing("accounts", "show", account, "--json"))["terms"]
    assert shown == {"plan": "wholesale", "multiplier": "0.4", "verification_policy": "lower"}
    listed = printed(billing("terms", "list", "--json"))
    assert listed["plans"] == ["wholesale"]
    assert [row["multiplier"] for row in listed["multipliers"]] == ["0.4"]
    assert listed["policies"] == [policy]
    people = billing("terms").output
    for text in ("plan wholesale", "0.4", "volume", account, "lower", "[b]17", "Plans: wholesale."):
        assert text in people


def test_none_ends_special_terms_and_standard_a_plan(billing: Billing, account: str) -> None:
    ours = ("--account", account, "--reason", "trial")
    for given in ("0.4", "none"):
        assert billing("terms", "multiplier", given, *ours, *SINCE).exit_code == 0
    for given in ("counted", "none"):
        assert billing("terms", "policy", given, *ours, *SINCE).exit_code == 0
    billing("terms", "create-plan", "free")
    billing("terms", "join", account, "--plan", "free", *SINCE)
    assert "on the standard terms from" in billing("terms", "join", account, "--standard").output
    shown = printed(billing("accounts", "show", account, "--json"))["terms"]
    assert shown == {"plan": None, "multiplier": "0.5", "verification_policy": "reported"}


def test_factors_of_upstreams_are_added(billing: Billing) -> None:
    said = [
        billing("terms", "factor", upstream, factor, "--reason", "their list", *SINCE).output
        for upstream, factor in (("azure/eu", "0.30"), ("*", "1"), ("azure/eu", "none"))
    ]
    assert [sentence.strip() for sentence in said] == [
        "The factor of upstream azure/eu is 0.3 from 2026-10-01 00:00:00Z on.",
        "The factor of all other upstreams is 1 from 2026-10-01 00:00:00Z on.",
        "The factor of upstream azure/eu is none from 2026-10-01 00:00:00Z on.",
    ]
    listed = printed(billing("terms", "list", "--json"))["factors"]
    assert [(row["upstream"], row["factor"]) for row in listed] == [("azure/eu", None), ("*", "1"), ("azure/eu", "0.3")]


def test_running_processes_learn_of_it(billing: Billing, url: str) -> None:
    def version() -> int:
        with psycopg.connect(url) as conn:
            row = conn.execute("SELECT version FROM terms_version").fetchone()
        assert row is not None
        return int(row[0])

    before = version()
    billing("terms", "factor", "cheap", "0.3", "--reason", "their list")
    assert version() == before + 1


WHY = ("--reason", "r")


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("create-plan", "No Such Name"), 2, "A plan's id is small letters"),
        (("join", "acct_x"), 2, "Say where to"),
        (("join", "acct_x", "--plan", "a", "--standard"), 2, "Say where to"),
        (("join", "acct_nobody", "--standard"), 1, "There is no account acct_nobody"),
        (("multiplier", "0.4", *WHY), 2, "Say whose it is"),
        (("multiplier", "0.4", *WHY, "--plan", "a", "--account", "acct_a"), 2, "Say whose it is"),
        (("multiplier", "11", *WHY, "--plan", "a"), 2, "A multiplier is a number from 0 to 10"),
        (("multiplier", "0.4", "--reason", "", "--plan", "a"), 2, "reason: Expected `str` of length >= 1"),
        (("multiplier", "0.4", *WHY, "--plan", "nobody"), 1, "There is no plan nobody."),
        (("policy", "higher", *WHY, "--plan", "a"), 2, "'higher' is not one of"),
        (("policy", "lower", *WHY, "--account", "acct_nobody"), 1, "There is no account acct_nobody."),
        (("factor", "u", "0.4"), 2, "Missing option '--reason'"),
        (("factor", "u", "1e3", *WHY), 2, "A factor is a number from 0 to 10"),
        (("factor", "", "1", *WHY), 2, "upstream: Expected `str` of length >= 1"),
        (("factor", "u", "1", *WHY, "--from", "1999-01-01"), 2, "must lie in the years from 2000 to 2199"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_with_a_sentence(
    billing: Billing, arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    result = billing("terms", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert sentence in result.stderr
