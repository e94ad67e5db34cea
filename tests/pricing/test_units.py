"""The dimensions, what they count, and what they may fall back to."""

import pytest

from pricing import units


def test_every_unit_holds_a_whole_number_of_what_it_counts() -> None:
    assert units.UNITS["1M_tokens"] == (1_000_000, "token")
    assert units.UNITS["minute"] == (60, "second")
    assert units.UNITS["hour"].size == units.UNITS["audio_hour"].size == 60 * 60
    assert all(isinstance(unit.size, int) and unit.size > 0 for unit in units.UNITS.values())


@pytest.mark.parametrize(
    ("dimension", "thing"),
    [
        ("cached_input_audio", "token"),
        ("image:hd:1024x1792", "image"),
        ("tool:web_search", "call"),
        ("tool:web_search_preview:high", "call"),
        ("video_second", "second"),
        ("input_characters", "character"),
        ("training", None),
        ("image", None),
        ("image:hd", None),
        ("tool:", None),
        ("tool:a:b:c", None),
        ("tool:web search", None),
        ("image_estimate:high:1024x1024", None),
        ("", None),
    ],
)
def test_what_a_dimension_counts(dimension: str, thing: str | None) -> None:
    assert units.thing_counted(dimension) == thing


def test_estimates_inform_and_are_never_billed() -> None:
    assert units.is_information("image_estimate:high:1024x1024")
    assert not units.is_information("image:high:1024x1024")


def test_what_a_dimension_may_fall_back_to() -> None:
    assert units.price_keys("output") == ("output",)
    assert units.price_keys("cached_input") == ("cached_input", "input")
    assert units.price_keys("tool:web_search_preview:high") == (
        "tool:web_search_preview:high",
        "tool:web_search_preview",
    )
    for audio in ("input_audio", "cached_input_audio", "output_audio"):
        assert not {"input", "cached_input", "output"} & set(units.price_keys(audio))


def test_the_family_and_its_detail() -> None:
    assert units.split("output") == ("output", "")
    assert units.split("image:hd:1024x1792") == ("image", "hd:1024x1792")
    assert units.split("tool:web_search") == ("tool:web_search", "")
    assert units.split("tool:web_search_preview:high") == ("tool:web_search_preview", "high")
