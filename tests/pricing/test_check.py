"""Each check reports what it is for, on small books of its own."""

from datetime import date
from fractions import Fraction
from types import SimpleNamespace as Data
from typing import Any

from pricing import check, peers
from pricing.book import Book

TODAY = date(2026, 11, 23)
HEAD = "model,dimension,tier,context,unit,price,effective_from,effective_to,confidence,source,checked,note\n"


def overlaid(book: Book, *rows: str) -> Book:
    return book.overlaid(HEAD + "".join(f"{row}\n" for row in rows))


def test_a_gap_in_time(listed: Book) -> None:
    book = overlaid(
        listed,
        "m,input,,,1M_tokens,1,2026-01-01,2026-02-01,A,s,2026-11-23,",
        "m,input,,,1M_tokens,1,2026-03-01,,A,s,2026-11-23,",
    )
    (finding,) = check.gaps(book)
    assert finding.subject == "local:m/input@2026-03-01"
    assert finding.sentence == "Between 2026-02-01 and 2026-03-01 there is no price."


def test_prices_off_the_list(listed: Book) -> None:
    book = overlaid(
        listed,
        "gpt-4,input,,,1M_tokens,20,2026-01-01,,A,s,2026-11-23,because",
        "gpt-4,output,,,1M_tokens,60,2026-01-01,,A,s,2026-11-23,as listed",
        "gpt-4o,input,,,1M_tokens,3,2026-01-01,,A,s,2026-11-23,dearer",
        "omni-moderation-latest,input,,,1M_tokens,0.1,2026-01-01,,A,s,2026-11-23,not free",
    )
    below, above, free = check.off_list(book)
    assert below.sentence.startswith("20 for 1M_tokens is below the official 30 (66.7% of it)")
    assert below.reason == "because"
    assert above.sentence.endswith("half of it sells above half of the list.")
    assert free.subject == "local:omni-moderation-latest/input@2026-01-01"


def test_a_price_that_nobody_checked_lately(listed: Book) -> None:
    book = overlaid(
        listed,
        "m,input,,,1M_tokens,1,2026-01-01,,A,s,2026-07-25,",
        "m,output,,,1M_tokens,1,2026-01-01,,A,s,2026-07-26,",
        "m,cached_input,,,1M_tokens,1,2026-01-01,2026-02-01,A,s,2026-01-01,",
    )
    assert [finding.subject for finding in check.stale(book, TODAY)] == ["local:m/input@2026-01-01"]


def test_questions_are_open_from_their_day_on(book: Book) -> None:
    sol = [finding for finding in check.open_questions(book, TODAY) if finding.subject.startswith("gpt-5.6-sol")]
    assert len(sol) == 1
    assert "promotional" in sol[0].sentence
    before = check.open_questions(book, date(2026, 11, 21))
    assert not [finding for finding in before if finding.subject.startswith("gpt-5.6-sol")]


def test_drift_from_litellm(listed: Book) -> None:
    data: dict[str, Any] = {
        "gpt-4o": {
            "litellm_provider": "openai",
            "mode": "chat",
            "input_cost_per_token": 2.5e-06,
            "input_cost_per_token_batches": 1.25e-06,
            "output_cost_per_token": 1.1e-05,
            "supports_vision": True,
        },
        "gpt-5.4": {"litellm_provider": "openai", "input_cost_per_token_above_272k_tokens_flex": 2.5e-06},
        "gpt-4o-transcribe": {"litellm_provider": "openai", "input_cost_per_audio_token": 2.5e-06},
        "whisper-1": {"litellm_provider": "openai", "input_cost_per_second": 0.0001},
        "gpt-realtime-whisper": {"litellm_provider": "openai", "input_cost_per_second": 0.00028333333333333335},
        "azure/gpt-4o": {"litellm_provider": "azure", "input_cost_per_token": 9.9e-06},
        "only-there": {"litellm_provider": "openai", "input_cost_per_token": 1e-06},
    }
    prices = peers.from_litellm(data)
    assert prices["gpt-4o", "input", "batch", ""] == Fraction("0.00000125")
    assert prices["gpt-5.4", "input", "flex", ">272k"] == Fraction("0.0000025")
    wrong, known = check.drift(listed, prices, "litellm", TODAY)
    assert (wrong.subject, wrong.reason) == ("gpt-4o/output@2024-10-02", "")
    assert wrong.sentence == "litellm has 11 for 1M_tokens where the book has 10."
    assert known.subject == "gpt-4o-transcribe/input_audio@2025-03-20"
    assert "open question" in known.reason


def test_drift_from_genai_prices(listed: Book) -> None:
    tiered = Data(base="2.5", tiers=[Data(start=272_000, price="5")])
    models = [
        Data(
            id="gpt-5.4",
            prices=Data(input_mtok=tiered, output_mtok="15", web_searches_kcount="10"),
            price_variants=[
                Data(when={"service_tier": "flex"}, prices=Data(input_mtok="1.25")),
                Data(when={"service_tier": "default"}, prices=Data()),
            ],
        ),
        Data(id="o3", prices=[Data(prices=Data(input_mtok="10")), Data(prices=Data(input_mtok="3"))]),
    ]
    prices = peers.from_genai_prices(models)
    assert prices["gpt-5.4", "input", "", ">272k"] == Fraction(5, 10**6)
    assert prices["gpt-5.4", "input", "flex", ""] == Fraction("1.25") / 10**6
    assert prices["gpt-5.4", "tool:web_search", "", ""] == Fraction(1, 100)
    (finding,) = check.drift(listed, prices, "genai-prices", TODAY)
    assert finding.subject == "o3/input@2025-06-10"


def test_every_known_disagreement_has_a_reason_and_still_disagrees(listed: Book) -> None:
    known = check.disagreements()
    assert len(known) > 90
    for (model, dimension, _, theirs), reason in known.items():
        assert reason
        (entry,) = (
            entry for entry in listed.in_force(model, check.midnight(TODAY)) if entry.key[1:] == (dimension, "", "")
        )
        assert Fraction(entry.price) != Fraction(theirs)
