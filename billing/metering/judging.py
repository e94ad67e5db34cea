"""What becomes of a count of an event's text: what is billed by the policy, and the verdict that stays with the event.

rules.md Verification: the report is billed unless it exceeds our upper bound; every verdict is kept with both numbers.
Pure: the counting itself is done elsewhere (content.py, in the processes of verifier.py).
"""

from collections.abc import Callable

import msgspec

from billing.metering.content import Exchange, Verified
from billing.metering.events import UsageEvent, has_usage
from pricing import adjust
from pricing.errors import Unpriced, UsageError
from pricing.tokens import Count, Policy, Reported, Side, Verdict, Verification, billable
from pricing.usage import Usage, read

Span = tuple[int, int | None]
Cost = Callable[[Usage], int]
"""Picodollars of a usage at the event's terms. Raises Unpriced."""

MISMATCHES = ("over_reported", "under_reported")


class Numbers(msgspec.Struct, frozen=True):
    """One side of the exchange each; None where nothing is known."""

    input: int | None
    output: int | None


class Spans(msgspec.Struct, frozen=True):
    """Our count of each side, [low, high]: high is null where nothing bounds it, a side that was not counted wholly."""

    input: Span | None
    output: Span | None


class VerdictView(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a usage with both numbers (docs/tokens.md); `billed` is what the policy makes of them."""

    verdict: Verdict
    reported: Numbers
    counted: Spans
    reason: str
    unit: str
    policy: Policy
    billed: Numbers


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict as it is kept. Excess and shortfall: how far the report lies outside of our count, at what cost."""

    verification: Verification
    policy: Policy
    billed: Numbers
    excess: int = 0
    shortfall: int = 0
    excess_amount: int = 0
    shortfall_amount: int = 0

    @property
    def is_mismatch(self) -> bool:
        return self.verification.verdict in MISMATCHES

    def view(self) -> VerdictView:
        found = self.verification
        return VerdictView(
            verdict=found.verdict,
            reported=Numbers(found.input.reported, found.output.reported),
            counted=Spans(_span(found.input), _span(found.output)),
            reason=found.reason,
            unit=found.unit,
            policy=self.policy,
            billed=self.billed,
        )


def exchange_of(event: UsageEvent) -> Exchange | None:
    """What is to be counted of an event; None when it carries no text, or a usage that cannot be read."""
    content = bytes(event.content)
    if content in (b"", b"null"):
        return None
    try:
        usage = read(event.usage) if has_usage(event.usage) else None
    except UsageError:
        return None
    return Exchange(
        endpoint=event.endpoint,
        model=event.served_model or (usage and usage.served_model) or event.model,
        content=content,
        reported=None if usage is None or usage.is_zero else _reported(usage),
        whole=event.ended == "completed",
    )


def _reported(usage: Usage) -> Reported:
    given, answer = adjust.sides(usage)
    return Reported(input=given, output=answer, reasoning=usage.reasoning_tokens)


def billed_usage(usage: Usage | None, verified: Verified, policy: Policy) -> Usage | None:
    """The usage to be billed: the report as the policy corrects it, or our count where nothing is reported.

    None when there is neither.
    """
    if usage is None or usage.is_zero:
        return verified.counted
    bill = billable(_same_unit(usage, verified.verification), policy)
    return adjust.adjusted(usage, input=bill.input, output=bill.output)


def judged(usage: Usage | None, verified: Verified, policy: Policy, billed: Usage | None, cost: Cost) -> Judgement:
    """The verdict to be kept with an event."""
    if usage is None or usage.is_zero:
        sides = (None, None) if billed is None else adjust.sides(billed)
        return Judgement(verification=verified.verification, policy=policy, billed=Numbers(*sides))
    found = _same_unit(usage, verified.verification)
    plain = Judgement(verification=found, policy=policy, billed=Numbers(*adjust.sides(billed or usage)))
    if not plain.is_mismatch:
        return plain
    over, under = _bounds(found, "over_reported"), _bounds(found, "under_reported")
    given, answer = adjust.sides(usage)
    try:
        reported = cost(usage)
        excess_amount = reported - cost(adjust.adjusted(usage, input=over.input, output=over.output))
        shortfall_amount = cost(adjust.adjusted(usage, input=under.input, output=under.output)) - reported
    except Unpriced:
        excess_amount = shortfall_amount = 0
    return msgspec.structs.replace(
        plain,
        excess=_distance(given, over.input) + _distance(answer, over.output),
        shortfall=_distance(given, under.input) + _distance(answer, under.output),
        excess_amount=excess_amount,
        shortfall_amount=shortfall_amount,
    )


def _same_unit(usage: Usage, found: Verification) -> Verification:
    """A count in characters says nothing of a report in tokens."""
    if adjust.unit(usage) == found.unit:
        return found
    reason = f"the usage is given in {adjust.unit(usage)}, the text counts in {found.unit}"
    given, answer = adjust.sides(usage)
    return Verification(
        "unverifiable",
        reason,
        Side("unverifiable", given, None, reason),
        Side("unverifiable", answer, None, reason),
        adjust.unit(usage),
    )


def _bounds(found: Verification, verdict: Verdict) -> Numbers:
    """The bound of our count that the report is beyond, of each side with this verdict."""
    return Numbers(_bound(found.input, verdict), _bound(found.output, verdict))


def _bound(side: Side, verdict: Verdict) -> int | None:
    if side.counted is None or side.verdict != verdict:
        return None
    return side.counted.high if verdict == "over_reported" else side.counted.low


def _distance(reported: int, bound: int | None) -> int:
    return 0 if bound is None else abs(reported - bound)


def _span(side: Side) -> Span | None:
    return (side.counted.low, side.counted.high) if isinstance(side.counted, Count) else None
