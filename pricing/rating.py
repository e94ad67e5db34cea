"""What one request costs: usage, model, instant, tier and multiplier → an explained charge.

The hot path looks the rate up by everything that decides it and multiplies; the slow path, once for each kind of
request, finds the entries in force and remembers the rate. Same question, same book: same answer for ever.
"""

from bisect import bisect_right
from datetime import datetime

from pricing import money, units
from pricing.book import Book, Card
from pricing.charge import Charge, Line, Price, Rate, recompute
from pricing.entries import ANY_MODEL, END, Entry
from pricing.errors import MultiplierError, Unpriced
from pricing.units import LONG_CONTEXT_TOKENS, REQUEST, UNITS
from pricing.usage import Usage

__all__ = ["Charge", "Line", "MultiplierError", "Price", "Rate", "Unpriced", "price_list", "rate_request", "recompute"]

HALF = "0.5"
MULTIPLIER_MAX = 10

# The tier of the response decides (data/rates/README.md). OpenAI answers `priority` also to a request for `fast`.
_TIERS: dict[str | None, str] = {
    **dict.fromkeys((None, "", "default", "auto", "standard"), units.STANDARD),
    **{tier: tier for tier in units.TIERS},
    "fast": "priority",
}


def rate_request(
    book: Book,
    usage: Usage,
    *,
    model: str,
    at: datetime,
    served_model: str | None = None,
    service_tier: str | None = None,
    batch: bool = False,
    multiplier: str = HALF,
) -> Charge:
    """The charge for one request at the event's time (rules.md, Money 3).

    The served model decides when the event or its usage names it, and likewise the tier of the answer. `at` must be
    aware. Raises `Unpriced` for an unknown model or tier or a used dimension without a price, `MultiplierError`.
    """
    name = served_model or usage.served_model or model
    service_tier = service_tier or usage.service_tier
    card = book.card(name)
    if usage.is_zero:
        return _nothing(book, card or book.anyone, multiplier)
    if card is None:
        raise _unknown(book, name)
    long = usage.input_tokens > LONG_CONTEXT_TOKENS
    question = (bisect_right(card.instants, at), usage.dimensions, service_tier, batch, long, multiplier)
    rate = card.rates.get(question)
    if rate is None:
        tier = _tier(card.name, service_tier, batch)
        rate = card.rates[question] = _rate(book, card, usage.dimensions, tier, long, at, multiplier)
    return rate.charge(usage.quantities)


def price_list(book: Book, model: str, *, at: datetime, multiplier: str = HALF) -> tuple[Price, ...]:
    """Every price of a model at an instant, sorted by dimension, tier and context; the fees of tools are under `*`.

    Raises `Unpriced` for an unknown model. `price.amount(price.unit_size)` is what one unit costs the customer.
    """
    name = model
    if model != ANY_MODEL:
        card = book.card(model)
        if card is None:
            raise _unknown(book, model)
        name = card.name
    plain = _plain_multiplier(multiplier)
    entries = (entry for entry in book.in_force(name, at) if not units.is_information(entry.key[1]))
    return tuple(_price(book, name, entry.key[1], entry, plain) for entry in entries)


def _rate(
    book: Book, card: Card, dimensions: tuple[str, ...], tier: str, long: bool, at: datetime, multiplier: str
) -> Rate:
    """The rate of one kind of request, made of the entries in force."""
    context = units.CONTEXTS[1] if long and _reprices_long_context(book, card.name, at) else units.CONTEXTS[0]
    plain = _plain_multiplier(multiplier)
    prices = []
    for dimension in dimensions:
        entry = _entry(book, card.name, dimension, tier, context, at)
        prices.append(_price(book, card.name, dimension, entry, plain))
    key = tuple(prices)
    return book.rates.setdefault(key, Rate(card.name, key))


def _entry(book: Book, name: str, dimension: str, tier: str, context: str, at: datetime) -> Entry:
    if dimension.startswith("tool:"):  # the fee of a hosted tool knows no tier and no context
        tier = context = ""
    for key in units.price_keys(dimension):
        entry = book.find(name, key, tier, context, at)
        if entry is not None:
            return entry
    raise _no_price(book, name, dimension, tier, context, at)


def _reprices_long_context(book: Book, name: str, at: datetime) -> bool:
    return any(book.find(name, "input", tier, units.CONTEXTS[1], at) for tier in units.TIERS)


def _price(book: Book, name: str, dimension: str, entry: Entry, multiplier: str) -> Price:
    """The one price object for this line. A duration is shown as what the model sells by time."""
    _, priced_as, tier, context = entry.key
    family, detail = units.split(priced_as if dimension == units.DURATION else dimension)
    key = (name, family, detail, entry.id, multiplier)
    if key not in book.prices:
        book.prices[key] = Price(
            model=name,
            dimension=family,
            variant="|".join(filter(None, (detail, tier, context))),
            unit=entry.unit,
            unit_size=UNITS[entry.unit].size,
            official=entry.price,
            multiplier=multiplier,
            entry=entry.id,
            source=entry.source,
            book=book.digest,
        )
    return book.prices[key]


def _nothing(book: Book, card: Card, multiplier: str) -> Charge:
    """A request that used nothing costs nothing, whatever the model, and says so in one line."""
    rate = card.rates.get((REQUEST, multiplier))
    if rate is None:
        price = Price(
            model=card.name,
            dimension=REQUEST,
            variant="",
            unit=REQUEST,
            unit_size=UNITS[REQUEST].size,
            official="0",
            multiplier=_plain_multiplier(multiplier),
            entry="nothing-used",
            source="no usage, no charge",
            book=book.digest,
        )
        rate = card.rates[REQUEST, multiplier] = Rate(card.name, (price,))
    return rate.charge((1,))


def _tier(name: str, service_tier: str | None, batch: bool) -> str:
    tier = _TIERS.get(service_tier)
    if tier is None:
        raise Unpriced(
            f"No price is known for {name} in the service tier {str(service_tier)[:40]!r}: the book has "
            f"{', '.join(sorted(key for key in _TIERS if key))}.",
            model=name,
        )
    if batch and tier not in (units.STANDARD, "batch"):
        raise Unpriced(
            f"{name} was served in a batch and in the tier {tier}: only one of them has a price.", model=name
        )
    return "batch" if batch else tier


def _plain_multiplier(text: str) -> str:
    """The multiplier in its one spelling: "0.50" and "0.5" are the same price."""
    try:
        ratio = money.parse(text)
    except money.MoneyError:
        ratio = -1
    if not 0 <= ratio <= MULTIPLIER_MAX * money.PICOS_PER_DOLLAR:
        raise MultiplierError(
            f"{text!r} is not a multiplier: write a plain decimal from 0 to {MULTIPLIER_MAX} "
            f"with at most {money.PICO_DIGITS} decimals, such as 0.5."
        )
    return money.format(ratio)


def _unknown(book: Book, name: str) -> Unpriced:
    nearest = book.nearest(name)
    known = f"The nearest known names are {', '.join(nearest)}." if nearest else "No known name is like it."
    return Unpriced(f"No price is known for the model {name[:100]!r}. {known}", model=name, nearest=nearest)


def _no_price(book: Book, name: str, dimension: str, tier: str, context: str, at: datetime) -> Unpriced:
    """Says what is missing, and since when or until when a price is known, if there ever was one."""
    wanted = "|".join(filter(None, (dimension, tier, context)))
    entries = [entry for key in units.price_keys(dimension) for entry in book.history(name, key, tier, context)]
    spans = [entry.id if entry.until == END else f"{entry.id} until {entry.until:%Y-%m-%d}" for entry in entries]
    known = f" Known at other times: {', '.join(spans)}." if spans else ""
    return Unpriced(
        f"No price is known for {wanted} of {name} at {at:%Y-%m-%dT%H:%M:%SZ}.{known}", model=name, dimension=wanted
    )
