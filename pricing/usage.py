"""What one request used: strict readers of every spelling, and one canonical form of disjoint quantities.

The spellings are those of interfaces.md, "Usage accepted in any of these spellings": OpenAI chat, completions and
embeddings; Responses, images, transcription and realtime tokens; images by number, size and quality; speech by
characters; audio by seconds; OpenTelemetry GenAI attributes; and our own `quantities`, one number a dimension.

Decoding is strict (rules.md, Usage events 2): unknown fields, wrong types, negative and absurd counts are refused, and
what OpenAI sends as null or leaves out is zero. nesting.py makes the counts disjoint.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from pricing import units
from pricing.errors import ImpossibleUsage, MalformedUsage
from pricing.nesting import COUNT_MAX, Count, InputDetails, OutputDetails, Quantities, Whole, input_parts, output_parts

FRACTION_CHARACTERS_MAX = 40
FRACTION_EXPONENT_MAX = 40
"""Of seconds, the only counts that may be fractions."""
ABSURD = Decimal("NaN")
TOOLS_MAX = 32
DIMENSIONS_MAX = 64

Seconds = int | Decimal
ToolName = Annotated[str, Meta(pattern=r"^[a-z0-9_.-]{1,40}(:[a-z0-9_.-]{1,40})?\Z")]
Tools = Annotated[dict[ToolName, Count], Meta(max_length=TOOLS_MAX)]
ImageSize = Annotated[str, Meta(pattern=r"^([0-9]{1,5}x[0-9]{1,5}|auto)\Z")]
ImageQuality = Annotated[str, Meta(pattern=r"^[a-z]{1,20}\Z")]
Name = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]


class Usage(Struct, frozen=True, gc=False):
    """The canonical form: disjoint dimensions, each with a quantity above zero, and three sums that inform.

    `input_tokens` and `output_tokens` are the whole prompt and the whole answer; `reasoning_tokens` ⊂ output.
    `served_model` and `service_tier` are there when the report itself names them, as OpenTelemetry's does.
    """

    dimensions: tuple[str, ...]
    quantities: tuple[int, ...]
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    served_model: str | None = None
    service_tier: str | None = None

    @property
    def is_zero(self) -> bool:
        return not self.dimensions


NOTHING = Usage((), ())


class ChatUsage(Struct, forbid_unknown_fields=True):
    """Chat completions, completions and embeddings; `tool_calls` is ours: hosted tool → number of billable calls."""

    prompt_tokens: Count
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    tool_calls: Tools | None = None

    def canonical(self) -> Usage:
        return _tokens(
            ("prompt_tokens", self.prompt_tokens, "prompt_tokens_details", self.prompt_tokens_details),
            ("completion_tokens", self.completion_tokens, "completion_tokens_details", self.completion_tokens_details),
            self.total_tokens,
            self.tool_calls,
        )


class TokenUsage(Struct, forbid_unknown_fields=True):
    """Responses, gpt-image, transcription and Realtime; the last two write `input_token_details` without the s."""

    input_tokens: Count
    output_tokens: Count | None = None
    total_tokens: Count | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None
    input_token_details: InputDetails | None = None
    output_token_details: OutputDetails | None = None
    type: Literal["tokens"] | None = None
    tool_calls: Tools | None = None

    def canonical(self) -> Usage:
        if self.input_token_details is not None and self.input_tokens_details is not None:
            raise MalformedUsage("$.input_token_details", "The details of the input are given twice.")
        if self.output_token_details is not None and self.output_tokens_details is not None:
            raise MalformedUsage("$.output_token_details", "The details of the output are given twice.")
        of_input = "input_tokens_details" if self.input_token_details is None else "input_token_details"
        of_output = "output_tokens_details" if self.output_token_details is None else "output_token_details"
        input_details, output_details = getattr(self, of_input), getattr(self, of_output)
        if output_details is None and _is_of_images(input_details):
            output_details = OutputDetails(image_tokens=self.output_tokens)
        return _tokens(
            ("input_tokens", self.input_tokens, of_input, input_details),
            ("output_tokens", self.output_tokens, of_output, output_details),
            self.total_tokens,
            self.tool_calls,
        )


def _is_of_images(details: InputDetails | None) -> bool:
    """Whether these are the details of the Images API, which may leave out that its output is image tokens."""
    return details is not None and details.image_tokens is not None and details.cached_tokens is None


class ImageUsage(Struct, forbid_unknown_fields=True):
    """Images by number, size and quality. OpenAI's defaults: 1024x1024, standard (data/tokens/README.md 5)."""

    n: Count
    size: ImageSize | None = None
    quality: ImageQuality | None = None

    def canonical(self) -> Usage:
        return _usage({f"image:{self.quality or 'standard'}:{self.size or '1024x1024'}": self.n})


class SpeechUsage(Struct, forbid_unknown_fields=True):
    """Speech by the characters of its input."""

    characters: Count

    def canonical(self) -> Usage:
        return _usage({"input_characters": self.characters})


class DurationUsage(Struct, forbid_unknown_fields=True):
    """Audio, a session or a video by seconds; a fraction is rounded up, as OpenAI bills it (data/rates/README.md)."""

    seconds: Seconds
    type: Literal["duration"] | None = None

    def canonical(self) -> Usage:
        return _usage({units.DURATION: _whole_seconds(self.seconds)})


class ToolUsage(Struct, forbid_unknown_fields=True):
    """Calls of hosted tools alone."""

    tool_calls: Tools

    def canonical(self) -> Usage:
        return _usage(_tools(self.tool_calls))


class QuantityUsage(Struct, forbid_unknown_fields=True):
    """The canonical form itself: a number for each disjoint dimension, for what no other spelling can say."""

    quantities: Annotated[dict[str, Count], Meta(max_length=DIMENSIONS_MAX)]

    def canonical(self) -> Usage:
        for dimension in self.quantities:
            if units.thing_counted(dimension) is None or dimension == units.REQUEST:
                raise MalformedUsage(f"$.quantities.{dimension[:80]}", "This is not a dimension that can be billed.")
        input_tokens = sum(self.quantities.get(dimension, 0) for dimension in units.INPUT_DIMENSIONS)
        output_tokens = sum(self.quantities.get(dimension, 0) for dimension in units.OUTPUT_DIMENSIONS)
        return _usage(dict(sorted(self.quantities.items())), input_tokens, output_tokens)


class TelemetryUsage(
    Struct,
    forbid_unknown_fields=True,
    rename={
        "input_tokens": "gen_ai.usage.input_tokens",
        "output_tokens": "gen_ai.usage.output_tokens",
        "cache_read": "gen_ai.usage.cache_read.input_tokens",
        "cache_creation": "gen_ai.usage.cache_creation.input_tokens",
        "reasoning": "gen_ai.usage.reasoning.output_tokens",
        "request_model": "gen_ai.request.model",
        "response_model": "gen_ai.response.model",
        "response_id": "gen_ai.response.id",
        "service_tier": "openai.response.service_tier",
    },
):
    """OpenTelemetry GenAI attributes. Input includes what was read from and written to the cache.

    The names of the models, the answer and the tier may come along; the caller takes them for the event.
    """

    input_tokens: Count
    output_tokens: Count | None = None
    cache_read: Count | None = None
    cache_creation: Count | None = None
    reasoning: Count | None = None
    request_model: Name | None = None
    response_model: Name | None = None
    response_id: Name | None = None
    service_tier: Name | None = None

    def canonical(self) -> Usage:
        of_input = {
            "gen_ai.usage.cache_read.input_tokens": self.cache_read,
            "gen_ai.usage.cache_creation.input_tokens": self.cache_creation,
        }
        output_tokens = self.output_tokens or 0
        of_output = {"gen_ai.usage.reasoning.output_tokens": self.reasoning}
        Whole("gen_ai.usage.output_tokens", output_tokens, "$").less(**of_output)
        counts = {
            "input": Whole("gen_ai.usage.input_tokens", self.input_tokens, "$").less(**of_input),
            "cached_input": self.cache_read or 0,
            "cache_write": self.cache_creation or 0,
            "output": output_tokens,
        }
        usage = _usage(counts, self.input_tokens, output_tokens, self.reasoning or 0)
        return msgspec.structs.replace(usage, served_model=self.response_model, service_tier=self.service_tier)


Spelling = (
    ChatUsage | TokenUsage | TelemetryUsage | SpeechUsage | DurationUsage | ImageUsage | QuantityUsage | ToolUsage
)

# The first of these names that a report has decides which spelling it is.
_SPELLINGS = {
    "prompt_tokens": ChatUsage,
    "input_tokens": TokenUsage,
    "gen_ai.usage.input_tokens": TelemetryUsage,
    "characters": SpeechUsage,
    "seconds": DurationUsage,
    "n": ImageUsage,
    "quantities": QuantityUsage,
    "tool_calls": ToolUsage,
}


def _fraction(text: str) -> Decimal:
    """A JSON number that is no whole one, exactly and in one spelling; NaN, which no count takes, for an absurd one."""
    try:
        number = Decimal(text)
    except InvalidOperation:  # its exponent alone is beyond all bounds
        return ABSURD
    sane = len(text) <= FRACTION_CHARACTERS_MAX and abs(number.adjusted()) <= FRACTION_EXPONENT_MAX
    return number.normalize() if sane else ABSURD


_JSON = msgspec.json.Decoder(dict[str, Any], float_hook=_fraction)
_CANONICAL = msgspec.json.Encoder(order="sorted", decimal_format="number")


def read(raw: bytes | str | msgspec.Raw) -> Usage:
    """The usage in one JSON object of any spelling; raises `MalformedUsage` or `ImpossibleUsage` with the JSON path."""
    return convert(decode(raw))


def decode(raw: bytes | str | msgspec.Raw) -> dict[str, Any]:
    """The JSON object as it is, fractions as exact `Decimal`; raises `MalformedUsage`."""
    try:
        return _JSON.decode(raw)
    except msgspec.MsgspecError as error:
        raise _malformed(error) from None
    except UnicodeDecodeError:
        raise MalformedUsage("$", "The usage is not UTF-8.") from None
    except RecursionError:
        raise MalformedUsage("$", "The usage is nested too deeply.") from None


def canonical(report: Mapping[str, Any]) -> bytes:
    """The report in one spelling: the same whatever the blanks and the order of its fields were."""
    return _CANONICAL.encode(report)


def convert(report: Mapping[str, Any]) -> Usage:
    """The same for an object already decoded. Fractions must be `Decimal`: a float is refused, for it has forgotten."""
    for name, spelling in _SPELLINGS.items():
        if name in report:
            try:
                read_as: Spelling = msgspec.convert(report, spelling, builtin_types=(Decimal,))
            except msgspec.ValidationError as error:
                raise _malformed(error) from None
            return read_as.canonical()
    raise MalformedUsage("$", f"The usage names none of {', '.join(_SPELLINGS)}: nothing in it can be billed.")


def of_counts(unit: str, given: int, answer: int, request: Mapping[str, Any]) -> Usage:
    """What was counted of a request, as the API would report it: `unit` is tokens, characters, seconds or images.

    The size and quality of images are those of the request. Raises `UsageError` when no picture has them.
    """
    if unit == "images":
        return convert({"n": answer, **{name: request[name] for name in ("size", "quality") if name in request}})
    if unit in ("characters", "seconds"):
        return convert({unit: given})
    return convert({"prompt_tokens": given, "completion_tokens": answer})


def _malformed(error: msgspec.MsgspecError) -> MalformedUsage:
    """msgspec's message, with its path apart: "Expected `int`, got `str` - at `$.prompt_tokens`"."""
    detail, _, path = str(error).partition(" - at `")
    place = path.rstrip("`") or "$"
    if field := re.search("(?:unknown|required) field `(.*)`", detail):
        place += f".{field[1][:80]}"
    return MalformedUsage(place, f"{detail}.")


Total = tuple[str, int | None, str, Any]
"""A general count: its name, its value, the name of its details, the details."""


def _tokens(of_input: Total, of_output: Total, total: int | None, tools: Tools | None) -> Usage:
    input_name, input_tokens, input_path, input_details = of_input
    output_name, output_tokens, output_path, output_details = of_output
    input_tokens, output_tokens = input_tokens or 0, output_tokens or 0
    if total is not None and total != input_tokens + output_tokens:
        raise ImpossibleUsage(
            "$.total_tokens",
            f"total_tokens is {total}, but {input_name} {input_tokens} and {output_name} {output_tokens} "
            f"make {input_tokens + output_tokens}.",
        )
    counts = {"input": input_tokens}
    if input_details is not None:
        counts = input_parts(Whole(input_name, input_tokens, f"$.{input_path}"), input_details)
    counts["output"] = output_tokens
    reasoning = 0
    if output_details is not None:
        counts |= output_parts(Whole(output_name, output_tokens, f"$.{output_path}"), output_details)
        reasoning = output_details.reasoning_tokens or 0
    return _usage(counts | _tools(tools or {}), input_tokens, output_tokens, reasoning)


def _tools(calls: Mapping[str, int]) -> Quantities:
    return {f"tool:{name}": calls[name] for name in sorted(calls)}


def _whole_seconds(seconds: Seconds) -> int:
    exact = Decimal(seconds)
    if not exact.is_finite() or not 0 <= exact <= COUNT_MAX:
        raise MalformedUsage("$.seconds", f"Seconds must be a number from 0 to {COUNT_MAX}.")
    return int(exact.to_integral_value(ROUND_CEILING))


def _usage(counts: Mapping[str, int], input_tokens: int = 0, output_tokens: int = 0, reasoning: int = 0) -> Usage:
    used = {dimension: count for dimension, count in counts.items() if count}
    return Usage(tuple(used), tuple(used.values()), input_tokens, output_tokens, reasoning)
