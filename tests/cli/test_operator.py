"""Accounts, keys and top-ups from the command line: the same rules as over HTTP."""

import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from billing import ids
from tests.cli.conftest import Billing, printed


@pytest.fixture
def account(billing: Billing) -> str:
    return str(printed(billing("accounts", "create", "Ada & Söhne", "--time-zone", "Europe/Berlin", "--json"))["id"])


def test_an_account_is_made_listed_and_shown(billing: Billing, account: str) -> None:
    listed = printed(billing("accounts", "list", "--json"))
    assert listed[0]["account"]["id"] == account
    assert listed[0]["balance"] == "0"
    shown = printed(billing("accounts", "show", account, "--json"))
    assert (shown["account"]["name"], shown["account"]["time_zone"]) == ("Ada & Söhne", "Europe/Berlin")
    assert shown["keys"] == []
    assert shown["terms"] == {"plan": None, "multiplier": "0.5", "verification_policy": "reported"}
    for people in (billing("accounts"), billing("accounts", "show", account)):
        assert people.exit_code == 0
        assert "Ada & Söhne" in people.output
        assert "$0.00" in people.output


def test_more_accounts_than_a_page_are_listed(billing: Billing, account: str) -> None:
    first = printed(billing("accounts", "list", "--limit", "1", "--json"))
    assert [one["account"]["id"] for one in first] == [account]
    billing("accounts", "create", "another")
    people = billing("accounts", "list", "--limit", "1")
    assert "--limit 10 shows them" in people.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("accounts", "create", "X", "--time-zone", "Europe/Berln"), "There is no time zone 'Europe/Berln'"),
        (("accounts", "create", "X", "--id", "acme"), "An account's id is acct_ and letters"),
        (("accounts", "create", ""), "name: Expected `str` of length >= 1"),
        (("keys", "create"), "Say whose key it is to be"),
        (("keys", "create", "--scope", "admin", "--account", "acct_x"), "Say whose key it is to be"),
        (("keys", "create", "--scope", "admin", "--expires-at", "2020-01-01"), "would have expired already"),
        (("keys", "create", "--scope", "admin", "--expires-at", "soon"), "must be a day such as 2026-11-01"),
        (("top-up", "acct_x", "0", "--reference", "a"), "must be more than zero"),
        (("top-up", "acct_x", "-5", "--reference", "a"), "No such option"),
        (("top-up", "acct_x", "1e3", "--reference", "a"), "An amount is plain dollars"),
        (("top-up", "acct_x", "1"), "Missing option '--reference'"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_with_a_sentence(
    billing: Billing, arguments: tuple[str, ...], sentence: str
) -> None:
    result = billing(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("accounts", "show", "acct_nobody"), "There is no account acct_nobody."),
        (("keys", "list", "--account", "acct_nobody"), "There is no account acct_nobody."),
        (("keys", "create", "--account", "acct_nobody"), "There is no account acct_nobody."),
        (("keys", "revoke", "key_none"), "There is no key key_none."),
        (("top-up", "acct_nobody", "5", "--reference", "a"), "There is no account acct_nobody."),
    ],
)
def test_what_does_not_exist_is_named(billing: Billing, arguments: tuple[str, ...], sentence: str) -> None:
    result = billing(*arguments)
    assert (result.exit_code, result.stderr.strip()) == (1, f"Error: {sentence}")


def test_an_account_is_made_once(billing: Billing, account: str) -> None:
    result = billing("accounts", "create", "Ada", "--id", account)
    assert (result.exit_code, result.stderr.strip()) == (1, f"Error: There is an account {account} already.")


def test_a_customers_key_is_made_shown_once_and_revoked(billing: Billing, account: str) -> None:
    made = billing("keys", "create", "--account", account, "--name", "web")
    assert re.fullmatch(r"idr_[0-9A-Za-z]{49}\n", made.stdout)  # alone there, to be piped
    assert "shown this once" in made.stderr
    [key] = printed(billing("keys", "list", "--account", account, "--json"))
    assert (key["name"], key["scope"], key["hint"], key["revoked_at"]) == ("web", "customer", made.stdout[-5:-1], None)
    assert made.stdout.strip() not in billing("keys", "list", "--account", account).output

    assert printed(billing("keys", "revoke", key["id"], "--json"))["revoked_at"] is not None
    assert "revoked" in billing("keys", "list", "--account", account).output
    assert f"{key['id']} is revoked since" in billing("keys", "revoke", key["id"]).output
    assert "(revoked)" in billing("accounts", "show", account).output


def test_a_gateways_key_may_expire(billing: Billing) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    arguments = ("keys", "create", "--scope", "gateway", "--expires-at", tomorrow.isoformat(), "--json")
    issued = printed(billing(*arguments))
    assert issued["secret"].startswith("idr_")
    assert datetime.fromisoformat(issued["key"]["expires_at"]) == tomorrow
    assert issued["key"] in printed(billing("keys", "list", "--json"))
    assert f"valid until {tomorrow:%Y-%m-%d %H:%M}Z" in billing("keys").output


def test_a_payment_is_booked_once(billing: Billing, account: str) -> None:
    payment = ("top-up", account, "25.50", "--reference", ids.new("wire"))
    first = billing(*payment)
    assert first.output.split() == f"Booked $25.50 for {account}: its balance is now $25.50.".split()
    again = billing(*payment)
    assert again.exit_code == 0
    assert "was booked already" in again.output
    assert "Nothing was booked again" in again.output
    assert printed(billing("accounts", "show", account, "--json"))["balance"] == "25.5"

    other = billing("top-up", account, "26", "--reference", payment[-1])
    assert other.exit_code == 1
    assert "is booked for" in other.stderr
    assert "Another payment needs another --reference" in other.stderr
    with_key = billing("top-up", account, "26", "--reference", payment[-1], "--idempotency-key", "another")
    assert with_key.exit_code == 0
    assert printed(billing("accounts", "show", account, "--json"))["balance"] == "51.5"


def test_a_payment_counts_from_its_day(billing: Billing, account: str) -> None:
    arguments = ("top-up", account, "10", "--reference", "a", "--effective-at", "2026-10-01", "--json")
    assert printed(billing(*arguments))["effective_at"] == "2026-10-01T00:00:00Z"
    future = billing("top-up", account, "10", "--reference", "b", "--effective-at", "2126-10-01")
    assert (future.exit_code, "booked into the future" in future.stderr) == (1, True)


def test_credit_is_given_once_for_each_reference(billing: Billing, account: str) -> None:
    given = ("grant", account, "5", "--category", "promotional", "--reference", ids.new("campaign"))
    first = billing(*given, "--expires-at", "2199-01-01")
    assert "has $5.00 of promotional credit from" in first.stdout
    again = printed(billing(*given, "--expires-at", "2199-01-01", "--json"))
    assert (again["state"], again["remaining"], again["expires_at"]) == ("active", "5", "2199-01-01T00:00:00Z")
    other = billing(*given, "--expires-at", "2198-01-01")
    assert other.exit_code == 1
    assert "stands for another grant" in other.stderr
    for arguments, sentence in {
        ("--category", "free"): "'free' is not one of",
        ("--category", "paid", "--priority", "-1"): "priority",
        ("--category", "paid", "--expires-at", "2020-01-01"): "expires_at must be later than now",
    }.items():
        refused = billing("grant", account, "5", "--reference", "x", *arguments)
        assert refused.exit_code in (1, 2)
        assert sentence in refused.stderr


def test_a_command_says_what_to_do_before_the_migrations(
    billing: Billing, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(fresh_database, autocommit=True) as conn:
        conn.execute("DELETE FROM alembic_version")
    monkeypatch.setenv("BILLING_DATABASE_URL", fresh_database)
    result = billing("accounts")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "run `billing migrate`" in result.stderr  # the refusal not_migrated, as a command tells it
