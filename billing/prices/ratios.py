"""Our prices as the ratios that one-api and new-api reckon with. Pure; docs/decisions/0020-relay-sync.md says why so.

They count in units of $2 for a million input tokens: `model_ratio` 1 is that price, and what else a request uses costs
so many times the input. What they cannot say (tiers, long prompts, time) is left out.
"""

from collections.abc import Iterable
from decimal import Decimal, localcontext
from fractions import Fraction

import msgspec

from pricing import money
from pricing.charge import Price

ONE_EACH = Fraction(2 * money.PICOS_PER_DOLLAR, 1_000_000)
"""Picodollars of one input token at `model_ratio` 1."""

IMAGE = "image:standard:1024x1024"
"""The image whose price is a call's `model_price`: they multiply it by size and quality themselves."""

DIGITS = 17


class Ratios(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model sold by tokens has a `model_ratio`, one sold by the call a `model_price` in dollars."""

    model_ratio: Decimal | None = None
    completion_ratio: Decimal | None = None
    cache_ratio: Decimal | None = None
    create_cache_ratio: Decimal | None = None
    image_ratio: Decimal | None = None
    audio_ratio: Decimal | None = None
    audio_completion_ratio: Decimal | None = None
    model_price: Decimal | None = None


def ratios(prices: Iterable[Price]) -> Ratios | None:
    """The ratios of one model's price list, or None if it is sold in a way that they cannot say."""
    each = {_place(price): price.picos_each() for price in prices}
    if IMAGE in each:
        return Ratios(model_price=number(each[IMAGE] / money.PICOS_PER_DOLLAR))
    if "input_characters" in each:
        return _speech(each["input_characters"])
    if "input" not in each or (each["input"] == 0 and any(each.values())):  # nothing is a multiple of nothing
        return None
    return _tokens(each)


def _tokens(each: dict[str, Fraction]) -> Ratios:
    """Cache ratios are said even when they are 1: the readers have defaults of their own, which are not our prices."""
    text = each["input"]
    audio = each.get("input_audio")
    output = each.get("output_image", each.get("output", Fraction(0)))  # what image models put out is images
    return Ratios(
        model_ratio=number(text / ONE_EACH),
        completion_ratio=_times(output, text),
        cache_ratio=_times(each.get("cached_input", text), text),
        create_cache_ratio=_times(each.get("cache_write", text), text),
        image_ratio=_times(each.get("input_image"), text),
        audio_ratio=_times(audio, text),
        audio_completion_ratio=_times(each.get("output_audio"), audio),
    )


def _speech(character: Fraction) -> Ratios:
    """They count each character as an input token, and what is spoken as output, which here costs nothing more."""
    nothing = Decimal(0)
    return Ratios(model_ratio=number(character / ONE_EACH), completion_ratio=nothing, audio_completion_ratio=nothing)


def _times(price: Fraction | None, base: Fraction | None) -> Decimal | None:
    if price is None or base is None:
        return None
    return number(price / base) if base else Decimal(1)


def _place(price: Price) -> str:
    """`input`, `image:hd:1024x1024`, `output|batch`: only those of the standard tier are looked up."""
    separator = ":" if price.dimension == "image" else "|"
    return separator.join(filter(None, (price.dimension, price.variant)))


def number(exact: Fraction) -> Decimal:
    """The exact decimal where it ends within 17 digits, else those: enough for the binary float nearest to it."""
    with localcontext(prec=DIGITS):
        return (Decimal(exact.numerator) / Decimal(exact.denominator)).normalize()
