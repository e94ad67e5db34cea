"""Usage changed to what is billed of it, when a count says otherwise than the report (rules.md, Verification 3)."""

from collections.abc import Callable

import msgspec

from pricing import units
from pricing.usage import Usage

_INPUT = (*units.INPUT_DIMENSIONS, "input_characters", units.DURATION)


def adjusted(usage: Usage, *, input: int | None, output: int | None) -> Usage:
    """The usage with its whole input and its whole output changed to these; None leaves a side as it is.

    Sides are tokens, characters, seconds or pictures, whatever the usage counts. What is taken away is taken from the
    general dimension first, then from the specific ones in their order; what is added is general. Calls of tools stay.
    """
    if sides(usage) == (input, output):
        return usage
    quantities = dict(zip(usage.dimensions, usage.quantities, strict=True))
    _change(quantities, input, _is_input, "input")
    _change(quantities, output, _is_output, "output")
    kept = {dimension: quantity for dimension, quantity in quantities.items() if quantity}
    output_tokens = sum(kept.get(dimension, 0) for dimension in units.OUTPUT_DIMENSIONS)
    return msgspec.structs.replace(
        usage,
        dimensions=tuple(kept),
        quantities=tuple(kept.values()),
        input_tokens=sum(kept.get(dimension, 0) for dimension in units.INPUT_DIMENSIONS),
        output_tokens=output_tokens,
        reasoning_tokens=min(usage.reasoning_tokens, output_tokens),
    )


def sides(usage: Usage) -> tuple[int, int]:
    """The whole input and the whole output, in what the usage counts."""
    pairs = list(zip(usage.dimensions, usage.quantities, strict=True))
    return (
        sum(quantity for dimension, quantity in pairs if _is_input(dimension)),
        sum(quantity for dimension, quantity in pairs if _is_output(dimension)),
    )


def unit(usage: Usage) -> str:
    """What the usage counts: tokens, characters, seconds or images."""
    things = {units.thing_counted(dimension) for dimension in usage.dimensions} - {"call", None}
    return f"{next(iter(things))}s" if len(things) == 1 else "tokens"


def _change(quantities: dict[str, int], wanted: int | None, is_own: Callable[[str], bool], general: str) -> None:
    """Make the sum of one side `wanted`, in place."""
    if wanted is None:
        return
    own = sorted(filter(is_own, quantities), key=lambda dimension: dimension != general)
    excess = sum(quantities[dimension] for dimension in own) - wanted
    if excess < 0:
        into = own[0] if own and own[0] not in units.TOKEN_DIMENSIONS else general
        quantities[into] = quantities.get(into, 0) - excess
    for dimension in own:
        taken = max(0, min(excess, quantities[dimension]))
        quantities[dimension] -= taken
        excess -= taken


def _is_input(dimension: str) -> bool:
    return dimension in _INPUT


def _is_output(dimension: str) -> bool:
    return dimension in units.OUTPUT_DIMENSIONS or dimension.startswith("image:")
