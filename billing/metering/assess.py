"""From an event to what it costs, or why it waits for review. Pure: no database, no clock."""

import hashlib
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from billing.metering import corrections, events
from billing.metering.content import Verified
from billing.metering.corrections import Charged
from billing.metering.events import UsageEvent, has_usage, usage_path
from billing.metering.judging import Judgement, billed_usage, judged
from billing.metering.outcomes import Outcome, outcome_of
from billing.metering.refused import Refused
from billing.prices.terms import Agreed, Terms
from pricing import money
from pricing.book import Book
from pricing.charge import Charge, Price, Rate
from pricing.errors import Unpriced, UsageError
from pricing.rating import price_list, rate_request
from pricing.usage import Usage, canonical, convert, decode

PICOS_MAX = 9 * 10**18
"""A single event above nine million dollars is absurd: refused. What is below fits 64 bits on its way to PostgreSQL."""

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
"""Before this there was no OpenAI API to use."""

NO_USAGE = "no_usage"
UNPRICED_MODEL = "unpriced_model"
UNPRICED_DIMENSION = "unpriced_dimension"

UNKNOWN_MODEL = "unknown"
"""Stands for every name the book does not know: prices are kept for ever, and anybody can make up names."""


class StoredPrice(msgspec.Struct, frozen=True, kw_only=True):
    """A price as the table `prices` keeps it. `official` is None when there is no price to be had."""

    model: str
    dimension: str
    variant: str = ""
    unit: str = "request"
    unit_size: int = 1
    official: str | None
    multiplier: str = "0"
    entry: str
    source: str = ""
    book: str = ""


class Nothing(msgspec.Struct, frozen=True):
    """Instead of a rate: a request of which nothing is billed, for the reason that `entry` says."""

    model: str
    entry: Literal["nothing-delivered", "voided", "unpriced"]

    def price(self) -> StoredPrice:
        official = None if self.entry == "unpriced" else "0"
        return StoredPrice(model=self.model, dimension="request", official=official, entry=self.entry)


class Assessed(msgspec.Struct, frozen=True, kw_only=True):
    """An event ready to be booked. Amounts are picodollars, one quantity and amount for each price of the rate.

    `undone` are the lines that it takes back of the event it `corrects`: price number, quantity, picodollars. `amount`
    and `cost` are what the book changes by; `costed`: the cost is known for the first time. Times that the gateway did
    not take are -1.
    """

    index: int
    account_id: str
    key_id: str | None
    source: str
    id: str
    time: datetime
    digest: bytes
    body: str
    upstream: str | None
    rate: Rate | Nothing
    quantities: tuple[int, ...]
    amounts: tuple[int, ...]
    amount: int
    review: str | None
    note: str | None
    authorization: str | None = None
    judgement: Judgement | None = None
    cost: int | None = None
    costed: bool = False
    corrects: str | None = None
    undone: tuple[corrections.Line, ...] = ()
    outcome: Outcome = Outcome.COMPLETED
    latency_ms: int = -1
    first_token_ms: int = -1

    @property
    def identity(self) -> tuple[str, str, str]:
        return (self.account_id, self.source, self.id)


def stored(rate: Rate | Nothing) -> list[StoredPrice]:
    """The prices of a rate, as they are stored."""
    return [rate.price()] if isinstance(rate, Nothing) else [_stored(price) for price in rate.prices]


def _stored(price: Price) -> StoredPrice:
    return StoredPrice(**{field: getattr(price, field) for field in StoredPrice.__struct_fields__})


def assess(
    index: int,
    event: UsageEvent,
    account_id: str,
    key_id: str | None,
    *,
    terms: Terms,
    latest: datetime,
    verified: Verified | None = None,
    first: Charged | None = None,
) -> Assessed:
    """Price one event at its own time and its owner's terms (rules.md Money 3). `latest` is the latest time believed.

    `verified` is what was found of its text, if it carried any; `first` is what was booked for the event it stands for,
    if it names one. Raises Refused for counts that cannot be, a time that cannot be, or an absurd amount.
    """
    if not EARLIEST <= event.time <= latest:
        raise Refused("absurd_time", "$.time", f"The time {event.time.isoformat()} cannot be right.")
    try:
        report = decode(event.usage) if has_usage(event.usage) else None
        usage = None if report is None else convert(report)
    except UsageError as fault:
        raise Refused("invalid_usage", usage_path(fault), fault.detail) from None
    agreed = terms.of(account_id, event.time)
    billed, judgement = _judged(event, usage, verified, agreed)
    cut = usage is not None and not usage.is_zero and billed is not None and billed.is_zero
    rate, quantities, amounts, review, note = _rated(event, billed, agreed, cut=cut)
    undone = () if first is None else first.lines
    amount = sum(amounts) - sum(picos for _, _, picos in undone)
    upstream = event.upstream.name if event.upstream else None
    cost = _cost(event, usage or billed, terms, upstream)
    _check_amounts(event, sum(amounts), judgement, cost)
    if first is not None:
        key_id, cost = key_id or first.key_id, first.cost_change(cost)
    told = canonical_event(event, account_id, report)
    return Assessed(
        index=index,
        account_id=account_id,
        key_id=key_id,
        source=event.source,
        id=event.id,
        time=event.time,
        digest=hashlib.sha256(told).digest(),
        body=_kept(told, event).decode(),
        upstream=upstream,
        rate=rate,
        quantities=quantities,
        amounts=amounts,
        amount=amount,
        review=review,
        note=note,
        authorization=event.authorization,
        judgement=judgement,
        cost=cost,
        costed=cost is not None and (first is None or first.cost is None),
        corrects=corrections.named_by(event),
        undone=undone,
        outcome=outcome_of(event),
        latency_ms=-1 if event.latency_ms is None else event.latency_ms,
        first_token_ms=-1 if event.first_token_ms is None else event.first_token_ms,
    )


def _check_amounts(event: UsageEvent, amount: int, judgement: Judgement | None, cost: int | None) -> None:
    """Raises Refused for what is absurd: the charge, what the report would have cost more or less, the cost."""
    excess, shortfall = (judgement.excess_amount, judgement.shortfall_amount) if judgement else (0, 0)
    if max(amount, abs(excess), abs(shortfall)) > PICOS_MAX:
        raise Refused("absurd_usage", "$.usage", "This one event would cost more than nine million dollars.")
    if cost is not None and cost > PICOS_MAX:
        place = "$.upstream.cost" if event.upstream and event.upstream.cost is not None else "$.usage"
        raise Refused("absurd_cost", place, "The upstream would take more than nine million dollars for it.")


def _cost(event: UsageEvent, usage: Usage | None, terms: Terms, upstream: str | None) -> int | None:
    """Picodollars that the upstream takes: as given, nothing for a failure, else the official price by its factor.

    None: not known.
    """
    if event.upstream is not None and event.upstream.cost is not None:
        return money.parse(event.upstream.cost)
    if event.voids is not None or not _owes(event, usage):
        return 0
    factor = terms.factor(upstream, event.time)
    if factor is None or usage is None:
        return None
    try:
        return charge_for(event, usage, terms.standard.book, factor).amount
    except Unpriced:
        return None


def _judged(
    event: UsageEvent, usage: Usage | None, verified: Verified | None, agreed: Agreed
) -> tuple[Usage | None, Judgement | None]:
    """The usage to be billed, and the verdict that is kept. Of a void, and of what is not owed, nothing is judged."""
    if verified is None or event.voids is not None:
        return usage, None
    if not _owes(event, verified.counted if usage is None or usage.is_zero else usage):
        return usage, None
    billed = billed_usage(usage, verified, agreed.policy)
    judgement = judged(
        usage,
        verified,
        agreed.policy,
        billed,
        lambda used: charge_for(event, used, agreed.book, agreed.multiplier).amount,
    )
    return billed, judgement


Rated = tuple[Rate | Nothing, tuple[int, ...], tuple[int, ...], str | None, str | None]


def _rated(event: UsageEvent, usage: Usage | None, agreed: Agreed, *, cut: bool) -> Rated:
    """`cut`: the policy bills nothing of what was reported, because the text shows that nothing was delivered."""
    model = event.served_model or (usage and usage.served_model) or event.model
    card = agreed.book.card(model)
    named = card.name if card is not None else UNKNOWN_MODEL
    if event.voids is not None:
        return _nothing(named, "voided")
    if cut or not _owes(event, usage):
        return _nothing(named)
    if usage is None or (usage.is_zero and event.ended == "completed"):
        if _is_free(agreed.book, model, event.time):
            return _nothing(named)
        return _for_review(named, NO_USAGE, "The request was answered, but the event does not say what was used.")
    try:
        charge = charge_for(event, usage, agreed.book, agreed.multiplier)
    except Unpriced as fault:
        return _for_review(named, UNPRICED_DIMENSION if fault.dimension else UNPRICED_MODEL, str(fault))
    return charge.rate, charge.quantities, charge.rate.amounts(charge.quantities), None, None


def charge_for(event: UsageEvent, usage: Usage, book: Book, multiplier: str) -> Charge:
    return rate_request(
        book,
        usage,
        model=event.model,
        at=event.time,
        served_model=event.served_model,
        service_tier=event.service_tier,
        batch=event.batch,
        multiplier=multiplier,
    )


def _owes(event: UsageEvent, usage: Usage | None) -> bool:
    """A failed request is free unless something was delivered all the same (product.md, pains 9 and 10)."""
    failed = not 200 <= event.status < 300 or event.ended == "failed"
    return not failed or (usage is not None and delivered(usage))


def delivered(usage: Usage) -> bool:
    """Whether the customer got something: tokens of an answer, or images."""
    return usage.output_tokens > 0 or any(dimension.startswith("image:") for dimension in usage.dimensions)


def _is_free(book: Book, model: str, at: datetime) -> bool:
    """Whether a model costs nothing whatever is used, as those of moderation do, whose answers have no usage."""
    try:
        prices = price_list(book, model, at=at)
    except Unpriced:
        return False
    return bool(prices) and all(price.official == "0" for price in prices)


def _nothing(model: str, entry: Literal["nothing-delivered", "voided"] = "nothing-delivered") -> Rated:
    return Nothing(model, entry), (1,), (0,), None, None


def _for_review(model: str, review: str, note: str) -> Rated:
    return Nothing(model, "unpriced"), (1,), (0,), review, note


def canonical_event(event: UsageEvent, account_id: str, report: dict[str, Any] | None) -> bytes:
    """What a customer is told of an event, in one spelling: no text, no key, no upstream, its time in UTC, its usage
    sorted. So the same event is the same bytes, however its sender wrote the JSON (rules.md Usage 1).

    The event's digest is of these: were the upstream in it, what we pay there could be found by trial.
    """
    return msgspec.json.encode(
        msgspec.structs.replace(
            event,
            account=account_id,
            api_key=None,
            api_key_hash=None,
            time=event.time.astimezone(UTC),
            usage=events.NO_USAGE if report is None else msgspec.Raw(canonical(report)),
            upstream=None,
            content=events.NO_CONTENT,
        )
    )


def _kept(told: bytes, event: UsageEvent) -> bytes:
    """What is stored of an event: what a customer is told, and the upstream."""
    return told if event.upstream is None else told[:-1] + b',"upstream":' + msgspec.json.encode(event.upstream) + b"}"
