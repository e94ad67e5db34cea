"""What can be billed, how it is counted, and how the counts nest.

A *dimension* is one billable kind of use, such as `output` or `image:hd:1024x1792`. The dimensions of one request are
disjoint: usage.py subtracts the specific from the general before anything is priced (rules.md, Usage events 3).

    input   ⊃ cached_input ⊃ cached_input_audio, cached_input_image
            ⊃ cache_write, cache_write_12h, input_audio, input_image
    output  ⊃ output_audio, output_image            (reasoning and predicted tokens are ordinary output)

A *unit* is what one official price buys: a million tokens, a minute, a thousand calls. Quantities are always whole
numbers of the thing counted (tokens, seconds, calls), so that a quantity is exact and a price is never divided.
"""

import re
from typing import NamedTuple

LONG_CONTEXT_TOKENS = 272_000
"""A prompt over this many input tokens reprices the whole request where the model has long-context prices."""

STANDARD = ""
TIERS = (STANDARD, "batch", "flex", "priority", "ultrafast")
CONTEXTS = ("", ">272k")


class Unit(NamedTuple):
    """`size` things make one unit: Unit(60, "second") is a minute."""

    size: int
    thing: str


UNITS = {
    "1M_tokens": Unit(1_000_000, "token"),
    "1K_tokens": Unit(1_000, "token"),
    "1M_characters": Unit(1_000_000, "character"),
    "image": Unit(1, "image"),
    "second": Unit(1, "second"),
    "minute": Unit(60, "second"),
    "hour": Unit(3_600, "second"),
    "audio_hour": Unit(3_600, "second"),
    "1K_calls": Unit(1_000, "call"),
    "session": Unit(1, "call"),
    "request": Unit(1, "request"),
}

INPUT_DIMENSIONS = (
    *("input", "cached_input", "cache_write", "cache_write_12h"),
    *("input_audio", "cached_input_audio", "input_image", "cached_input_image"),
)
OUTPUT_DIMENSIONS = ("output", "output_audio", "output_image")
TOKEN_DIMENSIONS = INPUT_DIMENSIONS + OUTPUT_DIMENSIONS
TIME_DIMENSIONS = ("audio_input_duration", "session_duration", "training_wallclock", "video_second")

DURATION = "duration"
"""Seconds as reports give them, without saying of what: the model's one price by time says it."""

REQUEST = "request"
"""The line of a request that used nothing: one request at no dollars, so that every charge explains itself."""

_THINGS = {
    **dict.fromkeys(TOKEN_DIMENSIONS, "token"),
    **dict.fromkeys(TIME_DIMENSIONS, "second"),
    "input_characters": "character",
    DURATION: "second",
    REQUEST: "request",
}
_NAME = r"[a-z0-9_.x-]{1,40}"
_IMAGE = re.compile(rf"image:{_NAME}:{_NAME}", re.ASCII)
_TOOL = re.compile(rf"tool:{_NAME}(?::{_NAME})?", re.ASCII)
_ESTIMATE = re.compile(rf"image_estimate:{_NAME}:{_NAME}", re.ASCII)

# Where a model has no price for a specific dimension, its tokens cost the next of these that the model does price:
# cached tokens cost the input rate (data/rates/README.md); a model without a fee for writing its cache or without a
# separate image rate bills those tokens as the ordinary input or output they are. Audio never falls back to text.
_FALLBACKS = {
    "cached_input": ("input",),
    "cache_write": ("input",),
    "input_image": ("input",),
    "cached_input_audio": ("input_audio",),
    "cached_input_image": ("input_image", "cached_input", "input"),
    "output_image": ("output",),
    DURATION: TIME_DIMENSIONS,
}


def thing_counted(dimension: str) -> str | None:
    """What a quantity of this dimension counts, or None if the dimension is not billable or not known."""
    if dimension in _THINGS:
        return _THINGS[dimension]
    if _IMAGE.fullmatch(dimension):
        return "image"
    return "call" if _TOOL.fullmatch(dimension) else None


def is_information(dimension: str) -> bool:
    """Whether a row only informs: a published estimate for one image, whose bill is by its tokens."""
    return _ESTIMATE.fullmatch(dimension) is not None


def price_keys(dimension: str) -> tuple[str, ...]:
    """The dimensions whose price may be charged for this one, the best first."""
    general = dimension.rsplit(":", 1)[0] if dimension.count(":") == 2 and dimension.startswith("tool:") else None
    return (dimension, general) if general else (dimension, *_FALLBACKS.get(dimension, ()))


def split(dimension: str) -> tuple[str, str]:
    """`("image", "hd:1024x1792")` of `image:hd:1024x1792`: the family and what varies within it."""
    parts = 2 if dimension.startswith("tool:") else 1
    names = dimension.split(":")
    return ":".join(names[:parts]), ":".join(names[parts:])
