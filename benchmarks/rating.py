"""How fast the price book loads, and how many requests a second one core reads and rates.

Prints one line a case. The rates of a case are looked up once before the clock starts, as in a service that runs.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pricing import book as books
from pricing import usage
from pricing.rating import rate_request

EVENTS = 200_000
AT = [datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=n) for n in range(1_000)]
SIMPLE = b'{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}'
DETAILED = (
    b'{"prompt_tokens":1900,"completion_tokens":100,"total_tokens":2000,'
    b'"prompt_tokens_details":{"cached_tokens":1024,"audio_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":64,"audio_tokens":0,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
)


def per_second(work: Callable[[datetime], object], rounds: int = 3) -> int:
    """The best of a few rounds: what else runs on the machine only ever slows it down."""
    best = 0.0
    for _ in range(rounds):
        began = time.perf_counter()
        for n in range(EVENTS):
            work(AT[n % 1_000])
        best = max(best, EVENTS / (time.perf_counter() - began))
    return round(best)


def main() -> None:
    began = time.perf_counter()
    book = books.load()
    print(f"load      {1_000 * (time.perf_counter() - began):8.1f} ms   {sum(1 for _ in book.entries())} entries")
    began = time.perf_counter()
    assert book.digest
    print(f"digest    {1_000 * (time.perf_counter() - began):8.1f} ms")

    simple, detailed = usage.read(SIMPLE), usage.read(DETAILED)
    seconds = usage.read(b'{"seconds": 61}')
    print(f"read      {per_second(lambda _: usage.read(SIMPLE)):8} events/s   simple chat usage")
    print(f"read      {per_second(lambda _: usage.read(DETAILED)):8} events/s   chat usage with all details")
    cases: dict[str, Callable[[datetime], object]] = {
        "gpt-4": lambda at: rate_request(book, simple, model="gpt-4", served_model="gpt-4-0613", at=at),
        "gpt-3.5-turbo, three prices in time": lambda at: rate_request(book, simple, model="gpt-3.5-turbo", at=at),
        "gpt-5.4, cached, flex": lambda at: rate_request(book, detailed, model="gpt-5.4", at=at, service_tier="flex"),
        "openai/gpt-35-turbo, two rules of names": lambda at: rate_request(
            book, simple, model="openai/gpt-35-turbo", at=at
        ),
        "gpt-live-1, rounded": lambda at: rate_request(book, seconds, model="gpt-live-1", at=at),
    }
    for name, work in cases.items():
        print(f"rate      {per_second(work):8} events/s   {name}")


if __name__ == "__main__":
    main()
