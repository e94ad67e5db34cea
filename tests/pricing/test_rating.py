"""What requests cost: every test of money is arithmetic on the official dollars."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing import money, usage
from pricing.book import Book
from pricing.charge import Charge, recompute
from pricing.errors import MultiplierError
from pricing.rating import Unpriced, price_list, rate_request

TODAY = datetime(2026, 11, 23, tzinfo=UTC)
MILLION = 1_000_000

Rater = Callable[..., Charge]


def usd(text: str) -> int:
    return money.parse(text)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def chat(prompt: int, completion: int = 0, **details: int) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "prompt_tokens_details": details}


@pytest.fixture
def rate(book: Book) -> Rater:
    def rated(report: dict[str, Any], model: str, at: datetime = TODAY, **how: Any) -> Charge:
        return rate_request(book, usage.read(json.dumps(report)), model=model, at=at, **how)

    return rated


def test_half_of_the_list(rate: Rater) -> None:
    charge = rate(chat(19, 10), "gpt-4")
    assert charge.amount == (19 * usd("30") + 10 * usd("60")) // MILLION // 2 == usd("0.000585")
    assert rate(chat(1_000, 1_000), "gpt-4").amount == (usd("0.03") + usd("0.06")) // 2


def test_every_factor_is_kept_and_gives_the_amount_again(rate: Rater) -> None:
    charge = rate(chat(19, 10), "gpt-4", multiplier="0.50")
    first, second = charge.lines
    assert (first.price.dimension, first.quantity, first.amount) == ("input", 19, usd("0.000285"))
    assert (second.price.dimension, second.quantity, second.amount) == ("output", 10, usd("0.0003"))
    stored = first.price.as_dict()
    assert {name: stored[name] for name in ("unit", "unit_size", "official", "multiplier", "entry")} == {
        "unit": "1M_tokens",
        "unit_size": MILLION,
        "official": "30",
        "multiplier": "0.5",
        "entry": "gpt-4/input@2023-03-14",
    }
    assert len(first.price.book) == 64
    assert recompute(19, "30", MILLION, "0.5") == first.amount
    assert charge.as_dict()["amount"] == "0.000585"


@pytest.mark.parametrize(
    ("at", "input_price", "output_price"),
    [
        ("2023-03-01", "2", "2"),
        ("2023-06-12T23:59:59.999999", "2", "2"),
        ("2023-06-13", "1.5", "2"),
        ("2024-02-15T23:59:59.999999", "1.5", "2"),
        ("2024-02-16", "0.5", "1.5"),
        ("2026-11-23", "0.5", "1.5"),
    ],
)
def test_the_history_of_gpt_35_turbo(rate: Rater, at: str, input_price: str, output_price: str) -> None:
    charge = rate(chat(MILLION, MILLION), "gpt-3.5-turbo", day(at))
    assert charge.amount == (usd(input_price) + usd(output_price)) // 2


def test_gpt_4o_moved_with_its_alias(rate: Rater) -> None:
    change = day("2024-10-02")
    assert rate(chat(MILLION, MILLION), "gpt-4o", change - timedelta(microseconds=1)).amount == usd("20") // 2
    assert rate(chat(MILLION, MILLION), "gpt-4o", change).amount == usd("12.5") // 2
    assert rate(chat(MILLION), "gpt-4o", change, served_model="gpt-4o-2024-05-13").amount == usd("5") // 2


def test_the_instant_counts_whatever_its_offset(rate: Rater) -> None:
    before_in_utc = datetime.fromisoformat("2024-02-16T01:59:59+02:00")
    assert rate(chat(MILLION), "gpt-3.5-turbo", before_in_utc).amount == usd("1.5") // 2
    assert rate(chat(MILLION), "gpt-3.5-turbo", before_in_utc + timedelta(seconds=1)).amount == usd("0.5") // 2


def test_cached_tokens(rate: Rater) -> None:
    charge = rate(chat(1_000, cached_tokens=400), "gpt-4o")
    assert charge.amount == (600 * usd("2.5") + 400 * usd("1.25")) // MILLION // 2


def test_cached_tokens_without_a_rate_cost_the_input_rate_and_say_so(rate: Rater) -> None:
    charge = rate(chat(1_000, cached_tokens=400), "gpt-4")
    assert charge.amount == 1_000 * usd("30") // MILLION // 2
    assert [(line.price.dimension, line.price.entry) for line in charge.lines] == [
        ("input", "gpt-4/input@2023-03-14"),
        ("cached_input", "gpt-4/input@2023-03-14"),
    ]


def test_cache_writes(rate: Rater) -> None:
    charge = rate(chat(5395, 131, cache_write_tokens=5392), "gpt-5.6-luna")
    assert charge.amount == (3 * usd("0.2") + 5392 * usd("0.25") + 131 * usd("1.2")) // MILLION // 2
    assert rate(chat(100, cache_write_tokens=40), "gpt-5.4").amount == 100 * usd("2.5") // MILLION // 2


def test_reasoning_is_never_added(rate: Rater) -> None:
    report = chat(10, 1_000) | {"completion_tokens_details": {"reasoning_tokens": 900}}
    assert rate(report, "o3").amount == (10 * usd("2") + 1_000 * usd("8")) // MILLION // 2


def test_audio_and_images_have_their_own_rates(rate: Rater) -> None:
    report = chat(100, 50, audio_tokens=30) | {"completion_tokens_details": {"audio_tokens": 20}}
    expected = 70 * usd("2.5") + 30 * usd("32") + 30 * usd("10") + 20 * usd("64")
    assert rate(report, "gpt-audio").amount == expected // MILLION // 2
    image = {
        "input_tokens": 432,
        "input_tokens_details": {"image_tokens": 388, "text_tokens": 44},
        "output_tokens": 4160,
    }
    assert rate(image, "gpt-image-1").amount == (44 * usd("5") + 388 * usd("10") + 4160 * usd("40")) // MILLION // 2
    assert rate(image, "gpt-image-1.5").amount == (44 * usd("5") + 388 * usd("8") + 4160 * usd("32")) // MILLION // 2
    assert rate(chat(100, image_tokens=85), "gpt-4o").amount == 100 * usd("2.5") // MILLION // 2


def test_audio_never_costs_what_text_costs(rate: Rater) -> None:
    with pytest.raises(Unpriced, match="input_audio of gpt-4o-mini-audio-preview") as refusal:
        rate(chat(100, audio_tokens=30), "gpt-4o-mini-audio-preview")
    assert refusal.value.dimension == "input_audio"


@pytest.mark.parametrize(
    ("model", "report", "dollars"),
    [
        ("dall-e-3", {"n": 1}, "0.04"),
        ("dall-e-3", {"n": 1, "quality": "hd"}, "0.08"),
        ("dall-e-3", {"n": 1, "quality": "hd", "size": "1792x1024"}, "0.12"),
        ("dall-e-2", {"n": 10, "size": "256x256"}, "0.16"),
        ("dall-e-2", {"n": 3, "size": "512x512"}, "0.054"),
        ("tts-1", {"characters": 4_096}, "0.06144"),
        ("tts-1-hd-1106", {"characters": 1}, "0.00003"),
        ("whisper-1", {"seconds": 1.13}, "0.0002"),
        ("whisper-1", {"seconds": 3_600, "type": "duration"}, "0.36"),
        ("gpt-live-1", {"seconds": 1_800}, "1.5"),
        ("sora-2", {"quantities": {"video_second": 8}}, "0.8"),
        ("ft:o4-mini-2025-04-16", {"quantities": {"training_wallclock": 36}}, "1"),
        ("omni-moderation-latest", {"prompt_tokens": 1_000}, "0"),
    ],
)
def test_what_is_not_charged_by_tokens(rate: Rater, model: str, report: dict[str, Any], dollars: str) -> None:
    assert rate(report, model).amount == usd(dollars) // 2


def test_images_that_are_billed_by_tokens_are_never_billed_by_their_estimate(rate: Rater) -> None:
    with pytest.raises(Unpriced, match="image:high:1024x1024"):
        rate({"n": 1, "quality": "high"}, "gpt-image-1")


def test_an_amount_that_does_not_divide_is_rounded_once_a_line(rate: Rater) -> None:
    charge = rate({"seconds": 100}, "gpt-live-1")
    assert charge.amount == money.round_half_away(100 * usd("3"), 3_600 * 2) == usd("0.041666666667")
    third = rate(chat(1, 1), "gpt-4", multiplier="0.333333333333")
    assert third.amount == sum(line.amount for line in third.lines)
    assert third.lines[0].amount == money.round_half_away(30 * 333_333_333_333, MILLION)


@pytest.mark.parametrize(
    ("tier", "batch", "input_price", "output_price"),
    [
        (None, False, "2.5", "15"),
        ("default", False, "2.5", "15"),
        ("auto", False, "2.5", "15"),
        ("flex", False, "1.25", "7.5"),
        ("priority", False, "5", "30"),
        ("fast", False, "5", "30"),
        ("default", True, "1.25", "7.5"),
        ("batch", False, "1.25", "7.5"),
    ],
)
def test_tiers(rate: Rater, tier: str | None, batch: bool, input_price: str, output_price: str) -> None:
    charge = rate(chat(MILLION // 4, MILLION), "gpt-5.4", service_tier=tier, batch=batch)
    assert charge.amount == (usd(input_price) // 4 + usd(output_price)) // 2


@pytest.mark.parametrize("tier", ["scale", "ultrafast", "turbo"])
def test_a_tier_without_a_rate_is_unpriced(rate: Rater, tier: str) -> None:
    with pytest.raises(Unpriced, match=tier):
        rate(chat(1), "gpt-5.4", service_tier=tier)
    with pytest.raises(Unpriced, match="batch"):
        rate(chat(1), "gpt-5.4", service_tier="flex", batch=True)


def test_a_tier_is_unpriced_before_the_day_its_rate_was_verified(rate: Rater) -> None:
    with pytest.raises(Unpriced, match=r"gpt-5\.4/input\|flex@2026-10-12") as refusal:
        rate(chat(1), "gpt-5.4", day("2026-10-11"), service_tier="flex")
    assert refusal.value.dimension == "input|flex"


def test_a_snapshot_has_the_tiers_of_the_alias_that_names_it(rate: Rater) -> None:
    alias = rate(chat(MILLION, MILLION), "gpt-4o", batch=True)
    served = rate(chat(MILLION, MILLION), "gpt-4o", served_model="gpt-4o-2024-08-06", batch=True)
    assert alias.amount == served.amount == usd("6.25") // 2
    with pytest.raises(Unpriced):
        rate(chat(1), "gpt-4o-2024-11-20", batch=True)


def test_a_long_prompt_reprices_the_whole_request(rate: Rater) -> None:
    short = rate(chat(272_000, 1_000, cached_tokens=72_000), "gpt-5.4")
    assert short.amount == (200_000 * usd("2.5") + 72_000 * usd("0.25") + 1_000 * usd("15")) // MILLION // 2
    long = rate(chat(272_001, 1_000, cached_tokens=72_000), "gpt-5.4")
    assert long.amount == (200_001 * usd("5") + 72_000 * usd("0.5") + 1_000 * usd("22.5")) // MILLION // 2
    assert {line.price.variant for line in long.lines} == {">272k"}
    flex = rate(chat(272_001, 1), "gpt-5.4", service_tier="flex")
    assert flex.amount == (272_001 * usd("2.5") + usd("11.25")) // MILLION // 2
    mini = rate(chat(272_001), "gpt-5.4-mini")
    assert mini.amount == 272_001 * usd("0.75") // MILLION // 2
    with pytest.raises(Unpriced, match=r"input\|priority\|>272k"):
        rate(chat(272_001), "gpt-5.4", service_tier="priority")


def test_the_fees_of_tools(rate: Rater) -> None:
    report = chat(1_000, 100) | {"tool_calls": {"web_search": 3, "file_search": 1, "code_interpreter": 2}}
    fees = 3 * usd("0.01") + usd("0.0025") + 2 * usd("0.03")
    assert rate(report, "gpt-5").amount == ((1_000 * usd("1.25") + 100 * usd("10")) // MILLION + fees) // 2
    flex = rate(report, "gpt-5", service_tier="flex")  # the fee of a tool knows no tier
    assert flex.amount == ((1_000 * usd("0.625") + 100 * usd("5")) // MILLION + fees) // 2


@pytest.mark.parametrize(
    ("model", "tool", "at", "dollars"),
    [
        ("gpt-4o", "web_search_preview", "2025-06-01", "0.025"),
        ("gpt-4o", "web_search", "2025-08-07", "0.01"),
        ("o3", "web_search_preview", "2025-08-07", "0.01"),
        ("gpt-4o-search-preview", "web_search_preview:high", "2025-05-31", "0.05"),
        ("gpt-4o-search-preview", "web_search_preview:high", "2025-06-01", "0.025"),
        ("gpt-4o-mini-search-preview", "web_search", "2026-01-01", "0.025"),
        ("gpt-4o-search-preview-2025-03-11", "web_search_preview:low", "2025-05-31", "0.03"),
    ],
)
def test_the_fee_of_searching_depends_on_the_tool(rate: Rater, model: str, tool: str, at: str, dollars: str) -> None:
    assert rate({"tool_calls": {tool: 1}}, model, day(at)).amount == usd(dollars) // 2


def test_an_unknown_tool_is_unpriced(rate: Rater) -> None:
    with pytest.raises(Unpriced, match="tool:time_travel of gpt-5"):
        rate({"prompt_tokens": 1, "tool_calls": {"time_travel": 1}}, "gpt-5")


def test_the_published_row_wins_until_it_is_turned_off(rate: Rater, listed: Book) -> None:
    report = chat(1_000, 1_000)
    published = rate(report, "gpt-4-1106-preview")
    assert [line.amount for line in published.lines] == [usd("0.005"), usd("0.010")]
    assert published.lines[1].price.entry == "published:gpt-4-1106-preview/output@2023-11-06"
    official = rate_request(listed, usage.convert(report), model="gpt-4-1106-preview", at=TODAY)
    assert [line.amount for line in official.lines] == [usd("0.005"), usd("0.015")]
    assert rate(report, "gpt-4-turbo", batch=True).amount == (usd("0.005") + usd("0.015")) // 2


@pytest.mark.parametrize(
    ("name", "priced_as"),
    [
        ("openai/gpt-4", "gpt-4"),
        ("azure/gpt-35-turbo", "gpt-3.5-turbo"),
        ("gpt-35-turbo-16k-0613", "gpt-3.5-turbo-16k-0613"),
        ("text-embedding-ada-002-v2", "text-embedding-ada-002"),
        ("gpt-3.5-turbo-instruct:20230824-v2", "gpt-3.5-turbo-instruct"),
        ("davinci:2023-07-21-v2", "davinci-002"),
        ("ft:gpt-3.5-turbo:org::abc", "ft:gpt-3.5-turbo-0613"),
        ("ft:gpt-3.5-turbo-0613:org::abc", "ft:gpt-3.5-turbo-0613"),
        ("openai/ft:gpt-4o-mini-2024-07-18:org:name:id:ckpt-step-88", "ft:gpt-4o-mini-2024-07-18"),
        ("ft:gpt-35-turbo-1106:org::abc", "ft:gpt-3.5-turbo-1106"),
    ],
)
def test_names(rate: Rater, name: str, priced_as: str) -> None:
    assert rate({"prompt_tokens": 1}, name).rate.model == priced_as


def test_a_fine_tuned_model_costs_its_own_rate(rate: Rater) -> None:
    charge = rate(chat(MILLION, MILLION), "ft:gpt-3.5-turbo-0613:org::abc", day("2023-11-05"))
    assert charge.amount == (usd("12") + usd("16")) // 2
    charge = rate(chat(MILLION, MILLION), "ft:gpt-3.5-turbo-0613:org::abc", day("2023-11-06"))
    assert charge.amount == (usd("3") + usd("6")) // 2


@pytest.mark.parametrize(
    "name",
    ["gpt-4.2", "gpt-4-", "gpt-4-turbo-2024", "GPT-4", "gpt", "", "*", "ft:", "ft:nope:x", "openai/", "x" * 9999],
)
def test_an_unknown_name_is_unpriced_and_never_matched_loosely(rate: Rater, name: str) -> None:
    with pytest.raises(Unpriced) as refusal:
        rate(chat(1), name or "\0")
    assert len(str(refusal.value)) < 400


def test_an_unknown_name_suggests_the_nearest(rate: Rater) -> None:
    with pytest.raises(Unpriced, match=r"nearest known names are .*gpt-3\.5-turbo") as refusal:
        rate(chat(1), "gpt-3.5-trubo")
    assert "gpt-3.5-turbo" in refusal.value.nearest


def test_the_served_model_decides(rate: Rater) -> None:
    served = rate(chat(MILLION), "gpt-3.5-turbo", served_model="gpt-3.5-turbo-1106")
    assert served.amount == usd("1") // 2
    assert rate(chat(MILLION), "my-deployment", served_model="gpt-4o-2024-08-06").amount == usd("2.5") // 2
    with pytest.raises(Unpriced):
        rate(chat(1), "gpt-4", served_model="nobody-knows")


def test_before_its_launch_a_model_is_unpriced(rate: Rater) -> None:
    with pytest.raises(Unpriced, match="gpt-4/input@2023-03-14"):
        rate(chat(1), "gpt-4", day("2023-03-13"))


def test_a_request_that_used_nothing_costs_nothing_and_says_so(rate: Rater) -> None:
    for model, shown in (("gpt-4", "gpt-4"), ("nobody-knows", "*")):
        charge = rate(chat(0), model)
        (line,) = charge.lines
        assert (charge.amount, line.price.dimension, line.quantity, line.price.official) == (0, "request", 1, "0")
        assert charge.rate.model == line.price.model == shown


def test_rates_and_prices_are_shared(rate: Rater, book: Book) -> None:
    first, second = rate(chat(1, 1), "gpt-4"), rate(chat(5, 6), "gpt-4", multiplier="0.50", service_tier="default")
    assert first.rate is second.rate
    assert first.rate is not rate(chat(1, 1), "gpt-4", multiplier="0.6").rate
    assert first.rate.prices[0] is rate(chat(1), "gpt-4").rate.prices[0]
    assert first.rate.prices[0].book == book.digest


def test_a_price_list_is_what_is_charged(rate: Rater, book: Book) -> None:
    prices = price_list(book, "openai/gpt-5.4-2026-03-05", at=TODAY)
    assert len({(price.dimension, price.variant) for price in prices}) == len(prices) > 20
    charged = rate(chat(300_000, 1, cached_tokens=5), "gpt-5.4-2026-03-05", service_tier="flex").rate.prices
    assert set(charged) <= set(prices)
    (hd,) = (price for price in price_list(book, "dall-e-3", at=TODAY) if price.variant == "hd:1024x1792")
    assert hd.amount(hd.unit_size) == usd("0.12") // 2
    assert {price.dimension for price in price_list(book, "*", at=TODAY)} == {
        "tool:code_interpreter",
        "tool:file_search",
        "tool:web_search",
    }
    assert not [price for price in price_list(book, "gpt-image-1", at=TODAY) if "estimate" in price.dimension]
    with pytest.raises(Unpriced):
        price_list(book, "nobody-knows", at=TODAY)


@pytest.mark.parametrize("multiplier", ["0", "1", "10", "0.000000000001", "0.125"])
def test_multipliers(rate: Rater, multiplier: str) -> None:
    assert rate(chat(MILLION), "gpt-4", multiplier=multiplier).amount == 30 * usd(multiplier)


@pytest.mark.parametrize("multiplier", ["-0.1", "10.000000000001", "1e1", "", "NaN", "0.0000000000001", "half"])
def test_what_is_not_a_multiplier_is_refused(rate: Rater, multiplier: str) -> None:
    for report in (chat(1), chat(0)):
        with pytest.raises(MultiplierError, match="is not a multiplier"):
            rate(report, "gpt-4", multiplier=multiplier)


PLATFORM = {
    "gpt-4-vision-preview": "2023-11-06",
    "gpt-4-1106-preview": "2023-11-06",
    "gpt-4": "2023-03-14",
    "gpt-3.5-turbo": "2023-03-01",
    "gpt-3.5-turbo-0125": "2024-01-25",
    "gpt-3.5-turbo-0301": "2023-03-01",
    "gpt-3.5-turbo-0613": "2023-06-13",
    "gpt-3.5-turbo-1106": "2023-11-06",
    "gpt-3.5-turbo-16k": "2023-06-13",
    "gpt-3.5-turbo-16k-0613": "2023-06-13",
    "gpt-3.5-turbo-instruct": "2023-09-18",
    "text-embedding-ada-002": "2022-12-15",
    "dall-e-2": "2022-11-03",
    "dall-e-3": "2023-11-06",
    "tts-1": "2023-11-06",
    "tts-1-1106": "2023-11-06",
    "tts-1-hd": "2023-11-06",
    "tts-1-hd-1106": "2023-11-06",
}


def platform_usage(model: str) -> dict[str, Any]:
    if model.startswith("dall-e"):
        return {"n": 1}
    if model.startswith("tts"):
        return {"characters": 100}
    return chat(100, 0 if "embedding" in model else 10)


@given(st.data())
def test_the_eighteen_models_are_billable_from_launch_to_today(book: Book, data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(sorted(PLATFORM)))
    launch = day(PLATFORM[model])
    at = data.draw(st.datetimes(launch.replace(tzinfo=None), TODAY.replace(tzinfo=None), timezones=st.just(UTC)))
    charge = rate_request(book, usage.convert(platform_usage(model)), model=model, at=at)
    assert charge.amount > 0
    assert charge.amount == sum(line.amount for line in charge.lines)
    assert len(PLATFORM) == 18
