"""What an account and a key may spend, from the command line."""

import pytest

from tests.cli.conftest import Billing, printed


@pytest.fixture
def account(billing: Billing) -> str:
    return str(printed(billing("accounts", "create", "Ada", "--json"))["id"])


def test_an_account_is_suspended_resumed_given_credit_and_closed(billing: Billing, account: str) -> None:
    assert billing("accounts", "suspend", account, "--reason", "chargeback").exit_code == 0
    assert "chargeback" in billing("accounts", "show", account).output
    assert billing("accounts", "resume", account).exit_code == 0
    assert "$25.50" in billing("accounts", "credit-limit", account, "25.50").output
    shown = printed(billing("accounts", "show", account, "--json"))
    assert (shown["held"], shown["available"], shown["account"]["suspended_at"]) == ("0", "25.5", None)
    assert billing("accounts", "close", account, "--yes").exit_code == 0
    late = billing("top-up", account, "5", "--reference", "late")
    assert (late.exit_code, "is closed since" in late.stderr) == (1, True)


def test_a_key_is_limited_and_shown(billing: Billing, account: str) -> None:
    key = printed(billing("keys", "create", "--account", account, "--json"))["key"]["id"]
    limited = billing(
        "keys", "limit", key, "--day", "5", "--total", "100", "--model", "gpt-4*", "--ip", "192.0.2.7", "--json"
    )
    shown = printed(limited)
    assert shown["limits"] == {"day": "5", "month": None, "total": "100"}
    assert (shown["models"], shown["ips"]) == (["gpt-4*"], ["192.0.2.7/32"])
    assert shown["spent"] == {"day": "0", "month": "0", "total": "0"}
    lifted = printed(billing("keys", "limit", key, "--day", "none", "--model", "none", "--json"))
    assert (lifted["limits"], lifted["models"]) == ({"day": None, "month": None, "total": "100"}, None)
    people = billing("keys", "limit", key)
    assert "192.0.2.7/32" in people.output


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("accounts", "credit-limit", "acct_x", "-5"), 2, "No such option"),
        (("accounts", "credit-limit", "acct_x", "lots"), 2, "credit_limit"),
        (("accounts", "suspend", "acct_nobody"), 1, "There is no account acct_nobody."),
        (("accounts", "close", "acct_nobody", "--yes"), 1, "There is no account acct_nobody."),
        (("keys", "limit", "key_none", "--day", "1"), 1, "There is no key key_none."),
        (("keys", "limit", "key_none", "--day", "-1"), 2, "day"),
        (("keys", "limit", "key_none", "--ip", "here"), 1, "A network looks like"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_with_a_sentence(
    billing: Billing, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    result = billing(*arguments)
    assert (result.exit_code, sentence in result.stderr) == (code, True), result.stderr
