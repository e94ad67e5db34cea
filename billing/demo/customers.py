"""Who uses the service in the demo: made-up companies around the world, a few of them with most of the traffic."""

from collections.abc import Sequence
from random import Random

import msgspec

from billing.demo.models import CHAT, COMPLETIONS, EMBEDDINGS, IMAGES, PROFILES, SPEECH

STEEPNESS = 1.1
"""The n-th customer has 1 / n ** STEEPNESS of the first one's traffic."""

COMPANIES = (
    ("Lotus Chat", "Asia/Shanghai"),
    ("Fernweh Reisen", "Europe/Berlin"),
    ("Bright Harbor Support", "America/New_York"),
    ("Kumo Translate", "Asia/Tokyo"),
    ("Redwood Notes", "America/Los_Angeles"),
    ("Papagaio Estúdio", "America/Sao_Paulo"),
    ("Southerly Search", "Australia/Sydney"),
    ("Chai & Code", "Asia/Kolkata"),
    ("Thames Tutoring", "Europe/London"),
    ("Savanna Voice", "Africa/Nairobi"),
    ("Himal Books", "Asia/Kathmandu"),
    ("Atelier Lumière", "Europe/Paris"),
    ("Maple Legal", "America/Toronto"),
    ("Dragonfly Games", "Asia/Singapore"),
    ("Fjord Analytics", "Europe/Oslo"),
    ("Oasis Realty", "Asia/Dubai"),
    ("Han River Labs", "Asia/Seoul"),
    ("Mesa Robotics", "America/Denver"),
    ("Kiwi Lessons", "Pacific/Auckland"),
    ("Bosphorus News", "Europe/Istanbul"),
)

# How much more of each endpoint a kind of customer uses than the average one.
HABITS: Sequence[dict[str, float]] = (
    {CHAT: 1.6, EMBEDDINGS: 0.4, IMAGES: 0.3, SPEECH: 0.2},
    {},
    {EMBEDDINGS: 5.0, COMPLETIONS: 2.0, IMAGES: 0.1, SPEECH: 0.1},
    {IMAGES: 8.0, SPEECH: 6.0, CHAT: 0.7},
)


class Customer(msgspec.Struct, frozen=True):
    """One customer; `weights` say how often each of PROFILES is used."""

    account: str
    name: str
    time_zone: str
    weights: tuple[float, ...]


def customers(tag: str, count: int) -> list[Customer]:
    """The first `count` customers of a demo, the same ones for the same tag; the largest first."""
    rng = Random(f"{tag}/customers")  # noqa: S311 - made-up traffic, the same every time
    return [_customer(tag, number, rng) for number in range(1, count + 1)]


def _customer(tag: str, number: int, rng: Random) -> Customer:
    generation, place = divmod(number - 1, len(COMPANIES))
    name, time_zone = COMPANIES[place]
    habit = HABITS[(number - 1) % len(HABITS)]
    weights = tuple(
        profile.popularity * habit.get(profile.endpoint, 1.0) * rng.uniform(0.5, 1.5) for profile in PROFILES
    )
    return Customer(
        account=f"acct_demo-{tag}-{number:03d}",
        name=name if generation == 0 else f"{name} {generation + 1}",
        time_zone=time_zone,
        weights=weights,
    )


def power_law(count: int) -> list[float]:
    """The traffic of each customer as a weight, the largest first."""
    return [number**-STEEPNESS for number in range(1, count + 1)]
