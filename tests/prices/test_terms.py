"""Whose terms are in force when: an account's own, else its plan's, else the standard ones; what upstreams take."""

from datetime import UTC, datetime

import pytest

from billing.prices.terms import Agreed, Dated, Special, Terms
from pricing.book import Book
from pricing.policies import Policy

APRIL, MAY, JUNE, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (4, 5, 6, 7))


@pytest.fixture
def terms(book: Book) -> Terms:
    """Three have been on the plan `careful`, which has terms of its own; `acct_own` has a policy of its own in June."""
    on_plan = [Dated(MAY, "careful")]
    return Terms(
        version=1,
        standard=Agreed(book, "0.5", "reported"),
        books={"acct_price": book},
        plans={"acct_own": on_plan, "acct_plan": on_plan, "acct_left": [Dated(JUNE, None), *on_plan]},
        multipliers=Special(accounts={"acct_free": [Dated(MAY, "0")]}, plans={"careful": [Dated(JUNE, "0.4")]}),
        policies=Special[Policy](
            accounts={"acct_own": [Dated(JULY, None), Dated(JUNE, "counted")]},
            plans={"careful": [Dated(MAY, "lower")]},
        ),
    )


@pytest.mark.parametrize(
    ("account", "at", "multiplier", "policy"),
    [
        ("acct_nobody", JULY, "0.5", "reported"),
        ("careful", JULY, "0.5", "reported"),  # an account is no plan, whatever it is called
        ("acct_price", JULY, "0.5", "reported"),
        ("acct_free", JULY, "0", "reported"),
        ("acct_plan", MAY, "0.5", "lower"),
        ("acct_plan", JULY, "0.4", "lower"),
        ("acct_left", MAY, "0.5", "lower"),
        ("acct_left", JUNE, "0.5", "reported"),
        ("acct_own", MAY, "0.5", "lower"),
        ("acct_own", JUNE, "0.4", "counted"),
        ("acct_own", JULY, "0.4", "lower"),
    ],
)
def test_an_accounts_own_then_its_plans_then_the_standard(
    terms: Terms, account: str, at: datetime, multiplier: str, policy: Policy
) -> None:
    agreed = terms.of(account, at)
    assert (agreed.multiplier, agreed.policy) == (multiplier, policy)


def test_standard_terms_cost_no_look_at_a_history(terms: Terms) -> None:
    assert terms.of("acct_nobody", MAY) is terms.standard


def test_of_several_from_the_same_instant_the_newest_row_counts(book: Book) -> None:
    rows: list[Dated[Policy]] = [Dated(JUNE, "lower"), Dated(JUNE, "counted")]
    terms = Terms(version=1, standard=Agreed(book, "0.5", "reported"), policies=Special(accounts={"acct_a": rows}))
    assert terms.of("acct_a", JULY).policy == "lower"


HALF_PRICE = {"half/1": [Dated(JULY, None), Dated(MAY, "0.5")]}
OTHERS_TOO: dict[str, list[Dated[str]]] = {**HALF_PRICE, "free": [Dated(MAY, "0")], "*": [Dated(JUNE, "1")]}


@pytest.mark.parametrize(
    ("factors", "upstream", "at", "factor"),
    [
        ({}, "half/1", JUNE, None),
        ({}, None, JUNE, None),
        (HALF_PRICE, "half/1", APRIL, None),
        (HALF_PRICE, "half/1", JUNE, "0.5"),
        (HALF_PRICE, "half/1", JULY, None),
        (HALF_PRICE, "half", JUNE, None),
        (HALF_PRICE, None, JUNE, None),
        (OTHERS_TOO, "half/1", JUNE, "0.5"),
        (OTHERS_TOO, "half/1", JULY, "1"),
        (OTHERS_TOO, "free", JULY, "0"),
        (OTHERS_TOO, "another", JULY, "1"),
        (OTHERS_TOO, "another", MAY, None),
        (OTHERS_TOO, None, JUNE, "1"),
        (OTHERS_TOO, "*", JUNE, "1"),
    ],
)
def test_an_upstreams_own_factor_then_that_of_all_others_else_it_is_not_known(
    book: Book, factors: dict[str, list[Dated[str]]], upstream: str | None, at: datetime, factor: str | None
) -> None:
    terms = Terms(version=1, standard=Agreed(book, "0.5", "reported"), factors=factors)
    assert terms.factor(upstream, at) == factor
