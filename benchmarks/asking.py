"""What is asked before and between requests, beside the same endpoints without a database: authorisations, balances."""

import json
import statistics
from collections.abc import Iterator
from itertools import count

from benchmarks import traffic
from benchmarks.bench import Bench, Figure
from benchmarks.load import Measured, get, load, post, run

CONNECTIONS = 64


def authorizations(key: str, shape: str) -> Iterator[bytes]:
    for number in count():
        account = traffic.account(0 if shape == "hot" else number * 613 % traffic.ACCOUNTS)
        asked = {"account": account, "model": "gpt-4", "max_cost": "0.000001", "expires_in": 60}
        yield post("/v1/authorizations", key, json.dumps(asked).encode())


def balances(key: str) -> Iterator[bytes]:
    return (get(f"/v1/balance?account={traffic.account(number * 613 % traffic.ACCOUNTS)}", key) for number in count())


def figures(bench: Bench, rounds: int, seconds: float) -> Iterator[Figure]:
    """Rates of both, and the slowest hundredth of the authorisations."""
    for shape in ("spread", "hot"):
        pairs = [
            tuple(
                run(load(url, authorizations(bench.real.admin_key, shape), connections=CONNECTIONS, seconds=seconds))
                for url in (bench.real.url, bench.empty)
            )
            for _ in range(rounds)
        ]
        yield _rate("authorise", f"{shape}, {CONNECTIONS} connections", pairs, 0.5)
        tails = [(ours.p99_ms, limit.p99_ms) for ours, limit in pairs]
        middle = statistics.median(ours for ours, _ in tails)
        times = statistics.median(ours / limit for ours, limit in tails)
        yield Figure("authorise", f"{shape}, p99", "ms", middle, middle / times, "without a database", 5, most=True)
    pairs = [
        tuple(
            run(load(url, balances(bench.real.admin_key), connections=CONNECTIONS, seconds=seconds))
            for url in (bench.real.url, bench.empty)
        )
        for _ in range(rounds)
    ]
    yield _rate("balance", f"{CONNECTIONS} connections", pairs, 0.6)


def _rate(group: str, case: str, pairs: list[tuple[Measured, ...]], target: float) -> Figure:
    middle = statistics.median(ours.requests for ours, _ in pairs)
    ratio = statistics.median(ours.requests / limit.requests for ours, limit in pairs)
    return Figure(group, case, "requests/s", middle, middle / ratio, "without a database", target)
