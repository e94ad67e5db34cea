"""Counts the text of usage events in processes of their own."""

import msgspec

from pricing.tokens import Reported, Verification
from pricing.usage import Usage


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """An event's text, and what was reported for it. `whole` is False when the answer was cut or aborted."""

    endpoint: str | None
    model: str
    content: bytes
    reported: Reported | None
    whole: bool = True
    __repr__ = object.__repr__  # holds text


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, and our count as it would be reported; None when a side cannot be counted."""

    verification: Verification
    counted: Usage | None
