"""Usage changed to what a policy bills of it."""

from pricing.adjust import adjusted
from pricing.usage import convert


def test_what_is_taken_away_is_of_the_general_first_in_every_spelling() -> None:
    spellings = (
        {"quantities": {"input": 50, "cached_input": 100, "output": 7}},
        {"prompt_tokens": 150, "prompt_tokens_details": {"cached_tokens": 100}, "completion_tokens": 7},
    )
    for report in spellings:
        billed = adjusted(convert(report), input=90, output=8)
        assert dict(zip(billed.dimensions, billed.quantities, strict=True)) == {"cached_input": 90, "output": 8}
        assert billed.input_tokens == 90
        billed = adjusted(convert(report), input=120, output=None)
        assert dict(zip(billed.dimensions, billed.quantities, strict=True)) == {
            "input": 20,
            "cached_input": 100,
            "output": 7,
        }
