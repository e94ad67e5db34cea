"""Input of the Responses API is counted as the chat it stands for."""

from typing import Any

from pricing.tokens import Count, count


def given(model: str, **request: Any) -> Count:
    found = count("/v1/responses", model, request).input
    assert isinstance(found, Count)
    return found


def chat(model: str, *messages: tuple[str, str]) -> int:
    request = {"messages": [{"role": role, "content": text} for role, text in messages]}
    found = count("/v1/chat/completions", model, request).input
    assert isinstance(found, Count)
    return found.likely


def test_text_messages_and_instructions() -> None:
    message = {"role": "user", "content": [{"type": "input_text", "text": "hello"}]}
    assert given("gpt-4.1", input="hello").likely == chat("gpt-4.1", ("user", "hello"))
    assert given("gpt-4.1", input=[message]).likely == chat("gpt-4.1", ("user", "hello"))
    instructed = given("gpt-4.1", input="hello", instructions="Be brief.")
    assert instructed.likely == chat("gpt-4.1", ("system", "Be brief."), ("user", "hello"))


def test_reasoning_before_the_last_user_message_is_dropped() -> None:
    old = {"type": "reasoning", "id": "rs", "encrypted_content": "x" * 1228, "summary": []}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]}
    first, last = {"role": "user", "content": "a"}, {"role": "user", "content": "c"}
    assert given("gpt-5", input=[first, old, said, last]) == given("gpt-5", input=[first, said, last])
    call = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "1", "output": "d"}
    shown, hidden = given("gpt-5", input=[first, old, call, output]), given("gpt-5", input=[first, call, output])
    assert (shown.low, shown.likely) == (hidden.low, hidden.likely + 50)  # recorded: 49
    assert shown.high is not None
    assert hidden.high is not None
    assert hidden.high + 50 < shown.high < hidden.high + 200


def test_what_is_kept_upstream_has_no_upper_bound() -> None:
    for extra in ({"previous_response_id": "r"}, {"prompt": {"id": "p"}}, {"tools": [{"type": "web_search_preview"}]}):
        found = given("gpt-4.1", input="hello", **extra)
        assert found.high is None
        assert found.reason


def test_calls_in_the_history_follow_one_another() -> None:
    calls = [{"type": "function_call", "call_id": i, "name": "f", "arguments": "{}"} for i in "ab"]
    outputs = [{"type": "function_call_output", "call_id": i, "output": "x"} for i in "ab"]
    found = given("gpt-4.1", input=[{"role": "user", "content": "go"}, *calls, *outputs])
    assert found.high is not None
    assert found.high - found.likely < 20


def test_reasoning_of_earlier_turns_may_be_asked_for() -> None:
    old = {"type": "reasoning", "id": "rs", "encrypted_content": "x" * 6000, "summary": []}
    turns = [{"role": "user", "content": "a"}, old, {"role": "user", "content": "c"}]
    bare = given("gpt-5.4", input=[turns[0], turns[2]])
    assert given("gpt-5.4", input=turns) == bare
    assert given("gpt-5.4", input=turns, reasoning={"context": "current_turn"}) == bare
    kept = given("gpt-5.4", input=turns, reasoning={"context": "all_turns"})
    assert (kept.low, (kept.high or 0) > (bare.high or 0) + 800) == (bare.low, True)
    assert given("gpt-5.6", input=turns).likely > given("gpt-5.6", input=[turns[0], turns[2]]).likely
