"""Output tokens: texts, calls, choices, cut answers, hidden reasoning."""

from typing import Any

from pricing.tokens import Count, Uncounted, count, tokens

TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {}}}]


def answer(model: str, *messages: dict[str, Any], finish: str | None = "stop", **request: Any) -> Count:
    response = {"choices": [{"message": message, "finish_reason": finish} for message in messages]}
    found = count("/v1/chat/completions", model, {"messages": [], **request}, response).output
    assert isinstance(found, Count)
    assert found.holds(found.likely)
    return found


def called(*calls: tuple[str, str]) -> dict[str, Any]:
    return {"content": None, "tool_calls": [{"function": {"name": name, "arguments": given}} for name, given in calls]}


def n(text: str) -> int:
    return tokens("o200k_base", text)[0]


def test_text_costs_itself_and_one_more_where_tools_are_offered() -> None:
    assert answer("gpt-4o", {"content": "hello world"}).likely == 2
    assert answer("gpt-4o", {"content": "hello world"}, tools=TOOLS).likely == 3
    assert answer("gpt-4o", {"content": None, "refusal": "hello world"}).likely == 2


def test_choices_add_up() -> None:
    assert answer("gpt-4o", {"content": "hello"}, {"content": "hello world"}).likely == 3


def test_a_call_costs_name_arguments_and_header_unless_it_was_forced() -> None:
    arguments = '{"q":"x"}'
    assert answer("gpt-4o", called(("find", arguments)), tools=TOOLS).likely == n("find") + n(arguments) + 7
    forced = {"type": "function", "function": {"name": "find"}}
    assert answer("gpt-4o", called(("find", arguments)), tools=TOOLS, tool_choice=forced).likely == n(arguments)


def test_a_2023_snapshot_has_the_start_of_a_required_call_in_its_prompt() -> None:
    given = called(("find", "{}"))
    free, required = answer("gpt-4", given, tools=TOOLS), answer("gpt-4", given, tools=TOOLS, tool_choice="required")
    assert (free.likely, required.likely) == (n("find") + n("{}") + 4, n("find") + n("{}") + 2)


def test_an_answer_names_its_schema_where_a_call_was_possible() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "BookSummary", "schema": {}}}
    plain = answer("gpt-4o", {"content": "{}"}, response_format=wanted)
    offered = answer("gpt-4o", {"content": "{}"}, response_format=wanted, tools=TOOLS)
    forbidden = answer("gpt-4o", {"content": "{}"}, response_format=wanted, tools=TOOLS, tool_choice="none")
    assert (plain.likely, offered.likely, forbidden.likely) == (1, 1 + 2 + n("BookSummary") + 1, 2)


def test_calls_of_one_turn_are_written_as_one() -> None:
    uses = ",".join(f'{{"recipient_name":"functions.{name}","parameters":{{}}}}' for name in "ab")
    wrapper = f'{{"tool_uses":[{uses}]}}'
    assert answer("gpt-4o", called(("a", "{}"), ("b", "{}")), tools=TOOLS).likely == n(wrapper) + 10


def test_an_answer_that_was_cut_is_what_was_delivered() -> None:
    assert answer("gpt-4o", {"content": "hello world"}, finish=None, tools=TOOLS).likely == 2


def test_reasoning_is_taken_as_reported() -> None:
    response = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}
    found = count("/v1/chat/completions", "gpt-5", {"messages": []}, response, reasoning=640).output
    unknown = count("/v1/chat/completions", "gpt-5", {"messages": []}, response).output
    assert isinstance(found, Count)
    assert isinstance(unknown, Count)
    assert (found.low, found.likely) == (641, 650)
    assert (unknown.low, unknown.high) == (1, None)


def test_what_is_billed_and_not_shown_has_no_upper_bound() -> None:
    assert answer("gpt-4o", {"content": None, "audio": {"id": "a"}}).high is None
    assert answer("gpt-4o", {"content": ""}, finish="content_filter").high is None
    assert answer("gpt-4o", {"content": "x"}, prediction={"type": "content"}).high is None
    assert answer("gpt-4o", {"content": "x"}, tools=[{"type": "web_search"}]).high is None


def test_blanks_of_a_structured_answer_may_be_billed_one_by_one() -> None:
    padded = {"content": '{"a":1}' + " \n" * 50}
    found = answer("gpt-4o", padded, response_format={"type": "json_object"})
    assert (found.high or 0) >= found.likely + 100


def test_a_response_without_an_answer_is_not_counted() -> None:
    empty: list[dict[str, Any]] = [{}, {"choices": []}, {"output": []}, {"error": {"message": "no"}}]
    for response in empty:
        assert isinstance(count("/v1/chat/completions", "gpt-4o", {}, response).output, Uncounted)


def test_completions_and_responses() -> None:
    completion = {"choices": [{"text": "hello world", "finish_reason": "stop"}]}
    found = count("/v1/completions", "gpt-3.5-turbo-instruct", {"prompt": "x"}, completion).output
    assert isinstance(found, Count)
    assert found.likely == 2
    items = [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": "hello world"}]}]
    replied = count("/v1/responses", "gpt-4o", {"input": "x"}, {"output": items, "status": "completed"}).output
    assert isinstance(replied, Count)
    assert replied.likely == 3


def test_a_call_that_was_cut_is_counted_as_far_as_it_went() -> None:
    assert answer("gpt-4o", called(("find", '{"q"')), finish=None, tools=TOOLS).likely == n("find") + n('{"q"')


def test_an_answer_is_read_in_every_shape() -> None:
    parts = [{"type": "text", "text": "hello"}, " world"]
    assert answer("gpt-4o", {"content": parts}).likely == 2
    for content in ("hello world", [{"type": "output_text", "text": "hello world"}]):
        response = {"output": [{"type": "message", "content": content}]}
        found = count("/v1/responses", "gpt-4o", {"input": "x"}, response).output
        assert isinstance(found, Count)
        assert found.likely == 3
    delta = {"choices": [{"delta": {"content": "hello world"}, "finish_reason": "stop"}]}
    streamed = count("/v1/chat/completions", "gpt-4o", {"messages": []}, delta).output
    assert isinstance(streamed, Count)
    assert streamed.likely == 2


def test_an_echoed_prompt_is_not_output() -> None:
    for prompt in ("Say hello", ["Say hello"]):
        body = {"prompt": prompt, "echo": True}
        response = {"choices": [{"text": "Say hello world", "finish_reason": "stop"}]}
        found = count("/v1/completions", "gpt-3.5-turbo-instruct", body, response).output
        assert isinstance(found, Count)
        assert (found.low, found.likely) == (1, 1)


def test_answers_that_were_asked_for_and_not_given_are_unknown() -> None:
    assert answer("gpt-4o", {"content": "a"}, n=2).high is None
    body = {"prompt": ["a", "b"]}
    completion = {"choices": [{"text": "c", "finish_reason": "stop"}]}
    found = count("/v1/completions", "davinci-002", body, completion).output
    assert isinstance(found, Count)
    assert found.high is None
    assert answer("gpt-4o", {"content": "a"}, modalities=["text", "audio"]).high is None


def test_only_more_tries_than_answers_are_unknown() -> None:
    assert answer("gpt-4o", {"content": "a"}, {"content": "b"}, n=2).high is not None
    assert answer("gpt-4o", {"content": "a"}, best_of=3).high is None


def test_each_choice_may_end_with_a_stop_sequence() -> None:
    stop = "\n\n### END OF STORY ###\n"
    found = answer("gpt-4o", *[{"content": "hello"}] * 5, stop=stop, n=5)
    assert (found.high or 0) >= 5 * (1 + n(stop))


def test_token_ids_that_are_echoed_may_be_all_of_the_answer() -> None:
    body = {"prompt": [1, 2, 3], "echo": True}
    response = {"choices": [{"text": "Say hello world", "finish_reason": "length"}]}
    found = count("/v1/completions", "davinci-002", body, response).output
    assert isinstance(found, Count)
    assert found.low == 0


def test_a_moderated_answer_may_hide_its_reasoning() -> None:
    """Recorded: gpt-5 of July 2026 reports no reasoning tokens when it is asked to moderate, and bills them."""
    response = {"choices": [{"message": {"content": "Paris."}, "finish_reason": "stop"}]}
    request = {"messages": [], "moderation": {"model": "omni-moderation-latest"}}
    found = count("/v1/chat/completions", "gpt-5", request, response, reasoning=0).output
    plain = count("/v1/chat/completions", "gpt-5", {"messages": []}, response, reasoning=0).output
    assert isinstance(found, Count)
    assert isinstance(plain, Count)
    assert found.high is None
    assert plain.high is not None


def test_a_responses_object_tells_itself_what_was_asked_for() -> None:
    said = {"output": [{"type": "message", "content": "x"}], "status": "completed", "tools": [{"type": "web_search"}]}
    found = count("/v1/responses", "gpt-4o", None, said).output
    assert isinstance(found, Count)
    assert found.high is None
