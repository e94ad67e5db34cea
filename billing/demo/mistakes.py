"""Events that are wrong in the ways in which gateways get them wrong: every one is to be refused, with its reason; and
events that are right, but that nobody has a price for.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from billing.demo.models import IMAGES

Event = dict[str, Any]
TOKENS = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}


def negative_tokens(event: Event) -> Event:
    return {**event, "usage": {**TOKENS, "completion_tokens": -30}}


def wrong_total(event: Event) -> Event:
    return {**event, "usage": {**TOKENS, "total_tokens": 151}}


def more_cached_than_sent(event: Event) -> Event:
    return {**event, "usage": {**TOKENS, "prompt_tokens_details": {"cached_tokens": 128}}}


def number_as_text(event: Event) -> Event:
    return {**event, "usage": {**TOKENS, "prompt_tokens": "120"}}


def misspelt_field(event: Event) -> Event:
    return {**{name: value for name, value in event.items() if name != "model"}, "modle": event["model"]}


def no_time_zone(event: Event) -> Event:
    return {**event, "time": event["time"].removesuffix("Z")}


def far_future(event: Event) -> Event:
    return {**event, "time": "2126-01-01T00:00:00Z"}


def unknown_account(event: Event) -> Event:
    return {**event, "account": "acct_nobody"}


MISTAKES: Sequence[Callable[[Event], Event]] = (
    negative_tokens,
    wrong_total,
    more_cached_than_sent,
    number_as_text,
    misspelt_field,
    no_time_zone,
    far_future,
    unknown_account,
)


def bad(rng: Random, event: Event) -> Event:
    """The event with one of the mistakes."""
    return rng.choice(MISTAKES)(event)


def contradicting(event: Event) -> Event:
    """Another event under the same identity, as a gateway sends that counts its requests from 1 after each restart."""
    return {**event, "model": "gpt-4", "usage": TOKENS}


def without_price(event: Event) -> Event:
    """A model that is newer than the price book, or a size of image that is not in it."""
    if event["endpoint"] == IMAGES:
        return {**event, "usage": {"n": 1, "size": "2048x2048"}}
    return {**event, "model": "gpt-9-preview", "usage": TOKENS}
