"""A month of requests as a relay's gateways report them: the same events for the same seed, down to the last byte.

Most posts are plain usage. Some come twice, some late, some for a model nobody has a price for, some are wrong in the
ways that gateways get things wrong. Each post says what it is, so that the outcome can be checked.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from billing.demo import mistakes
from billing.demo.customers import Customer, customers, power_law
from billing.demo.models import PROFILES, Profile, Usage, upstream_cost
from pricing import money

Event = dict[str, Any]
Kind = Literal["usage", "unpriced", "again", "bad", "conflict"]
Wave = Literal["in_time", "after_the_rest", "after_closing"]

PROGRESS_EVERY = 500

SOURCES = ("gateway-1", "gateway-2")
UPSTREAMS = ("openai-1", "openai-2", "azure-eu")

# How many of a hundred events …
FAILED, ABORTED, CUT = 2.5, 3.0, 0.5
AGAIN, OUT_OF_ORDER, AFTER_CLOSING = 3.0, 1.0, 0.2
BAD, CONFLICTING, UNPRICED = 0.3, 0.1, 0.2

STATUSES_OF_FAILURE = ((429, 500, 503, 400), (6, 2, 2, 1))
BY_WEEKDAY = (1.0, 1.05, 1.05, 1.0, 0.9, 0.35, 0.3)
BY_HOUR = (1, 1, 1, 1, 1, 1, 2, 4, 7, 10, 11, 11, 9, 10, 11, 11, 10, 9, 7, 6, 5, 4, 3, 2)


class Demo(msgspec.Struct, frozen=True):
    """What decides the traffic: a month (`2026-10`), a seed, the numbers of customers and of requests."""

    month: str
    seed: int
    customers: int
    events: int

    @property
    def tag(self) -> str:
        """A short name that keeps demos of other sizes, seeds and months apart in one database."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:6]

    @property
    def year_and_month(self) -> tuple[int, int]:
        year, month = self.month.split("-")
        return int(year), int(month)


class Post(msgspec.Struct, frozen=True):
    """An event on its way: whose it is, what it is, and when its gateway gets to send it."""

    customer: Customer
    event: Event
    kind: Kind
    wave: Wave
    sent_at: datetime


class Traffic(msgspec.Struct, frozen=True):
    """The month's customers and posts, wave by wave in the order in which they are sent."""

    customers: list[Customer]
    posts: dict[Wave, list[Post]]

    def __iter__(self) -> Iterator[Post]:
        for posts in self.posts.values():
            yield from posts


def traffic(demo: Demo, progress: Callable[[int], None] | None = None) -> Traffic:
    """The whole month. The same demo gives the same posts. `progress` is told how many requests are made up."""
    buyers = customers(demo.tag, demo.customers)
    posts: list[Post] = []
    for number, made in enumerate(_requests(demo, buyers), start=1):
        posts += made
        if progress and (number % PROGRESS_EVERY == 0 or number == demo.events):
            progress(number)
    waves: tuple[Wave, ...] = ("in_time", "after_the_rest", "after_closing")
    return Traffic(
        buyers, {wave: sorted((post for post in posts if post.wave == wave), key=_sending_order) for wave in waves}
    )


def _sending_order(post: Post) -> tuple[datetime, str]:
    return post.sent_at, str(post.event.get("id"))


def _requests(demo: Demo, buyers: list[Customer]) -> Iterator[Iterable[Post]]:
    """The posts that come of each request."""
    rng = Random(f"{demo.tag}/traffic")  # noqa: S311 - made-up traffic, the same every time
    shares = list(accumulate(power_law(demo.customers)))
    moments = {buyer.account: _Moments(demo, buyer.time_zone) for buyer in buyers}
    for number in range(demo.events):
        buyer = rng.choices(buyers, cum_weights=shares)[0]
        # The first requests go round all models and go well, so that even the smallest demo shows every model.
        shows_model = number < len(PROFILES)
        profile = PROFILES[number] if shows_model else rng.choices(PROFILES, buyer.weights)[0]
        ending = _completed(profile.use(rng)) if shows_model else _ending(rng, profile)
        time = moments[buyer.account].draw(rng)
        event = _event(rng, f"{demo.tag}-{number:07d}", buyer, profile, time, ending)
        post = Post(buyer, event, "usage", "in_time", time)
        yield (post,) if shows_model else _sent(rng, post)


class _Moments:
    """Instants of a local month: office hours, few at night and at the weekend."""

    def __init__(self, demo: Demo, time_zone: str) -> None:
        self.zone = ZoneInfo(time_zone)
        year, month = demo.year_and_month
        first = datetime(year, month, 1)  # noqa: DTZ001 - a wall clock's reading
        days = (first + timedelta(days=day) for day in range(31))
        self.days = [day for day in days if day.month == month]
        self.by_day = list(accumulate(BY_WEEKDAY[day.weekday()] for day in self.days))
        self.by_hour = list(accumulate(BY_HOUR))

    def draw(self, rng: Random) -> datetime:
        day = rng.choices(self.days, cum_weights=self.by_day)[0]
        hour = rng.choices(range(24), cum_weights=self.by_hour)[0]
        local = day + timedelta(hours=hour, milliseconds=rng.randrange(3_600_000))
        return local.replace(tzinfo=self.zone).astimezone(UTC)


def _event(rng: Random, number: str, buyer: Customer, profile: Profile, time: datetime, ending: Event) -> Event:
    """One request as the gateway reports it."""
    usage = ending.get("usage", {})
    latency = 180 + round(rng.lognormvariate(0, 0.5) * (250 + 12 * usage.get("completion_tokens", 20)))
    event = {
        "id": f"chatcmpl-{number}" if profile.streams else f"req-{number}",
        "source": rng.choice(SOURCES),
        "time": written(time),
        "account": buyer.account,
        "model": profile.model,
        "endpoint": profile.endpoint,
        "stream": profile.streams and rng.random() < 0.6,
        "latency_ms": min(latency, 600_000),
        "user": f"user-{rng.randrange(1, 400)}",
        **ending,
    }
    if event["stream"]:
        event["first_token_ms"] = min(event["latency_ms"], 150 + round(200 * rng.lognormvariate(0, 0.6)))
    if usage:
        event["upstream"] = {"name": rng.choice(UPSTREAMS), "cost": money.format(upstream_cost(profile, usage))}
    return event


def written(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"


def _completed(usage: Usage) -> Event:
    return {"status": 200, "ended": "completed", "usage": usage}


def _ending(rng: Random, profile: Profile) -> Event:
    """How a request ended: a failed one used nothing; what was broken off is billed as far as it was delivered."""
    usage = profile.use(rng)
    drawn = rng.random() * 100
    if drawn < FAILED:
        return {"status": rng.choices(*STATUSES_OF_FAILURE)[0], "ended": "failed"}
    drawn -= FAILED
    if not profile.streams or drawn >= ABORTED + CUT:
        return _completed(usage)
    question, delivered = usage["prompt_tokens"], round(usage["completion_tokens"] * rng.random())
    tokens = {"prompt_tokens": question, "completion_tokens": delivered, "total_tokens": question + delivered}
    return {"status": 200, "ended": "client_aborted" if drawn < ABORTED else "upstream_cut", "usage": tokens}


def _sent(rng: Random, post: Post) -> Iterator[Post]:
    """The event as it is sent: in time or late, perhaps twice, perhaps with a mistaken one beside it."""
    timing, unknown, again, bad, conflicting = (rng.random() * 100 for _ in range(5))
    used = "usage" in post.event
    if used and unknown < UNPRICED:
        post = msgspec.structs.replace(post, event=mistakes.without_price(post.event), kind="unpriced")
    elif used and timing < AFTER_CLOSING:
        post = msgspec.structs.replace(post, wave="after_closing")
    elif timing < AFTER_CLOSING + OUT_OF_ORDER:
        post = msgspec.structs.replace(post, sent_at=post.sent_at + timedelta(hours=rng.uniform(1, 60)))
    yield post
    if again < AGAIN:
        later = post.sent_at + timedelta(seconds=rng.uniform(1, 900))
        yield msgspec.structs.replace(post, kind="again", sent_at=later)
    if bad < BAD:
        event = mistakes.bad(rng, {**post.event, "id": f"{post.event['id']}-x"})
        yield msgspec.structs.replace(post, event=event, kind="bad")
    if used and post.wave == "in_time" and conflicting < CONFLICTING:
        event = mistakes.contradicting(post.event)
        yield msgspec.structs.replace(post, event=event, kind="conflict", wave="after_the_rest")
