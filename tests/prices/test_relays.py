"""What relays sync: the shapes of new-api, and ratios that are exactly ours, recomputed here with fractions."""

import json
import re
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import httpx
import pytest

from billing.prices.ratios import number, ratios
from pricing.book import Book
from pricing.entries import ANY_MODEL
from pricing.rating import price_list
from pricing.units import UNITS

ITEM = {"model_name", "vendor_id", "quota_type", "model_ratio", "model_price", "completion_ratio", "owner_by"}
MAPS = (
    *("model_ratio", "completion_ratio", "cache_ratio", "create_cache_ratio"),
    *("image_ratio", "audio_ratio", "audio_completion_ratio", "model_price"),
)
HALF = Fraction(1, 2)


def exactly(text: str) -> Any:
    """JSON with its numbers as the fractions they spell, not as floats."""
    return json.loads(text, parse_float=Fraction, parse_int=Fraction)


def official(book: Book, model: str) -> dict[tuple[str, str], Fraction]:
    """Official dollars for one token, image or character of the standard tier, straight from the entries."""
    found = {}
    for entry in book.in_force(model, datetime.now(UTC)):
        _, dimension, tier, context = entry.key
        if not tier and not context:
            found[dimension] = Fraction(entry.price) / UNITS[entry.unit].size
    return found


async def test_the_shape_of_pricing(anybody: httpx.AsyncClient, book: Book) -> None:
    answer = (await anybody.get("/api/pricing")).json()
    assert answer["success"] is True
    assert answer["group_ratio"] == {"default": 1}
    assert answer["pricing_version"] == book.digest
    for item in answer["data"]:
        assert item.keys() >= ITEM
        assert item["enable_groups"] == ["default"]
        assert set(item["supported_endpoint_types"]) <= answer["supported_endpoint"].keys()
    kinds = {item["model_name"]: item["supported_endpoint_types"] for item in answer["data"]}
    assert kinds["gpt-4o"] == ["openai"]
    assert kinds["dall-e-3"] == kinds["gpt-image-1"] == ["image-generation"]
    assert kinds["text-embedding-3-small"] == ["embeddings"]


async def test_both_say_the_same(anybody: httpx.AsyncClient) -> None:
    """As the reader of new-api turns the one into the other: by quota_type, and by which ratios are there."""
    items = (await anybody.get("/api/pricing")).json()["data"]
    turned: dict[str, dict[str, float]] = {field: {} for field in MAPS}
    for item in items:
        fields = ("model_price",) if item["quota_type"] == 1 else ("model_ratio", "completion_ratio")
        for field in (*fields, *(field for field in MAPS[2:-1] if field in item)):
            turned[field][item["model_name"]] = item[field]
    answer = (await anybody.get("/api/ratio_config")).json()
    assert answer["success"] is True
    assert answer["data"] == turned


async def test_every_number_is_exactly_ours(anybody: httpx.AsyncClient, book: Book) -> None:
    data = exactly((await anybody.get("/api/ratio_config")).text)["data"]
    over_input = {
        "cache_ratio": "cached_input",
        "create_cache_ratio": "cache_write",
        "image_ratio": "input_image",
        "audio_ratio": "input_audio",
    }
    for model, ratio in data["model_ratio"].items():
        each = official(book, model)
        base = each.get("input", each.get("input_characters"))
        assert ratio == base * HALF * 1_000_000 / 2, model
        for field, dimension in over_input.items():
            if base and dimension in each:
                assert same(data[field][model], each[dimension] / base), (field, model)
        if base and "output" in each:
            output = each.get("output_image", each["output"])
            assert same(data["completion_ratio"][model], output / base), model
        if "output_audio" in each and "input_audio" in each:
            expected = each["output_audio"] / each["input_audio"]
            assert same(data["audio_completion_ratio"][model], expected), model
    assert len(data["model_ratio"]) > 150


def same(said: Fraction, exact: Fraction) -> bool:
    """Equal; or, for a ratio that no decimal can spell, read as the binary float nearest to it."""
    endless = exact.denominator
    for prime in (2, 5):
        while endless % prime == 0:
            endless //= prime
    return said == exact if endless == 1 else float(said) == exact.numerator / exact.denominator


async def test_images_have_a_price_a_call(anybody: httpx.AsyncClient) -> None:
    data = exactly((await anybody.get("/api/ratio_config")).text)["data"]
    assert data["model_price"] == {"dall-e-2": Fraction("0.02") * HALF, "dall-e-3": Fraction("0.04") * HALF}


async def test_the_published_price_is_what_is_synced(anybody: httpx.AsyncClient) -> None:
    data = exactly((await anybody.get("/api/ratio_config")).text)["data"]
    ratio = data["model_ratio"]["gpt-4-turbo"]
    assert ratio * 2 / 1000 == Fraction("0.005")
    assert ratio * data["completion_ratio"]["gpt-4-turbo"] * 2 / 1000 == Fraction("0.01")


async def test_what_cannot_be_said_is_left_out(anybody: httpx.AsyncClient) -> None:
    text = (await anybody.get("/api/ratio_config")).text
    for model in (
        "whisper-1",
        "sora-2",
        "gpt-live-1",
        "ft:gpt-4o",
        "davinci:2023-07-21-v2",
        "text-davinci-003",
        ANY_MODEL,
    ):
        assert f'"{model}"' not in text


async def test_readers_defaults_do_not_shine_through(anybody: httpx.AsyncClient) -> None:
    """new-api has 0.5 for cached tokens of gpt-4 and 1.25 for any cache write of its own; here both cost the input."""
    data = (await anybody.get("/api/ratio_config")).json()["data"]
    assert data["cache_ratio"]["gpt-4"] == 1
    assert data["create_cache_ratio"]["gpt-4o"] == 1
    assert data["create_cache_ratio"]["gpt-5.6"] == 1.25


async def test_no_model_looks_like_new_apis_unknown(anybody: httpx.AsyncClient) -> None:
    data = (await anybody.get("/api/ratio_config")).json()["data"]
    assert [
        name for name, ratio in data["model_ratio"].items() if ratio == 37.5 and data["completion_ratio"][name] == 1
    ] == []


async def test_numbers_are_plain(anybody: httpx.AsyncClient) -> None:
    text = (await anybody.get("/api/pricing")).text
    numbers: list[str] = []
    json.loads(text, parse_float=lambda literal: numbers.append(literal))
    assert numbers
    assert [literal for literal in numbers if not re.fullmatch(r"\d+\.\d*[1-9]", literal) or len(literal) > 18] == []


@pytest.mark.parametrize(
    ("exact", "spelled"),
    [
        (Fraction(0), "0"),
        (Fraction(10), "10"),
        (Fraction(1, 40), "0.025"),
        (Fraction(3, 10_000_000), "0.0000003"),
        (Fraction(4, 3), "1.3333333333333333"),
        (Fraction(200, 3), "66.666666666666667"),
    ],
)
def test_a_number_is_plain(exact: Fraction, spelled: str) -> None:
    assert f"{number(exact):f}" == spelled


def test_a_free_input_with_a_price_for_output_has_no_ratios(book: Book) -> None:
    head = "model,dimension,tier,context,unit,price,effective_from,effective_to,confidence,source,checked,note\n"
    rows = "m,input,,,1M_tokens,0,,,A,s,2026-11-23,\nm,output,,,1M_tokens,1,,,A,s,2026-11-23,\n"
    local = book.overlaid(head + rows)
    assert ratios(price_list(local, "m", at=datetime.now(UTC))) is None
