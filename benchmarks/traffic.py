"""Usage events as gateways post them, for benchmarks: of the last minute, over a thousand accounts.

`uniform`: all accounts alike; `power`: the n-th busiest has 1/n of the busiest one's; `hot`: one account has them all.
"""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate, count

ACCOUNTS = 1_000
SHAPES = ("uniform", "power", "hot")
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4", "gpt-4.1-mini", "gpt-3.5-turbo")
WEIGHTS = (30, 40, 5, 15, 10)
SPAN_MS = 60_000

_numbers = count()
_run = datetime.now(UTC).strftime("%m%d%H%M%S")


def account(number: int) -> str:
    return f"acct_{number:04}"


@cache
def _cumulative() -> list[float]:
    return list(accumulate(1 / (number + 1) for number in range(ACCOUNTS)))


def owners(shape: str, size: int, chance: random.Random) -> list[str]:
    """Whose events these are."""
    if shape == "hot":
        return [account(0)] * size
    cumulative = _cumulative() if shape == "power" else None
    return [account(number) for number in chance.choices(range(ACCOUNTS), cum_weights=cumulative, k=size)]


def events(shape: str, size: int, chance: random.Random) -> list[dict[str, object]]:
    """Events with identities that grow with time and that no other call gives."""
    now = datetime.now(UTC)
    models = chance.choices(MODELS, WEIGHTS, k=size)
    return [
        _event(owner, model, now - timedelta(milliseconds=chance.randrange(SPAN_MS)), chance)
        for owner, model in zip(owners(shape, size, chance), models, strict=True)
    ]


def _event(owner: str, model: str, time: datetime, chance: random.Random) -> dict[str, object]:
    given, answer = chance.randrange(20, 4_000), chance.randrange(1, 1_000)
    return {
        "id": f"chatcmpl-{_run}-{next(_numbers):010}",
        "source": "gateway-1",
        "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "account": owner,
        "model": model,
        "usage": {"prompt_tokens": given, "completion_tokens": answer, "total_tokens": given + answer},
        "stream": True,
        "latency_ms": chance.randrange(200, 30_000),
        "upstream": {"name": "openai-1"},
    }


def bodies(shape: str, size: int, chance: random.Random) -> Iterator[bytes]:
    """Bodies of requests with so many events, for ever."""
    while True:
        found = events(shape, size, chance)
        yield json.dumps(found[0] if size == 1 else found, separators=(",", ":")).encode()
