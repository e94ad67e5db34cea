"""The book against the research it was made from, recomputed with fractions straight from the rows.

Nothing of pricing's own reading, rounding or lookup is used for the expected amounts.
"""

import csv
import json
import lzma
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing import usage
from pricing.book import Book
from pricing.rating import Unpriced, rate_request

PICOS = 10**12
UNITS = {
    "1M_tokens": 10**6,
    "1M_characters": 10**6,
    "minute": 60,
    "second": 1,
    "audio_hour": 3_600,
    "hour": 3_600,
    "image": 1,
    "1K_calls": 1_000,
    "session": 1,
}
LONG = 272_001


class Row(NamedTuple):
    model: str
    dimension: str
    tier: str
    context: str
    unit: str
    dollars: Fraction
    since: date
    until: date


def rows_of(research: Path) -> list[Row]:
    found = []
    with (research / "rates" / "official_rates.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["note"].startswith("[D]"):
                continue
            dimension, *suffixes = row["dimension"].split("|")
            context = ">272k" if ">272k" in suffixes else ""
            tier = "".join(suffix for suffix in suffixes if suffix != ">272k")
            since = date.fromisoformat(row["effective_from"] or "0001-01-01")
            until = date.fromisoformat(row["effective_to"] or "9999-12-31")
            place = (row["model"], dimension, tier, context)
            found.append(Row(*place, row["unit"], Fraction(row["usd_per_unit"]), since, until))
    return found


@pytest.fixture(scope="module")
def rows(research: Path) -> list[Row]:
    return rows_of(research)


TOOLS = {
    "tool:web_search": "tool:web_search",
    "tool:web_search(GA, all models)": "tool:web_search",
    "tool:web_search(context=high)": "tool:web_search_preview:high",
    "tool:web_search(context=medium)": "tool:web_search_preview:medium",
    "tool:web_search(context=low)": "tool:web_search_preview:low",
    "tool:file_search(responses)": "tool:file_search",
    "tool:file_search call (Responses)": "tool:file_search",
    "tool:code_interpreter session": "tool:code_interpreter",
}


def test_every_row_of_the_research_is_in_the_book(rows: list[Row], listed: Book) -> None:
    assert len(rows) == 1_047 - 13
    for row in rows:
        at = datetime.combine(row.since if row.since.year > 1 else date(2022, 1, 1), time.min, UTC)
        if "preview, " in row.dimension:  # named for a family in the research, for each model in the book
            model = "gpt-4.1" if "non-reasoning" in row.dimension else "gpt-5"
            entry = listed.find(model, "tool:web_search_preview", "", "", at)
        else:
            dimension = TOOLS.get(row.dimension, row.dimension)
            (official,) = listed.layers
            sequence = official[row.model, dimension, row.tier, row.context]
            entry = next((entry for entry in sequence if entry.since <= at < entry.until), None)
            assert entry is None or entry.effective_to == ("" if row.until.year == 9999 else str(row.until))
        assert entry is not None, row
        assert (Fraction(entry.price), entry.unit) == (row.dollars, row.unit)


# The general dimension whose rate a specific one costs where it has none of its own (data/rates/README.md).
GENERAL = {"cached_input": "input", "cached_input_audio": "input_audio", "cached_input_image": "input_image"}


def in_force(rows: list[Row], model: str, dimension: str, tier: str, context: str, on: date) -> Row | None:
    wanted = (model, dimension, tier, context)
    return next((row for row in rows if row[:4] == wanted and row.since <= on < row.until), None)


def expected(
    rows: list[Row], model: str, quantities: dict[str, int], tier: str, context: str, on: date, multiplier: Fraction
) -> int | None:
    """Picodollars by the research alone, or None where it has no rate for a dimension used."""
    total = 0
    for dimension, quantity in quantities.items():
        row = in_force(rows, model, dimension, tier, context, on)
        if row is None and dimension in GENERAL:
            row = in_force(rows, model, GENERAL[dimension], tier, context, on)
        if row is None:
            return None
        exact = quantity * row.dollars / UNITS[row.unit] * multiplier * PICOS
        total += (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
    return total


def dates_near_changes(rows: list[Row], model: str) -> list[date]:
    days = {row.since for row in rows if row.model == model} | {row.until for row in rows if row.model == model}
    changes = {day for day in days if 1 < day.year < 9999}
    return sorted({day + timedelta(days=step) for day in changes for step in (-1, 0, 1)} | {date(2026, 11, 23)})


quantity = st.one_of(st.integers(1, 1_000), st.integers(1, 10**9))
multipliers = st.one_of(st.just("0.5"), st.decimals(0, 10, places=4).map(lambda n: f"{n:f}"), st.just("0.333333333333"))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_random_charges_are_what_the_research_says(rows: list[Row], listed: Book, data: st.DataObject) -> None:
    """Random models, dimensions, tiers, contexts and both sides of each date at which anything changes."""
    model = data.draw(st.sampled_from(sorted({row.model for row in rows} - {"*"})))
    own = [row for row in rows if row.model == model and not row.dimension.startswith(("tool:", "image_estimate"))]
    if not own:
        return
    tier = data.draw(st.sampled_from(sorted({row.tier for row in own})))
    context = data.draw(st.sampled_from(sorted({row.context for row in own})))
    dimensions = sorted({row.dimension for row in own} | ({"cached_input"} if own[0].unit == "1M_tokens" else set()))
    used = data.draw(st.lists(st.sampled_from(dimensions), min_size=1, unique=True))
    quantities = {dimension: data.draw(quantity) for dimension in used}
    if context:
        quantities["input"] = quantities.get("input", 0) + LONG
    elif sum(count for name, count in quantities.items() if "input" in name or "cache" in name) >= LONG:
        quantities = {name: count % 1_000 + 1 for name, count in quantities.items()}
    on = data.draw(st.sampled_from(dates_near_changes(rows, model)))
    at = datetime.combine(on, data.draw(st.times()), UTC)
    multiplier = data.draw(multipliers)

    amount = expected(rows, model, quantities, tier, context, on, Fraction(multiplier))
    report: dict[str, Any] = {"quantities": quantities}
    try:
        charge = rate_request(
            listed, usage.convert(report), model=model, at=at, service_tier=tier or "default", multiplier=multiplier
        )
    except Unpriced:
        assert amount is None
        return
    if amount is None:  # an alias or a snapshot has the rate: the same model by another name
        assert any(not line.price.entry.startswith(f"{model}/") for line in charge.lines)
        return
    assert charge.amount == amount
    assert charge.amount == sum(line.price.amount(line.quantity) for line in charge.lines)


def test_every_alias_of_the_research_is_known(research: Path, book: Book) -> None:
    with (research / "rates" / "aliases.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert book.card(row["alias"]) is not None
            assert book.card(row["snapshot"]) is not None


def test_the_costs_that_peers_expect(research: Path, listed: Book) -> None:
    """tokencost's own cost tests, at full price, on a day when its rates were in force."""
    with lzma.open(research / "tokens" / "vectors.jsonl.xz", "rt", encoding="utf-8") as lines:
        vectors = [vector for vector in map(json.loads, lines) if vector.get("expected_cost_usd")]
    assert len(vectors) == 31
    for vector in vectors:
        completion = vector.get("expected_completion_tokens") or 0
        report = {
            "prompt_tokens": 0 if completion else vector["expected_prompt_tokens"],
            "completion_tokens": completion,
        }
        on = datetime(2024, 10, 2, tzinfo=UTC) if vector["model"] == "gpt-4o" else datetime(2024, 1, 1, tzinfo=UTC)
        charge = rate_request(listed, usage.convert(report), model=vector["model"], at=on, multiplier="1")
        assert Fraction(charge.amount, PICOS) == Fraction(vector["expected_cost_usd"])
