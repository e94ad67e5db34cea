"""Answers questions without holding up anything else: counted in a few threads, with a short queue before them.

Anybody may ask without a key, so a question has limits: its text (`tokens_text_bytes_max`, half a second of one core at
worst), the threads that count (`tokens_threads`), and how many may wait for them (`tokens_waiting_max`). Who comes when
all places are taken is told to come again; what else the service does has the rest of the machine to itself (tiktoken
lets go of the GIL).
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar

import msgspec
from anyio import CapacityLimiter, to_thread

from billing.errors import Fault, NotFound, Unavailable
from billing.tokens.costs import Price, priced
from billing.tokens.questions import Pieces, Question, counted, pieces
from pricing import tokens
from pricing.book import Book
from pricing.errors import Unpriced
from pricing.tokens import DEFAULT_LIMITS, Count, Counted, Limits, Uncounted, Unit

T = TypeVar("T")
Span = tuple[int, int | None]

RETRY_AFTER_SECONDS: Final = 1


class Likely(msgspec.Struct, frozen=True):
    """The likeliest number in each interval."""

    input: int | None
    output: int | None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A count for each side, [lowest, highest], in `unit`; None where nothing can be said, and `reason` says why.

    The highest is None when nothing bounds the count from above. Without a `price`, `unpriced` or `reason` says why.
    """

    model: str
    encoding: str | None
    unit: Unit
    input: Span | None
    output: Span | None
    likely: Likely
    reason: str
    price: Price | None
    unpriced: str | None = None
    pieces: Pieces | None = None
    __repr__ = object.__repr__  # holds text


class Calculator:
    """The threads of one worker, and the limits of a question."""

    def __init__(self, threads: int, waiting_max: int, text_bytes_max: int, multiplier: str) -> None:
        self.text_bytes_max = text_bytes_max
        self._threads = CapacityLimiter(threads)
        self._limits = replace(DEFAULT_LIMITS, text_bytes=text_bytes_max)
        self._multiplier = multiplier
        self._waiting_max = waiting_max

    async def answer(self, question: Question, book: Book, at: datetime) -> Answer:
        """Raises NotFound for a model nobody knows, Unavailable when there is no room to wait."""
        check_model(question.model, book)
        found = await self.run(lambda: examine(question, self._limits))
        return answered(question, found, book, at, self._multiplier)

    async def run(self, work: Callable[[], T]) -> T:
        """Work in a thread, after the others who wait. Raises Unavailable when too many do."""
        if self._threads.statistics().tasks_waiting >= self._waiting_max:
            sentence = "The calculator has more to count than it can; nothing was counted."
            raise Unavailable("calculator_busy", sentence, retry_after=RETRY_AFTER_SECONDS)
        return await to_thread.run_sync(work, limiter=self._threads)


class Examined(msgspec.Struct, frozen=True):
    """All that takes time."""

    counted: Counted
    pieces: Pieces | None
    __repr__ = object.__repr__  # holds text


def examine(question: Question, limits: Limits = DEFAULT_LIMITS) -> Examined:
    found = counted(question, limits)
    wanted = question.pieces and found.encoding is not None and isinstance(found.input, Count)
    return Examined(found, pieces(question, str(found.encoding)) if wanted else None)


def check_model(model: str, book: Book) -> None:
    """Raises NotFound for a model that can be neither counted nor priced, naming those most like it."""
    if tokens.model(model) is None and book.card(model) is None:
        near = book.nearest(model)
        hint = f"The nearest known names are {', '.join(near)}." if near else "No known name is like it."
        faults = tuple(Fault("nearest_model", name, "$.model") for name in near)
        raise NotFound("unknown_model", f"No model is called {model[:100]!r}. {hint}", faults)


def answered(question: Question, examined: Examined, book: Book, at: datetime, multiplier: str) -> Answer:
    """The answer to a question that has been examined."""
    found = examined.counted
    price, unpriced = None, None
    try:
        price = priced(
            book, question.model, found, question.body(), question.output_tokens, at=at, multiplier=multiplier
        )
    except Unpriced as fault:
        unpriced = str(fault)
    return Answer(
        model=question.model,
        encoding=found.encoding,
        unit=found.unit,
        input=_span(found.input),
        output=_span(found.output),
        likely=Likely(_likely(found.input), _likely(found.output)),
        reason=_reason(question, found),
        price=price,
        unpriced=unpriced,
        pieces=examined.pieces,
    )


def _span(side: Count | Uncounted) -> Span | None:
    return (side.low, side.high) if isinstance(side, Count) else None


def _likely(side: Count | Uncounted) -> int | None:
    return side.likely if isinstance(side, Count) else None


def _reason(question: Question, found: Counted) -> str:
    """Why the counts are not one number each. That no response was given is known to who gave none."""
    sides = [found.input] if question.response is None else [found.input, found.output]
    return "; ".join(dict.fromkeys(side.reason for side in sides if side.reason))
