"""What a content may look like, and what is said of one that cannot be read. Counted in this process."""

import json

import msgspec
import pytest

from billing.metering.content import Exchange, Verified, unverifiable, verified
from pricing.tokens import DEFAULT_LIMITS, Count, Reported
from pricing.usage import Usage
from tests.metering.contents import ANSWER, ANSWER_TOKENS, CHUNKS, HELLO, HELLO_TOKENS, SSE, exchange

SECRET = "the secret text"


def verify(given: Exchange) -> Verified:
    return verified(given, DEFAULT_LIMITS)


def counts(given: Exchange) -> tuple[int | None, int | None]:
    """The likeliest count of each side."""
    found = verify(given).verification
    return found.input.counted and found.input.counted.likely, found.output.counted and found.output.counted.likely


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(ANSWER, id="object"),
        pytest.param(json.dumps(ANSWER, indent=1), id="a string that holds an object"),
        pytest.param(CHUNKS, id="chunks"),
        pytest.param(json.dumps(CHUNKS), id="a string that holds chunks"),
        pytest.param(SSE, id="event stream"),
        pytest.param(SSE.replace("\n", "\r\n"), id="event stream, lines as Windows ends them"),
        pytest.param(": PROCESSING\n\n" + SSE.replace("data: ", "data:"), id="event stream, a comment first"),
    ],
)
def test_a_response_may_come_in_any_of_these_shapes(response):
    assert verify(exchange(HELLO, response)).verification.verdict == "exact"
    assert counts(exchange(HELLO, response)) == (HELLO_TOKENS, ANSWER_TOKENS)


def test_a_separator_that_ends_no_line_stays_in_the_stream():
    chunk = {"choices": [{"index": 0, "delta": {"content": "one\u2028two\u0085three"}, "finish_reason": "stop"}]}
    told = f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
    whole = {"choices": [{"message": {"content": "one\u2028two\u0085three"}, "finish_reason": "stop"}]}
    assert counts(exchange(HELLO, told)) == counts(exchange(HELLO, whole))


def test_a_request_may_be_a_string_that_holds_one():
    assert counts(exchange(json.dumps(HELLO))) == (HELLO_TOKENS, ANSWER_TOKENS)


def test_a_transcript_may_be_plain_text():
    heard = exchange(..., "Good morning, everyone.", endpoint=None, model="gpt-4o-transcribe")
    assert verify(heard).verification.output.counted.low == 5


@pytest.mark.parametrize(
    ("model", "request_", "unit"),
    [
        ("gpt-4", {"messages": []}, "tokens"),
        ("text-embedding-3-small", {"input": "Hello"}, "tokens"),
        ("tts-1", {"input": "Hello"}, "characters"),
        ("dall-e-3", {"prompt": "A cat"}, "images"),
    ],
)
def test_without_an_endpoint_the_request_and_the_model_tell_it(model, request_, unit):
    assert verify(exchange(request_, endpoint=None, model=model)).verification.unit == unit


# ── what was counted, as usage ──
def test_without_a_report_our_count_is_a_usage():
    found = verify(exchange(reported=None))
    assert found.verification.verdict == "counted"
    expected = Usage(("input", "output"), (HELLO_TOKENS, ANSWER_TOKENS), HELLO_TOKENS, ANSWER_TOKENS)
    assert found.counted == expected


def test_pictures_are_counted_with_the_size_and_quality_asked_for():
    asked = {"prompt": "A cat", "size": "1024x1792", "quality": "hd", "n": 2}
    found = verify(exchange(asked, {"data": [{}, {}]}, endpoint=None, model="dall-e-3", reported=None))
    assert found.counted == Usage(("image:hd:1024x1792",), (2,))


@pytest.mark.parametrize("size", ["huge", 7, ["1024x1024"]])
def test_pictures_of_no_possible_size_are_no_usage(size):
    asked = exchange({"prompt": "A cat", "size": size}, {"data": [{}]}, endpoint=None, model="dall-e-3", reported=None)
    assert verify(asked).counted is None


def test_speech_is_counted_in_characters():
    found = verify(exchange({"input": "Hello"}, ..., endpoint="/v1/audio/speech", model="tts-1", reported=None))
    assert found.counted == Usage(("input_characters",), (5,))


def test_one_side_alone_makes_no_usage():
    found = verify(exchange(HELLO, ..., reported=None))
    assert found.verification.output.reason == "the response was not given"
    assert found.counted is None


# ── cut streams ──
@pytest.mark.parametrize("response", [{}, [], "", "[]", "data: [DONE]\n\n", {"choices": []}])
def test_of_a_cut_stream_that_delivered_nothing_nothing_is_owed(response):
    found = verify(exchange(HELLO, response, reported=Reported(input=HELLO_TOKENS, output=5), whole=False))
    assert found.verification.output.counted == Count(0, 0, 0)
    assert found.verification.verdict == "over_reported"


@pytest.mark.parametrize("response", [{}, [], {"choices": []}])
def test_a_whole_answer_that_holds_nothing_is_not_taken_for_none(response):
    assert verify(exchange(HELLO, response)).verification.output.verdict == "unverifiable"


def test_of_a_cut_stream_hidden_reasoning_may_be_owed():
    found = verify(exchange(HELLO, [], model="o3", reported=Reported(input=9, output=400), whole=False))
    assert found.verification.output.verdict == "within_bounds"


def test_a_cut_stream_whose_answer_was_not_given_is_not_taken_for_none():
    assert verify(exchange(HELLO, ..., whole=False)).verification.output.reason == "the response was not given"


def test_a_cut_stream_is_billed_for_what_was_delivered():
    found = verify(exchange(HELLO, CHUNKS[:2], reported=None, whole=False))
    assert found.counted.output_tokens == 3


def test_an_answer_that_finished_before_the_cut_is_whole():
    assert verify(exchange(HELLO, CHUNKS, whole=False)).verification.verdict == "exact"


# ── what cannot be read ──
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "content is no JSON"),
        (b"{", "content is no JSON"),
        (b'"\xff"', "content is no JSON"),
        (b"null", "content is not an object"),
        (b"7", "content is not an object"),
        (b'["' + SECRET.encode() + b'"]', "content is not an object"),
        (b'"too deep"', "content is nested too deeply"),
        (b"[" * 100_000, "content is nested too deeply"),
        (b'{"request":' * 100_000, "content is nested too deeply"),
    ],
)
def test_a_content_that_is_none_is_unverifiable(content, reason):
    found = verify(exchange(content=content)).verification
    assert (found.verdict, found.reason) == ("unverifiable", reason)
    assert (found.input.reported, found.output.reported) == (HELLO_TOKENS, ANSWER_TOKENS)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (7, "content.request is neither an object nor a string that holds one"),
        ([SECRET], "content.request is neither an object nor a string that holds one"),
        ("[1]", "content.request is neither an object nor a string that holds one"),
        (SECRET, "content.request is a string that holds no JSON"),
        ("[" * 100_000, "content.request is nested too deeply"),
        (None, "the request was not given"),
        (..., "the request was not given"),
        ({"messages": SECRET}, None),
        ({"messages": json.loads("[" * 200 + "]" * 200)}, "nested deeper than 100 levels"),
    ],
)
def test_a_request_that_is_none_leaves_the_answer_to_be_judged(request_, reason):
    found = verify(exchange(request_)).verification
    assert found.input.verdict == "unverifiable"
    assert reason is None or found.input.reason == reason
    assert SECRET not in repr(found)
    assert found.output.verdict == "exact"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (7, "content.response is neither an object, an array of chunks nor a string"),
        (True, "content.response is neither an object, an array of chunks nor a string"),
        ("[" * 100_000, "content.response is nested too deeply"),
        (SECRET, "the response holds no answer"),
        ([7, None, SECRET], "the response was not given"),
        (None, "the response was not given"),
    ],
)
def test_a_response_that_is_none_leaves_the_request_to_be_judged(response, reason):
    found = verify(exchange(HELLO, response)).verification
    assert (found.output.verdict, found.output.reason) == ("unverifiable", reason)
    assert found.input.verdict == "exact"


def test_what_has_no_output_needs_no_response():
    asked = exchange({"input": "Hello"}, 7, endpoint="/v1/embeddings", model="text-embedding-ada-002")
    assert verify(msgspec.structs.replace(asked, reported=Reported(input=1))).verification.verdict == "exact"


def test_a_lone_surrogate_is_a_text():
    found = verify(exchange(content=b'{"request":{"messages":[{"role":"user","content":"a\\ud800b"}]}}')).verification
    assert found.input.counted is not None


def test_a_report_that_contradicts_itself_is_accused_without_a_text():
    reported = Reported(input=5, output=1, cached=9)
    found = unverifiable(exchange(reported=reported), "busy: …").verification
    assert (found.verdict, found.input.verdict) == ("over_reported", "unverifiable")


def test_no_text_is_in_a_repr():
    given = exchange({"messages": [{"role": "user", "content": SECRET}]})
    assert SECRET not in repr(given)
    assert SECRET not in repr(verify(given))


@pytest.mark.parametrize(
    ("content", "surely"),
    [(b'{"request":{"messages":[]}}', True), (b"[" * 101, False), (b'"' + b"a" * 200_000 + b'"', False)],
)
def test_small_and_flat_contents_are_surely_within_the_limits(content, surely):
    assert DEFAULT_LIMITS.surely_hold(content) is surely
