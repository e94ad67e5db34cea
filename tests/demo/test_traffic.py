"""The made-up month: the same for the same seed, and just as wrong as it says it is."""

from collections import Counter
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from billing.demo.checks import quantities
from billing.demo.models import PROFILES
from billing.demo.month import last_complete_month
from billing.demo.traffic import Demo, Post, Traffic, traffic
from billing.metering.events import JSON, read
from pricing import book, usage
from pricing.errors import Unpriced, UsageError
from pricing.rating import rate_request

DEMO = Demo(month="2026-10", seed=7, customers=20, events=4000)
PLATFORM = [
    *("gpt-4-vision-preview", "gpt-4-1106-preview", "gpt-4", "gpt-3.5-turbo", "gpt-3.5-turbo-0125"),
    *("gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613", "gpt-3.5-turbo-1106", "gpt-3.5-turbo-16k", "gpt-3.5-turbo-16k-0613"),
    *("gpt-3.5-turbo-instruct", "text-embedding-ada-002", "dall-e-2", "dall-e-3"),
    *("tts-1", "tts-1-1106", "tts-1-hd", "tts-1-hd-1106"),
]


@pytest.fixture(scope="module")
def month() -> Traffic:
    return traffic(DEMO)


def written(month: Traffic) -> bytes:
    return msgspec.json.encode([post.event for post in month])


def identity(post: Post) -> tuple[str, ...]:
    return post.customer.account, post.event["source"], post.event["id"]


def test_the_same_seed_makes_the_same_events_to_the_last_byte(month: Traffic) -> None:
    assert written(traffic(DEMO)) == written(month)


@pytest.mark.parametrize("change", [{"seed": 8}, {"events": 4001}, {"customers": 21}, {"month": "2026-09"}])
def test_another_demo_has_other_customers_and_other_identities(month: Traffic, change: dict[str, object]) -> None:
    other = traffic(msgspec.structs.replace(DEMO, **change))
    assert not {customer.account for customer in month.customers} & {customer.account for customer in other.customers}
    assert not {post.event["id"] for post in month} & {post.event["id"] for post in other}


def test_the_smallest_demo_uses_each_of_the_platforms_models() -> None:
    smallest = traffic(msgspec.structs.replace(DEMO, events=len(PROFILES)))
    assert sorted(post.event["model"] for post in smallest) == sorted(PLATFORM)
    assert all(quantities(post.event["usage"]) for post in smallest)


def test_each_request_is_there_once_and_is_what_it_says(month: Traffic) -> None:
    kinds = Counter(post.kind for post in month)
    assert kinds["usage"] + kinds["unpriced"] == DEMO.events
    assert 0.02 * DEMO.events < kinds["again"] < 0.04 * DEMO.events
    assert min(kinds["bad"], kinds["conflict"], kinds["unpriced"]) > 0
    requests = [identity(post) for post in month if post.kind in ("usage", "unpriced")]
    assert len(set(requests)) == len(requests)


def test_what_comes_again_is_the_same_and_comes_later(month: Traffic) -> None:
    first: dict[tuple[str, ...], Post] = {}
    for post in month:
        if post.kind == "again":
            assert post.event == first[identity(post)].event
            assert post.sent_at > first[identity(post)].sent_at
        elif post.kind == "conflict":
            assert post.event != first[identity(post)].event
        elif post.kind != "bad":
            first[identity(post)] = post


def test_right_events_can_be_priced_and_unpriced_ones_cannot(month: Traffic) -> None:
    prices = book.load()
    for post in month:
        if post.kind in ("usage", "unpriced") and "usage" in post.event:
            used = usage.read(msgspec.json.encode(post.event["usage"]))
            asked = {"model": post.event["model"], "at": datetime.fromisoformat(post.event["time"])}
            if post.kind == "usage":
                assert rate_request(prices, used, **asked).amount > 0
                assert dict(zip(used.dimensions, used.quantities, strict=True)) == {
                    dimension: count for dimension, count in quantities(post.event["usage"]).items() if count
                }
            else:
                with pytest.raises(Unpriced):
                    rate_request(prices, used, **asked)


def test_every_mistake_is_one_that_is_refused(month: Traffic) -> None:
    mistaken = [post.event for post in month if post.kind == "bad"]
    for _, event in read(msgspec.json.encode(mistaken), JSON, len(mistaken)).events:
        if event.account != "acct_nobody" and event.time.year < 2100:  # these two only the service can judge
            with pytest.raises(UsageError):
                usage.read(event.usage)


def test_every_request_is_in_its_customers_month(month: Traffic) -> None:
    for post in month:
        if post.kind == "usage":
            local = datetime.fromisoformat(post.event["time"]).astimezone(ZoneInfo(post.customer.time_zone))
            assert f"{local:%Y-%m}" == DEMO.month


def test_customers_follow_a_power_law_and_the_working_day(month: Traffic) -> None:
    usages = [post for post in month if post.kind == "usage"]
    by_customer = Counter(post.customer.account for post in usages)
    largest = [count for _, count in by_customer.most_common()]
    assert largest[0] > 2 * largest[2] > 2 * largest[8]
    hours = Counter(
        datetime.fromisoformat(post.event["time"]).astimezone(ZoneInfo(post.customer.time_zone)).hour for post in usages
    )
    assert hours[10] > 5 * hours[3]


@pytest.mark.parametrize(
    ("now", "month"),
    [
        (datetime(2026, 11, 23, 12, tzinfo=UTC), "2026-10"),
        (datetime(2026, 11, 1, 12, tzinfo=UTC), "2026-09"),  # still October on Baker Island
        (datetime(2026, 11, 1, 13, tzinfo=UTC), "2026-10"),
        (datetime(2027, 1, 2, tzinfo=UTC), "2026-12"),
    ],
)
def test_the_last_complete_month_is_over_everywhere(now: datetime, month: str) -> None:
    assert last_complete_month(now) == month
