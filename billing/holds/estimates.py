"""What a request may cost at most: said by who asks, or priced by the book from its tokens. Pure."""

from datetime import datetime
from typing import Any, Final

from billing.errors import Fault, Invalid, Problem, Unprocessable
from billing.holds.rules import Price
from billing.prices.terms import Terms
from billing.tokens.costs import priced
from pricing import money, tokens
from pricing.errors import Unpriced, UsageError
from pricing.rating import rate_request
from pricing.tokens import Counted
from pricing.usage import Usage, convert

# Kinds of models whose answers have no tokens that are billed.
_WITHOUT_OUTPUT: Final = frozenset({"embedding", "moderation", "speech", "image", "transcription"})


def exactly(picos: int) -> Price:
    """A maximum that was said."""
    return lambda _terms, _account, _at: picos


def of_usage(model: str, usage: Usage, *, service_tier: str | None, batch: bool) -> Price:
    """The price of a usage that is not exceeded."""

    def price(terms: Terms, account_id: str, at: datetime) -> int:
        agreed = terms.of(account_id, at)
        try:
            return rate_request(
                agreed.book,
                usage,
                model=model,
                at=at,
                service_tier=service_tier,
                batch=batch,
                multiplier=agreed.multiplier,
            ).amount
        except Unpriced as fault:
            raise unpriced(fault) from None

    return price


def of_request(model: str, request: dict[str, Any], counted: Counted, output_tokens: int | None) -> Price:
    """The price of the most that a request body, whose tokens were counted, and its answer can come to."""

    def price(terms: Terms, account_id: str, at: datetime) -> int:
        agreed = terms.of(account_id, at)
        try:
            found = priced(agreed.book, model, counted, request, output_tokens, at=at, multiplier=agreed.multiplier)
        except Unpriced as fault:
            raise unpriced(fault) from None
        most = None if found is None else found.total.ours[1]
        if most is None:
            raise Unprocessable(
                "unbounded_estimate",
                "Nothing bounds what this request may cost; say a max_cost.",
                (
                    Fault(
                        "unbounded_estimate", counted.input.reason or "It could not be counted.", "$.estimate.request"
                    ),
                ),
            )
        return money.parse(most)

    return price


def unpriced(fault: Unpriced) -> Problem:
    faults = tuple(Fault("nearest_model", name, "$.model") for name in fault.nearest)
    return Unprocessable("unpriced", str(fault), faults)


def usage_of(report: dict[str, Any]) -> Usage:
    """Raises Invalid at the place that cannot be."""
    try:
        return convert(report)
    except UsageError as fault:
        path = "$.estimate.usage" + fault.path.removeprefix("$")
        raise Invalid("invalid_usage", fault.detail, (Fault("invalid_usage", fault.detail, path),)) from None


def output_most(model: str, request: dict[str, Any], given: int | None) -> int | None:
    """The most tokens of an answer: as given, or as the request bounds it, of all its choices.

    Raises Invalid when nothing says it and the model's answers are billed.
    """
    if given is not None:
        return given
    for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        most, choices = request.get(name), request.get("n", 1)
        if isinstance(most, int) and isinstance(choices, int) and most >= 0 and choices > 0:
            return most * choices
    known = tokens.model(model)
    if known is not None and known.kind in _WITHOUT_OUTPUT:
        return None
    detail = "Nothing says how long the answer may become: say max_output_tokens, or max_tokens in the request."
    raise Invalid("missing_output", detail, (Fault("missing_output", detail, "$.estimate.max_output_tokens"),))
