"""Counting one text: cuts do not change the count, blanks do not panic, pieces give the text back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.tokens import encodings, pieces, tokens
from pricing.tokens.text import CUT_DOUBT, PART

ENCODINGS = st.sampled_from(encodings.NAMES)


def raw(name: encodings.EncodingName, text: str) -> int:
    return len(encodings.get(name).encode_ordinary(text))


@pytest.mark.parametrize("name", encodings.NAMES)
@pytest.mark.parametrize(
    "paragraph", ["It's 3 o'clock, they said.\n\n  No: 12,345! ", "代币 and tokens 🌞\r\n", "x = f(a)  # b\n"]
)
def test_a_long_text_in_parts_counts_as_in_one(name: encodings.EncodingName, paragraph: str) -> None:
    text = paragraph * (2 * PART // len(paragraph) + 1)
    count, doubt = tokens(name, text)
    assert (count, doubt) == (raw(name, text), 0)


@pytest.mark.parametrize("name", encodings.NAMES)
@pytest.mark.parametrize("letter", ["a", "é", "🌞"])
def test_a_text_without_words_is_counted_with_a_doubt(name: encodings.EncodingName, letter: str) -> None:
    text = letter * (PART + PART // 4)
    count, doubt = tokens(name, text)
    assert doubt == CUT_DOUBT
    assert abs(count - raw(name, text)) <= doubt


@pytest.mark.parametrize("name", encodings.NAMES)
@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\u00a0"])
def test_a_million_blanks_do_not_panic(name: encodings.EncodingName, blank: str) -> None:
    count, _ = tokens(name, blank * 1_000_001 + "x")
    assert 0 < count <= 1_000_002


@given(ENCODINGS, st.text(st.characters(codec=None, exclude_categories=[]), max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_string_is_counted_and_its_pieces_give_it_back(name: encodings.EncodingName, text: str) -> None:
    found = pieces(name, text)
    assert sum(len(piece.ids) for piece in found) == tokens(name, text)[0]
    seen = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert "".join(piece.text for piece in found) == seen


@pytest.mark.parametrize("name", encodings.NAMES)
def test_the_one_special_token_there_is_counts_as_text(name: encodings.EncodingName) -> None:
    (mark,) = encodings.get(name).special_tokens_set
    text = f"é{mark}{mark[:-1]}é{mark}"
    assert encodings.length(name, text) == raw(name, text) > 10


def test_a_character_of_several_tokens_is_one_piece() -> None:
    assert [(piece.text, len(piece.ids)) for piece in pieces("cl100k_base", "a🌞")] == [("a", 1), ("🌞", 3)]
