"""POST /v1/tokens/count: how many tokens, and what they cost. Public, so each request is bounded (calculator.py)."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from litestar import post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody

from billing.errors import TooLarge
from billing.http import StrictRequest
from billing.settings import environment_name
from billing.tokens.calculator import Answer, Calculator
from billing.tokens.questions import Question
from pricing.book import Book

FORM_FACTOR = 3
"""A form writes a byte of text as up to three: %E4."""


class BoundedRequest(StrictRequest):
    """A request whose body is as small as a calculator's question, whatever other endpoints take."""

    __slots__ = ()

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises TooLarge as soon as more is announced or has come than may."""
        limit = calculator(self.app.state).text_bytes_max
        left = limit * (1 if self.content_type[0] == "application/json" else FORM_FACTOR)
        announced = self.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced[:20]) > left:
            raise too_large(limit)
        async for chunk in super().stream():
            left -= len(chunk)
            if left < 0:
                raise too_large(limit)
            yield chunk


def too_large(limit: int) -> TooLarge:
    name = environment_name("tokens_text_bytes_max")
    return TooLarge("body_too_large", f"The text is larger than {limit:,} bytes ({name}).")


def calculator(state: State) -> Calculator:
    """The calculator of this worker; made when it is first asked for, as are the encodings, which take 0.3 s each."""
    if "calculator" not in state:
        settings = state.settings
        state.calculator = Calculator(
            settings.tokens_threads, settings.tokens_waiting_max, settings.tokens_text_bytes_max, settings.multiplier
        )
    return state.calculator  # type: ignore[no-any-return]


@post("/v1/tokens/count", status_code=200, tags=["tokens"])
async def count_tokens(
    data: JSONBody[Question], calculator: NamedDependency[Calculator], book: NamedDependency[Book]
) -> Answer:
    """The tokens of a text, a chat or a whole request, as intervals, with the official price and ours.

    Nothing is booked, stored or logged. Needs no key.
    """
    return await calculator.answer(data, book, datetime.now(UTC))
