"""How the counts of one request nest, and how they are made disjoint.

The specific is subtracted from the general and a negative remainder is refused (rules.md, Usage events 3): cached,
written, audio and image tokens ⊂ input; audio and image ⊂ output. Reasoning and predicted tokens ⊂ output are checked
and never added: they are billed as the output they are. Cached tokens that are not split by kind are text.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pricing.errors import ImpossibleUsage

COUNT_MAX = 10**12
"""The largest count one request may report: beyond every real request, within every integer column."""

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Quantities = dict[str, int]


class CachedDetails(Struct, forbid_unknown_fields=True):
    """The kinds of the cached tokens, as the Realtime API splits them."""

    text_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class CacheWriteDetails(Struct, forbid_unknown_fields=True):
    """How long the written tokens are kept, as the Responses API splits them; the rest is kept 30 minutes."""

    ttl_30m_tokens: Count | None = None
    ttl_12h_tokens: Count | None = None


class InputDetails(Struct, forbid_unknown_fields=True):
    """Parts of the input. OpenAI leaves fields out or sends null as it likes; both mean zero."""

    cached_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None
    text_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    cached_tokens_details: CachedDetails | None = None
    cache_write_tokens_details: CacheWriteDetails | None = None


class OutputDetails(Struct, forbid_unknown_fields=True):
    """Parts of the output."""

    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None
    text_tokens: Count | None = None
    accepted_prediction_tokens: Count | None = None
    rejected_prediction_tokens: Count | None = None


class Whole:
    """A general count from which specific ones are taken."""

    def __init__(self, name: str, count: int, path: str) -> None:
        self.name, self.count, self.path = name, count, path

    def less(self, **parts: int | None) -> int:
        """What remains when the parts, which do not overlap, are taken away; refuses a negative remainder."""
        remainder = self.count - sum(filter(None, parts.values()))
        if remainder < 0:
            raise self._excess({name: part for name, part in parts.items() if part}, remainder)
        return remainder

    def _excess(self, parts: dict[str, int], remainder: int) -> ImpossibleUsage:
        listed = " and ".join(f"{name} {part}" for name, part in parts.items())
        together = f", together {sum(parts.values())}," if len(parts) > 1 else ""
        return ImpossibleUsage(
            f"{self.path}.{next(reversed(parts))}",
            f"{listed}{together} cannot be part of {self.name} {self.count}: {remainder} would remain.",
        )


def input_parts(whole: Whole, details: InputDetails) -> Quantities:
    """The disjoint parts of the input; those without details are `input`."""
    audio, image, cached = details.audio_tokens or 0, details.image_tokens or 0, details.cached_tokens or 0
    written = details.cache_write_tokens or 0
    cached_kinds = details.cached_tokens_details or CachedDetails()
    cached_audio, cached_image = cached_kinds.audio_tokens or 0, cached_kinds.image_tokens or 0
    kept = details.cache_write_tokens_details or CacheWriteDetails()
    kept_12h = kept.ttl_12h_tokens or 0

    whole.less(text_tokens=details.text_tokens, audio_tokens=audio, image_tokens=image)
    of_cached = Whole("cached_tokens", cached, f"{whole.path}.cached_tokens_details")
    of_cached.less(text_tokens=cached_kinds.text_tokens, audio_tokens=cached_audio, image_tokens=cached_image)
    cached_text = cached - cached_audio - cached_image
    of_written = Whole("cache_write_tokens", written, f"{whole.path}.cache_write_tokens_details")
    of_written.less(ttl_30m_tokens=kept.ttl_30m_tokens, ttl_12h_tokens=kept_12h)
    return {
        "input": whole.less(
            audio_tokens=audio, image_tokens=image, cache_write_tokens=written, cached_tokens=cached_text
        ),
        "cached_input": cached_text,
        "cache_write": written - kept_12h,
        "cache_write_12h": kept_12h,
        "input_audio": Whole("audio_tokens", audio, of_cached.path).less(audio_tokens=cached_audio),
        "cached_input_audio": cached_audio,
        "input_image": Whole("image_tokens", image, of_cached.path).less(image_tokens=cached_image),
        "cached_input_image": cached_image,
    }


def output_parts(whole: Whole, details: OutputDetails) -> Quantities:
    """The disjoint parts of the output."""
    audio, image = details.audio_tokens or 0, details.image_tokens or 0
    whole.less(text_tokens=details.text_tokens, audio_tokens=audio, image_tokens=image)
    whole.less(
        reasoning_tokens=details.reasoning_tokens,
        accepted_prediction_tokens=details.accepted_prediction_tokens,
        rejected_prediction_tokens=details.rejected_prediction_tokens,
    )
    return {
        "output": whole.less(audio_tokens=audio, image_tokens=image),
        "output_audio": audio,
        "output_image": image,
    }
