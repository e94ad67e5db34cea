"""Exchanges with text for tests: good ones, and whatever is to be different about them."""

import json
from typing import Any

from billing.metering.content import Exchange
from pricing.tokens import Reported

HELLO = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hello!"}]}
HELLO_TOKENS = 9
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "Hello! How can I help?"}, "finish_reason": "stop"}]}
ANSWER_TOKENS = 7
CHUNKS = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "Hello! How"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": " can I help?"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]
SSE = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in CHUNKS) + "data: [DONE]\n\n"
TRUE = Reported(input=HELLO_TOKENS, output=ANSWER_TOKENS)


def exchange(request: Any = HELLO, response: Any = ANSWER, /, **changes: Any) -> Exchange:
    """A chat with gpt-4 whose report is true; a side of `...` is left out."""
    sides = {name: side for name, side in (("request", request), ("response", response)) if side is not ...}
    whole = {
        "endpoint": "/v1/chat/completions",
        "model": "gpt-4",
        "content": json.dumps(sides).encode(),
        "reported": TRUE,
        **changes,
    }
    return Exchange(**whole)


def said(text: Any, /, **changes: Any) -> Exchange:
    """A chat in which the user says this."""
    return exchange({"messages": [{"role": "user", "content": text}]}, **changes)
