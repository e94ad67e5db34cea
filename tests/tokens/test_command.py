"""`billing count`: the same numbers as the API, from a file or standard input."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from billing.cli import main


def count(*arguments: str, given: str | bytes = "") -> Result:
    alone = {"BILLING_DATABASE_URL": None, "BILLING_TEST_DATABASE_URL": None}
    return CliRunner().invoke(main, ["count", *arguments], input=given, env=alone)


def as_json(*arguments: str, given: str | bytes = "") -> Any:
    result = count(*arguments, "--json", given=given)
    assert result.exit_code == 0, result.output
    return msgspec.json.decode(result.stdout)


def test_a_text_from_standard_input_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("你好，世界！")
    for answer in (
        as_json("--model", "gpt-4", given="你好，世界！"),
        as_json(str(tmp_path / "text"), "--model", "gpt-4"),
    ):
        assert answer["input"] == [7, 7]
        assert answer["price"]["input"]["ours"] == ["0.000105", "0.000105"]


def test_a_chat_is_a_list_of_messages_or_a_request() -> None:
    messages = [{"role": "user", "content": "hi"}]
    for given in (messages, {"model": "gpt-4", "messages": messages}):
        assert as_json("--model", "gpt-4", "--chat", given=msgspec.json.encode(given))["input"] == [8, 8]


def test_for_people() -> None:
    result = count("-", "--model", "gpt-4", "--output", "500", "--pieces", given="Hello 你好\tx")
    assert result.exit_code == 0
    assert "5 tokens" in result.output
    assert "Hello|·|你|好|→" in result.output
    assert "$0.0001500" not in result.output
    assert ("$0.00015" in result.output, "$0.000075" in result.output) == (True, True)
    assert "$0.015" in result.output


def test_what_is_bounded_says_why() -> None:
    result = count("--model", "o1", "--chat", given='[{"role":"user","content":"hi"}]')
    assert "≥ 7 tokens" in result.output
    assert "hidden tokens" in result.output


@pytest.mark.parametrize(
    ("arguments", "given", "sentence"),
    [
        (("--chat",), "{", "The chat is not JSON"),
        (("--chat",), "7", "This is not a request"),
        ((), b"\xff", "The text is not UTF-8 (byte 0)."),
        (("--model", "zzz"), "a", "No model is called 'zzz'."),
        (("missing.txt",), "", "missing.txt"),
    ],
)
def test_a_sentence_for_what_cannot_be_done(arguments: tuple[str, ...], given: str | bytes, sentence: str) -> None:
    result = count("--model", "gpt-4", *arguments, given=given)
    assert result.exit_code in (1, 2)
    assert sentence in result.output
    assert "Traceback" not in result.output
