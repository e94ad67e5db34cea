"""Usage events for tests: a good one, and whatever is to be different about it."""

from typing import Any

import msgspec

from billing.metering.events import JSON, Batch, read

GPT_4 = {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}
GPT_4_CHARGE = "0.000585"  # 19 × $30/1M × 0.5 + 10 × $60/1M × 0.5


def event(account: str, id: str = "chatcmpl-1", /, **changes: Any) -> dict[str, Any]:
    """A request to gpt-4 in October 2026; a change to `...` leaves a field out."""
    whole = {
        "id": id,
        "source": "gateway-1",
        "time": "2026-10-05T08:00:00.123Z",
        "account": account,
        "model": "gpt-4",
        "usage": GPT_4,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def batch(*events: dict[str, Any]) -> Batch:
    return read(msgspec.json.encode(events), JSON, 10_000)
