"""A count of tokens that says how sure it is: an interval, the likeliest value in it, and the reason for its width."""

import re
from dataclasses import dataclass
from typing import Final

from pricing.tokens.text import tokens

# Instead of a text a sender may say that it is left out: `<elided base64 8000 chars>`.
_LEFT_OUT: Final = re.compile(r"<elided [^<>\n]{1,80}>")


class UnverifiableError(Exception):
    """Nothing can be said about this count. The message is the reason; it never contains text of the exchange."""


@dataclass(frozen=True, slots=True)
class Count:
    """`low` ≤ true count ≤ `high`, in tokens (or characters, seconds, images: whatever the endpoint bills).

    `high` is None when no upper bound is known. `likely` is our single best number; it is what `counted` bills.
    `reason` says why the interval is wider than one number; it is empty when it is not.
    """

    low: int
    high: int | None
    likely: int
    reason: str = ""

    def holds(self, reported: int) -> bool:
        return self.low <= reported and (self.high is None or reported <= self.high)


class Tally:
    """A running sum of exact parts and doubtful parts, for one encoding."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self._low = self._likely = self._high = 0
        self._below = self._above = 0
        self._bounded = True
        self._reasons: dict[str, None] = {}

    def exact(self, count: int) -> None:
        """Add a constant (may be negative: two parts that tokenise into one)."""
        self._low += count
        self._likely += count
        self._high += count

    def text(self, *texts: str) -> int:
        """Add the tokens of each text, tokenised on its own. Returns their sum."""
        total = 0
        for text in texts:
            if text.startswith("<elided ") and _LEFT_OUT.fullmatch(text):
                self.unbounded("a text was left out by who sent it")
                continue
            count, doubt = tokens(self.encoding, text)
            total += count
            if doubt:
                self.doubt(doubt, doubt, "a text without word boundaries was counted in parts")
        self.exact(total)
        return total

    def add(self, other: Count) -> None:
        """Add a count made elsewhere, with its reason."""
        self.exact(other.likely)
        if other.high is None:
            self.unbounded(other.reason)
            self.doubt(other.likely - other.low, 0, other.reason)
        else:
            self.doubt(other.likely - other.low, other.high - other.likely, other.reason)

    def doubt(self, below: int, above: int, reason: str) -> None:
        """The true count may be up to `below` less and `above` more than what was added."""
        if below or above:
            self._low -= below
            self._high += above
            self._reasons[reason] = None

    def slack(self, below: int, above: int, reason: str) -> None:
        """A doubt about the layout around the texts. Such doubts overlap, so the largest stands for all of them.

        What is typical stays below 20 tokens: an inflation by 20 is to be noticed.
        """
        self._below, self._above = max(self._below, below), max(self._above, above)
        self._reasons[reason] = None

    def unbounded(self, reason: str) -> None:
        """Something is in the count that has no upper bound we know of."""
        self._bounded = False
        self._reasons[reason] = None

    def count(self) -> Count:
        low, likely = max(self._low - self._below, 0), max(self._likely, 0)
        high = max(self._high + self._above, likely) if self._bounded else None
        return Count(low=low, high=high, likely=likely, reason="; ".join(self._reasons))
