"""Each way to write a name is one exact rule."""

import pytest

from pricing import names


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        ("gpt-4", ["gpt-4"]),
        ("openai/gpt-4", ["openai/gpt-4", "gpt-4"]),
        ("openrouter/openai/gpt-4", ["openrouter/openai/gpt-4", "gpt-4"]),
        ("azure/eu/gpt-4", ["azure/eu/gpt-4", "eu/gpt-4"]),  # a regional price is another price
        ("gpt-35-turbo-0613", ["gpt-35-turbo-0613", "gpt-3.5-turbo-0613"]),
        ("azure/gpt-35-turbo", ["azure/gpt-35-turbo", "gpt-35-turbo", "gpt-3.5-turbo"]),
        ("ft:gpt-4-0613:org:name:id", ["ft:gpt-4-0613:org:name:id", "ft:gpt-4-0613"]),
        ("ft:gpt-35-turbo-0613:org::id", ["ft:gpt-35-turbo-0613:org::id", "ft:gpt-3.5-turbo-0613"]),
        ("gpt-4-turbo-preview-x", ["gpt-4-turbo-preview-x"]),
    ],
)
def test_spellings(name: str, spellings: list[str]) -> None:
    assert list(names.spellings(name)) == spellings


def test_nearest_names_are_few_and_only_for_names_of_a_sane_length() -> None:
    known = ("gpt-4", "gpt-4o", "gpt-4.1", "gpt-4.5-preview", "tts-1")
    assert names.nearest("GPT-4", known)[0] == "gpt-4"
    assert len(names.nearest("gpt-4.", known)) <= names.NEAREST_MAX
    assert names.nearest("gpt-4" * 20, known) == ()
