"""Other price lists as plain data, for the drift check of development: LiteLLM's file and genai-prices' models.

The service never reads them. Both are given by the caller, already loaded; nothing is imported here. Their numbers
become exact fractions of a dollar for one thing, from the shortest decimal that the float stands for.
"""

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

Prices = dict[tuple[str, str, str, str], Fraction]

_LITELLM_DIMENSIONS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_12hr": "cache_write_12h",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "cache_read_input_audio_token_cost": "cached_input_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
    "cache_read_input_image_token_cost": "cached_input_image",
    "input_cost_per_character": "input_characters",
    "input_cost_per_second": "audio_input_duration",
}
_LITELLM_TIERS = {"": "", "batches": "batch", "flex": "flex", "priority": "priority", "ultrafast": "ultrafast"}
_LITELLM_FIELD = re.compile(
    r"(?P<name>.+?)(?P<long>_above_272k_tokens)?(?:_(?P<tier>batches|flex|priority|ultrafast))?"
)

_GENAI_DIMENSIONS = {
    "input_mtok": ("input", 1_000_000),
    "output_mtok": ("output", 1_000_000),
    "cache_read_mtok": ("cached_input", 1_000_000),
    "cache_write_mtok": ("cache_write", 1_000_000),
    "input_audio_mtok": ("input_audio", 1_000_000),
    "output_audio_mtok": ("output_audio", 1_000_000),
    "cache_audio_read_mtok": ("cached_input_audio", 1_000_000),
    "input_image_mtok": ("input_image", 1_000_000),
    "output_image_mtok": ("output_image", 1_000_000),
    "cache_image_read_mtok": ("cached_input_image", 1_000_000),
    "web_searches_kcount": ("tool:web_search", 1_000),
    "storage_searches_kcount": ("tool:file_search", 1_000),
}
_GENAI_TIERS = {"flex": "flex", "priority": "priority", "batch": "batch"}


def from_litellm(data: Mapping[str, Any], provider: str = "openai") -> Prices:
    """The prices of one provider in the content of LiteLLM's `model_prices_and_context_window.json`."""
    prices: Prices = {}
    for model, fields in data.items():
        if fields.get("litellm_provider") != provider:
            continue
        for field, value in fields.items():
            match = _LITELLM_FIELD.fullmatch(field)
            if match and match["name"] in _LITELLM_DIMENSIONS and isinstance(value, int | float):
                tier, context = _LITELLM_TIERS[match["tier"] or ""], ">272k" if match["long"] else ""
                prices[model, _LITELLM_DIMENSIONS[match["name"]], tier, context] = Fraction(str(value))
    return prices


def from_genai_prices(models: Iterable[Any]) -> Prices:
    """The prices now of the models of one genai-prices provider (`ModelInfo` objects), with their tiers."""
    prices: Prices = {}
    for model in models:
        prices |= _genai_prices_of(model.id, "", _latest(model.prices))
        for variant in getattr(model, "price_variants", None) or ():
            for tier in variant.when.values():
                if tier in _GENAI_TIERS:
                    prices |= _genai_prices_of(model.id, _GENAI_TIERS[tier], variant.prices)
    return prices


def _latest(prices: Any) -> Any:
    """The last of several dated price lists, or the only one."""
    return prices[-1].prices if isinstance(prices, list) else prices


def _genai_prices_of(model: str, tier: str, prices: Any) -> Prices:
    found: Prices = {}
    for field, (dimension, size) in _GENAI_DIMENSIONS.items():
        value = getattr(prices, field, None)
        if value is None:
            continue
        base = getattr(value, "base", value)
        found[model, dimension, tier, ""] = Fraction(str(base)) / size
        for step in getattr(value, "tiers", ()):
            if step.start == 272_000:
                found[model, dimension, tier, ">272k"] = Fraction(str(step.price)) / size
    return found
