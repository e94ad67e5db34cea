"""Verdicts and policies."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.tokens import Billable, Count, Policy, Reported, Uncounted, Verdict, billable, judge, verify
from pricing.tokens.counting import Counted

PATH = "/v1/chat/completions"
REQUEST = {"messages": [{"role": "user", "content": "hello world"}]}
RESPONSE = {"choices": [{"message": {"content": "hello world"}, "finish_reason": "stop"}]}
IN, OUT = 3 + 4 + 2, 2  # priming, frame and role, two tokens of text; two tokens of answer


def usage(given: int, answer: int, **details: Any) -> dict[str, Any]:
    return {"prompt_tokens": given, "completion_tokens": answer, "total_tokens": given + answer, **details}


@pytest.mark.parametrize(
    ("reported", "verdict"),
    [
        (usage(IN, OUT), "exact"),
        (usage(IN, OUT + 1), "within_bounds"),
        (usage(IN + 1, OUT), "over_reported"),
        (usage(IN, OUT + 20), "over_reported"),
        (usage(IN - 1, OUT), "under_reported"),
        (usage(IN, OUT - 1), "under_reported"),
        (usage(IN - 1, OUT + 20), "over_reported"),
        (None, "counted"),
        ({"prompt_tokens": IN}, "counted"),
        ({"prompt_tokens": True, "completion_tokens": -1}, "counted"),
    ],
)
def test_verdicts(reported: dict[str, Any] | None, verdict: Verdict) -> None:
    assert verify(PATH, "gpt-4o", REQUEST, RESPONSE, reported).verdict == verdict


def test_both_numbers_of_both_sides_stay_with_the_verdict() -> None:
    found = verify(PATH, "gpt-4o", REQUEST, RESPONSE, usage(IN + 5, OUT))
    assert (found.input.reported, found.input.counted) == (IN + 5, Count(IN, IN, IN))
    assert (found.input.verdict, found.output.verdict) == ("over_reported", "exact")
    assert found.output.counted is not None
    assert found.reason.startswith("output: ")


def test_without_text_nothing_is_verified() -> None:
    found = verify(PATH, "gpt-4o", None, None, usage(10, 5))
    assert found.verdict == "unverifiable"
    assert "the request was not given" in found.reason
    assert verify(PATH, "claude-3", REQUEST, RESPONSE, usage(10, 5)).verdict == "unverifiable"


def test_one_side_is_enough() -> None:
    assert verify(PATH, "gpt-4o", REQUEST, None, usage(IN, 500)).verdict == "exact"
    assert verify(PATH, "gpt-4o", None, RESPONSE, usage(500, 50)).verdict == "over_reported"


@pytest.mark.parametrize(
    ("reported", "part"),
    [
        (usage(10, 5, prompt_tokens_details={"cached_tokens": 11}), "cached exceeds input"),
        (usage(10, 5, completion_tokens_details={"reasoning_tokens": 6}), "reasoning exceeds output"),
        (usage(10, 5, completion_tokens_details={"audio_tokens": 6}), "audio_output exceeds output"),
        (
            {"input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 99}},
            "cached exceeds input",
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 14}, "total is not input + output"),
    ],
)
def test_numbers_that_contradict_one_another_need_no_text(reported: dict[str, Any], part: str) -> None:
    found = verify(PATH, "gpt-4o", None, None, reported)
    assert found.verdict == "over_reported"
    assert found.reason.startswith(part)


def test_endpoints_without_output_report_none() -> None:
    found = verify(
        "/v1/embeddings", "text-embedding-3-small", {"input": [1, 2]}, {}, {"prompt_tokens": 2, "total_tokens": 2}
    )
    assert found.verdict == "exact"


BOUNDED = Counted("tokens", Count(10, 20, 12), Count(5, None, 5))


@pytest.mark.parametrize(
    ("policy", "reported", "expected"),
    [
        ("reported", (15, 7), (15, 7)),
        ("reported", (25, 7), (20, 7)),
        ("reported", (3, 2), (3, 2)),
        ("reported", (None, None), (12, 5)),
        ("counted", (15, 7), (15, 7)),
        ("counted", (25, 7), (20, 7)),
        ("counted", (3, 2), (10, 5)),
        ("lower", (15, 7), (12, 7)),
        ("lower", (25, 99), (12, 99)),
        ("lower", (3, 2), (3, 2)),
    ],
)
def test_policies(policy: Policy, reported: tuple[int | None, int | None], expected: tuple[int, int]) -> None:
    assert billable(judge(Reported(*reported), BOUNDED), policy) == Billable(*expected)


def test_an_exact_count_is_billed_whatever_was_reported() -> None:
    exact = Counted("tokens", Count(9, 9, 9), Count(2, 2, 2))
    for given_, answer in ((0, 0), (9, 2), (1000, 1000)):
        assert billable(judge(Reported(given_, answer), exact), "counted") == Billable(9, 2)


def test_what_is_neither_reported_nor_counted_is_not_billed() -> None:
    nothing = Counted("tokens", Uncounted("x"), Uncounted("x"))
    assert billable(judge(Reported(), nothing)) == Billable(None, None)
    assert billable(judge(Reported(4, 5), nothing), "counted") == Billable(4, 5)


NUMBER = st.none() | st.integers(0, 10**6)
COUNTS = st.tuples(st.integers(0, 10**6), st.integers(0, 100), st.integers(0, 100), st.booleans()).map(
    lambda t: Count(t[0], None if t[3] else t[0] + t[1] + t[2], t[0] + t[1], "why")
)


@given(NUMBER, NUMBER, COUNTS, COUNTS)
def test_the_default_never_bills_more_than_reported_or_than_the_upper_bound(
    given_: int | None, answer: int | None, first: Count, second: Count
) -> None:
    found = judge(Reported(given_, answer), Counted("tokens", first, second))
    default, lower = billable(found, "reported"), billable(found, "lower")
    for reported, side, billed, least in (
        (given_, first, default.input, lower.input),
        (answer, second, default.output, lower.output),
    ):
        assert billed is not None
        assert least is not None
        assert side.high is None or billed <= side.high
        assert reported is None or billed <= reported
        assert least <= billed


def test_no_text_is_in_any_result() -> None:
    secret = "rosebud-4711"
    request = {
        "messages": [{"role": secret, "name": secret, "content": [{"type": secret, "text": secret}]}],
        "tools": [{"type": secret}],
    }
    response = {"choices": [{"message": {"content": secret}}]}
    for path in (PATH, "/v1/responses", "/v1/embeddings", secret):
        assert secret not in repr(verify(path, "gpt-4o", request, response, {"prompt_tokens": 1, secret: secret}))
