"""Real API answers: nobody is accused who told the truth, and nearly everybody who did not is."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def scores(scoring: ModuleType, vectors: Path) -> tuple[dict[tuple[str, ...], Any], dict[tuple[str, ...], Any]]:
    result: tuple[dict[tuple[str, ...], Any], dict[tuple[str, ...], Any]] = scoring.scores(scoring.recordings(vectors))
    return result


def total(table: dict[tuple[str, ...], Any], field: str, **where: Any) -> int:
    return sum(getattr(score, field) for key, score in table.items() if where.get("key", lambda _: True)(key))


def test_no_true_recording_is_accused(scores: Any) -> None:
    situations, _ = scores
    assert total(situations, "sides") > 3_700
    assert [key for key, score in situations.items() if score.over] == []


def test_inflated_copies_are_caught(scores: Any) -> None:
    situations, _ = scores
    for side in ("input", "output"):
        where = {"key": lambda key, side=side: key[0] == side}
        assert total(situations, "caught", **where) >= 0.99 * total(situations, "countable", **where)


# category → least share of inputs reproduced to the token. The rest was edited by hand, or is named in docs/tokens.md.
EXACT = {
    "chat:text": 1.0,  # o1-preview aside, which cannot be counted
    "chat:name": 1.0,
    "chat:tools": 0.90,
    "chat:tool_history": 1.0,
    "chat:tool_history+tools": 0.99,
    "chat:parallel_tool_history": 0.90,
    "chat:json_schema": 0.93,
    "chat:image": 0.97,
    "completions": 0.88,
    "embeddings": 1.0,
    "responses": 0.55,
}


@pytest.mark.parametrize("category", EXACT)
def test_inputs_are_reproduced_to_the_token(scores: Any, category: str) -> None:
    situations, _ = scores
    where = {"key": lambda key: key[0] == "input" and key[1] != "o1-preview" and key[2] == category}
    assert total(situations, "exact", **where) >= EXACT[category] * total(situations, "sides", **where)


def test_every_repository_holds_on_its_own(scores: Any) -> None:
    """The rules were read off structure, not fitted by repository: each stands without the others."""
    _, sources = scores
    for key, score in sources.items():
        assert score.over == 0, key
        assert score.within >= 0.9 * score.sides, key


def test_the_verdict_of_the_whole_exchange_accuses_nobody(scoring: ModuleType, vectors: Path) -> None:
    accused = {row["id"] for row in scoring.recordings(vectors) if scoring.verified(row).verdict == "over_reported"}
    assert accused == {"6cc934cbbd08"}  # its author made the details up: 16 audio tokens of 9 tokens of input
