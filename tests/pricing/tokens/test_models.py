"""Names in every spelling, of today and tomorrow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.tokens import model


@pytest.mark.parametrize(
    ("name", "family", "encoding"),
    [
        ("gpt-3.5-turbo-0301", "gpt-3.5-turbo-0301", "cl100k_base"),
        ("gpt-3.5-turbo-16k-0613", "gpt-3.5-turbo-0613", "cl100k_base"),
        ("gpt-35-turbo", "gpt-3.5-turbo", "cl100k_base"),
        ("ft:gpt-3.5-turbo-0613:acme::8abc", "gpt-3.5-turbo-0613", "cl100k_base"),
        ("gpt-4", "gpt-4", "cl100k_base"),
        ("gpt-4-32k-0314", "gpt-4", "cl100k_base"),
        ("gpt-4-1106-preview", "gpt-4-turbo", "cl100k_base"),
        ("gpt-4-vision-preview", "gpt-4-turbo", "cl100k_base"),
        ("gpt-4o-2027-01-01", "gpt-4o", "o200k_base"),
        ("azure/gpt-4o-mini", "gpt-4o-mini", "o200k_base"),
        ("openai:gpt-4.1-nano", "gpt-4.1-nano", "o200k_base"),
        ("openrouter/openai/gpt-5-mini", "gpt-5-mini", "o200k_base"),
        ("ft:gpt-4o-mini-2024-07-18:acme::x", "gpt-4o-mini", "o200k_base"),
        ("chatgpt-4o-latest", "gpt-4o", "o200k_base"),
        ("o1-preview-2024-09-12", "o1-preview", "o200k_base"),
        ("o3-mini", "o3-mini", "o200k_base"),
        ("o4-mini-2025-04-16", "o3-mini", "o200k_base"),
        ("gpt-5", "gpt-5", "o200k_base"),
        ("gpt-5.4-2026-03-05", "gpt-5.x", "o200k_base"),
        ("gpt-5.6-luna", "gpt-5.6", "o200k_base"),
        ("gpt-6-astra", "gpt-6", "o200k_base"),
        ("gpt-audio-2025-08-28", "gpt-audio", "o200k_base"),
        ("gpt-realtime", "gpt-audio", "o200k_base"),
        ("code-davinci-002", "gpt-3-p50k", "p50k_base"),
        ("text-embedding-ada-002-v2", "embedding", "cl100k_base"),
        ("gpt-image-1", "gpt-image-1", "o200k_base"),
        ("gpt-image-1.5", "image", "o200k_base"),
        ("gpt-3.5-turbo-instruct:20230824-v2", "gpt-3.5-turbo-instruct", "cl100k_base"),
        ("davinci:2023-07-21-v2", "gpt-3-002", "cl100k_base"),
        ("text-davinci-003", "gpt-3-p50k", "p50k_base"),
        ("ada:ft-user-x-2021-12-11", "gpt-3", "r50k_base"),
        ("text-embedding-3-large", "embedding", "cl100k_base"),
        ("text-similarity-babbage:001", "embedding-001", "r50k_base"),
        ("tts-1-hd-1106", "tts", "o200k_base"),
        ("dall-e-3", "dall-e", "o200k_base"),
    ],
)
def test_a_name_has_its_family(name: str, family: str, encoding: str) -> None:
    found = model(name)
    assert found is not None
    assert (found.family, found.encoding) == (family, encoding)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "claude-3-opus",
        "code-llama-34b",
        "text-embedding-004",
        "text-embedding-v3",
        "gpt",
        "my-deployment",
        "x" * 1000,
    ],
)
def test_a_name_of_no_family_is_unknown(name: str) -> None:
    assert model(name) is None


@given(st.text())
def test_any_name_is_answered(name: str) -> None:
    model(name)
