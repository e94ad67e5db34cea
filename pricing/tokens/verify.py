"""Verdicts on reported usage, and what a policy bills. A count is an interval; a report is judged by where it falls.

    exact           the report is our likeliest count, on every side that was counted
    within_bounds   it is inside the interval
    over_reported   it exceeds the upper bound, or one of its parts exceeds the whole
    under_reported  it is below the lower bound
    counted         there was no report: we counted
    unverifiable    no side could be counted; the reason says why

Of two sides the gravest verdict stands, in the order over, under, counted, within, exact, unverifiable.

Policies: `reported` bills the report, capped at the upper bound. `counted` bills our count: where that is an interval,
the report if it lies inside, else the nearer end. `lower` bills the lower of the report and our likeliest count, but
the report where nobody can bound the count.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from pricing.policies import Policy
from pricing.tokens.bounds import Count
from pricing.tokens.counting import Counted, Uncounted, count
from pricing.tokens.limits import DEFAULT, Limits
from pricing.tokens.typescript import Schema

Verdict = Literal["exact", "within_bounds", "over_reported", "under_reported", "counted", "unverifiable"]
_GRAVITY: Final[tuple[Verdict, ...]] = (
    "over_reported",
    "under_reported",
    "counted",
    "within_bounds",
    "exact",
    "unverifiable",
)


@dataclass(frozen=True, slots=True)
class Reported:
    """Usage as the upstream reports it. None: not reported. Units are the endpoint's."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cached: int | None = None  # part of the input, like audio_input
    audio_input: int | None = None
    reasoning: int | None = None  # part of the output, like the three below
    audio_output: int | None = None
    accepted_prediction: int | None = None
    rejected_prediction: int | None = None

    @classmethod
    def from_usage(cls, usage: Any) -> "Reported":
        """From any spelling of OpenAI's `usage`; what is not a whole number ≥ 0 counts as not reported."""
        usage = usage if isinstance(usage, dict) else {}
        details_in = _first_dict(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details")
        details_out = _first_dict(usage, "completion_tokens_details", "output_tokens_details", "output_token_details")
        return cls(
            input=_first_number(usage, "prompt_tokens", "input_tokens", "characters", "seconds"),
            output=_first_number(usage, "completion_tokens", "output_tokens", "n", "images"),
            total=_first_number(usage, "total_tokens"),
            cached=_first_number(details_in, "cached_tokens"),
            audio_input=_first_number(details_in, "audio_tokens"),
            reasoning=_first_number(details_out, "reasoning_tokens"),
            audio_output=_first_number(details_out, "audio_tokens"),
            accepted_prediction=_first_number(details_out, "accepted_prediction_tokens"),
            rejected_prediction=_first_number(details_out, "rejected_prediction_tokens"),
        )

    def inconsistency(self) -> str:
        """Why the numbers contradict one another, or nothing. Needs no text."""
        for part in ("cached", "audio_input"):
            if _exceeds(getattr(self, part), self.input):
                return f"{part} exceeds input"
        for part in ("reasoning", "audio_output", "accepted_prediction", "rejected_prediction"):
            if _exceeds(getattr(self, part), self.output):
                return f"{part} exceeds output"
        if self.total is not None and self.input is not None and self.total != self.input + (self.output or 0):
            return "total is not input + output"
        return ""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the exchange: what was reported, what we count, and the verdict on it."""

    verdict: Verdict
    reported: int | None
    counted: Count | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict on an exchange, with both numbers of both sides. Holds no text of the exchange."""

    verdict: Verdict
    reason: str
    input: Side
    output: Side
    unit: str = "tokens"


@dataclass(frozen=True, slots=True)
class Billable:
    """What to bill, in the exchange's unit. None: neither reported nor countable."""

    input: int | None
    output: int | None


def verify(
    path: str,
    model_name: str,
    request: Any,
    response: Any,
    usage: Any,
    *,
    limits: Limits = DEFAULT,
) -> Verification:
    """Judge what was reported for one exchange. Arguments as of `count`; `usage` is JSON, a `Reported`, or None.

    Never raises for any JSON.
    """
    reported = usage if isinstance(usage, Reported) else Reported.from_usage(usage)
    counted = count(path, model_name, request, response, reasoning=reported.reasoning, limits=limits)
    return judge(reported, counted)


def judge(reported: Reported, counted: Counted) -> Verification:
    """The verdict of a count on a report."""
    given = _side(reported.input, counted.input)
    answer = _side(reported.output, counted.output)
    verdict = min(given.verdict, answer.verdict, key=_GRAVITY.index)
    reasons = [f"{name}: {side.reason}" for name, side in (("input", given), ("output", answer)) if side.reason]
    contradiction = reported.inconsistency()
    if contradiction:
        reasons.insert(0, contradiction)
        verdict = "over_reported"
    return Verification(verdict, "; ".join(reasons), given, answer, counted.unit)


def billable(found: Verification, policy: Policy = "reported") -> Billable:
    """The numbers that a policy bills for a verified exchange."""
    return Billable(input=_billed(found.input, policy), output=_billed(found.output, policy))


def _side(reported: int | None, counted: Count | Uncounted) -> Side:
    if isinstance(counted, Uncounted):
        return Side("unverifiable", reported, None, counted.reason)
    return Side(_verdict(reported, counted), reported, counted, counted.reason)


def _verdict(reported: int | None, counted: Count) -> Verdict:
    if reported is None:
        return "counted" if counted.high != 0 else "exact"  # an endpoint without output reports none
    if reported < counted.low:
        return "under_reported"
    if counted.high is not None and reported > counted.high:
        return "over_reported"
    return "exact" if reported == counted.likely else "within_bounds"


def _billed(side: Side, policy: Policy) -> int | None:
    if side.counted is None or side.reported is None:
        return side.reported if side.counted is None else side.counted.likely
    capped = side.reported if side.counted.high is None else min(side.reported, side.counted.high)
    if policy == "reported":
        return capped
    if policy == "counted":
        return max(capped, side.counted.low)
    return min(side.reported, side.counted.likely) if side.counted.high is not None else side.reported


def _exceeds(part: int | None, whole: int | None) -> bool:
    return part is not None and whole is not None and part > whole


def _first_dict(usage: Schema, *keys: str) -> Schema:
    return next((usage[key] for key in keys if isinstance(usage.get(key), dict)), {})


def _first_number(usage: Schema, *keys: str) -> int | None:
    return next((usage[key] for key in keys if _is_count(usage.get(key))), None)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
