"""What a model is for, told by its name and by what it sells: only for showing it in its place, never for a price."""

from collections.abc import Collection
from typing import Literal

Kind = Literal["text", "image", "audio", "embedding", "video", "tuned"]
KINDS: tuple[Kind, ...] = ("text", "image", "audio", "embedding", "video", "tuned")

_BY_NAME: tuple[tuple[str, Kind], ...] = (
    ("ft:", "tuned"),
    ("dall-e", "image"),
    ("gpt-image", "image"),
    ("chatgpt-image", "image"),
    ("text-embedding", "embedding"),
    ("text-moderation", "embedding"),
    ("omni-moderation", "embedding"),
    ("gpt-4o-mini-tts", "audio"),
)
_BY_DIMENSION: tuple[tuple[str, Kind], ...] = (
    ("video_second", "video"),
    ("image", "image"),
    ("input_audio", "audio"),
    ("output_audio", "audio"),
    ("input_characters", "audio"),
    ("audio_input_duration", "audio"),
    ("session_duration", "audio"),
)


def kind_of(name: str, dimensions: Collection[str]) -> Kind:
    for beginning, kind in _BY_NAME:
        if name.startswith(beginning):
            return kind
    for dimension, kind in _BY_DIMENSION:
        if dimension in dimensions:
            return kind
    return "audio" if "audio" in name or "realtime" in name else "text"
