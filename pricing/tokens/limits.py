"""What is refused before anything is counted, so that one request costs bounded time and memory.

At the default limits the worst text (four million spaces) takes about six seconds of one core, ordinary text of that
size a third of a second. A caller that cannot afford that lowers `text_bytes`. What is over a limit is `unverifiable`,
never an error.
"""

from dataclasses import dataclass
from typing import Any

from pricing.tokens.bounds import UnverifiableError


@dataclass(frozen=True, slots=True)
class Limits:
    """Every limit is inclusive."""

    text_bytes: int = 4_000_000  # UTF-8 bytes of all strings, data URLs not counted
    items: int = 100_000  # values in the whole request or answer: messages, parts, schema nodes
    messages: int = 10_000  # chat messages or Responses input items
    images: int = 2_000
    nesting: int = 100  # levels of objects and arrays

    def surely_hold(self, json: bytes) -> bool:
        """Whether JSON is so small and flat that nothing in it can break a limit; costs less than `check`."""
        brackets = json.count(b"{") + json.count(b"[")
        return len(json) <= min(self.text_bytes, self.items) and brackets <= self.nesting


DEFAULT = Limits()


def check(value: Any, limits: Limits = DEFAULT) -> None:
    """Walk a decoded JSON value without recursion. Raises `UnverifiableError` with the limit that it breaks."""
    size = items = 0
    level: list[Any] = [value]
    for _ in range(limits.nesting + 1):
        below: list[Any] = []
        for node in level:
            items += 1
            if isinstance(node, str):
                size += 0 if node.startswith("data:") else _bytes(node)
            elif isinstance(node, dict):
                size += sum(map(len, node))
                below.extend(node.values())
            elif isinstance(node, list):
                # a long list of numbers is an embeddings input of token ids: counted by its length, not walked
                below.extend(item for item in node if not isinstance(item, int | float))
        if items > limits.items:
            raise UnverifiableError(f"more than {limits.items} values")
        if size > limits.text_bytes:
            raise UnverifiableError(f"more than {limits.text_bytes} bytes of text")
        if not below:
            return
        level = below
    raise UnverifiableError(f"nested deeper than {limits.nesting} levels")


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
