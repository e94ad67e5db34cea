"""The ways a model's name is written, each an exact rule: no name is ever matched by what it merely begins with.

A name is looked for as it is, then without the provider it came through (`openai/gpt-4`), then as Azure writes it
(`gpt-35-turbo`), then as the base of a fine-tuned model (`ft:gpt-4o-2024-08-06:org:name:id`). What only one upstream
writes, such as `davinci:2023-07-21-v2`, is a row of the aliases table.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache

PROVIDERS = ("openai/", "azure/", "azure_ai/", "openrouter/openai/")
SUGGESTED_LENGTH_MAX = 80
"""A longer name gets no suggestions: difflib's time grows with it."""
NEAREST_MAX = 3
REMEMBERED_MAX = 1_000

_AZURE, _OPENAI = "gpt-35-", "gpt-3.5-"


def spellings(name: str) -> Iterator[str]:
    """The names under which the book may know this model, the most literal first."""
    yield name
    for provider in PROVIDERS:
        if name.startswith(provider):
            name = name.removeprefix(provider)
            yield name
            break
    if name.startswith(_AZURE):
        yield _OPENAI + name.removeprefix(_AZURE)
    if name.startswith("ft:"):
        base = name.split(":", 2)[1]
        yield f"ft:{_OPENAI}{base.removeprefix(_AZURE)}" if base.startswith(_AZURE) else f"ft:{base}"


def nearest(name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Known names most like an unknown one, the likest first, to suggest and never to bill by."""
    return _nearest(name.lower(), known) if len(name) <= SUGGESTED_LENGTH_MAX else ()


@lru_cache(REMEMBERED_MAX)
def _nearest(name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """About a millisecond, so the answers are remembered: a batch tends to repeat the same unknown name."""
    return tuple(get_close_matches(name, known, NEAREST_MAX))
