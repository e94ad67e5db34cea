"""Intake over HTTP beside what PostgreSQL alone can book, and beside the same endpoint without a database.

Rounds alternate, and ratios are taken within a round: the machine is noisy. Bodies are made before the clock starts.
"""

import random
import statistics
from collections.abc import Callable, Iterator

from benchmarks import limits, traffic
from benchmarks.bench import Bench, Figure
from benchmarks.load import Measured, load, post, run

BATCHES = (1_000, 10_000, 100, 1)
SINGLES = (1, 8, 64, 256)
CALLERS = 4
EVENTS_READY = 60_000
"""Events of batches made for a second; more than this machine books in one."""


def requests(key: str, shape: str, size: int, seconds: float) -> Iterator[bytes]:
    chance = random.Random(size)
    made = traffic.bodies(shape, size, chance)
    if size == 1:
        return (post("/v1/events", key, body) for body in made)
    return iter(
        [post("/v1/events", key, next(made)) for _ in range(max(CALLERS, round(EVENTS_READY * seconds) // size))]
    )


def real(bench: Bench, shape: str, size: int, connections: int, seconds: float) -> Measured:
    asked = requests(bench.real.admin_key, shape, size, seconds)
    return run(load(bench.real.url, asked, connections=connections, seconds=seconds))


def empty(bench: Bench, shape: str, size: int, connections: int, seconds: float) -> Measured:
    asked = requests(bench.real.admin_key, shape, size, 4 * seconds)
    return run(load(bench.empty, asked, connections=connections, seconds=seconds))


def batches(
    bench: Bench,
    rounds: int,
    seconds: float,
    sizes: tuple[int, ...] = BATCHES,
    shapes: tuple[str, ...] = traffic.SHAPES,
) -> Iterator[Figure]:
    """Events a second in batches of each size and shape, beside the bare statement."""
    for size in sizes:
        for shape in shapes:
            ours, limit = alternating(
                rounds,
                lambda size=size, shape=shape: real(bench, shape, size, CALLERS, seconds).events,
                lambda size=size, shape=shape: run(limits.bare_posting(bench.bare, shape, size, seconds)),
            )
            target = 0.6 if size == 1_000 else None
            yield Figure("batches", f"{size:,} {shape}", "events/s", ours, limit, "bare SQL posting", target)


def singles(bench: Bench, rounds: int, seconds: float, connections: tuple[int, ...] = SINGLES) -> Iterator[Figure]:
    """Single events a second, beside the endpoint without a database."""
    for callers in connections:
        ours, limit = alternating(
            rounds,
            lambda callers=callers: real(bench, "power", 1, callers, seconds).events,
            lambda callers=callers: empty(bench, "power", 1, callers, seconds).events,
        )
        target = 0.6 if callers == 64 else None
        yield Figure("single events", f"{callers} connections", "events/s", ours, limit, "without a database", target)
    hot, spread = alternating(
        rounds,
        lambda: real(bench, "hot", 1, 64, seconds).events,
        lambda: real(bench, "uniform", 1, 64, seconds).events,
    )
    yield Figure("single events", "one hot account", "events/s", hot, spread, "spread over 1,000", 0.8)


def alternating(rounds: int, ours: Callable[[], float], limit: Callable[[], float]) -> tuple[float, float]:
    """The medians of both; of the limit so that their ratio is the median of the rounds' ratios."""
    pairs = [(ours(), limit()) for _ in range(rounds)]
    middle = statistics.median(one for one, _ in pairs)
    return middle, middle / statistics.median(one / other for one, other in pairs)
