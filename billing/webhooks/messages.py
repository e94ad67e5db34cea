"""A message on its way to an endpoint: what is sent, what became of it, and when it is tried again. Pure."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

TEST = "webhook.test"

WAITS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
"""After the first attempt, the second … : three days in all. The first attempt is made at once."""

REST_SECONDS_MAX = 300
RETRY_AFTER_SECONDS_MAX = 3600
"""Longer than this nobody is left alone for having asked for it."""
GONE = 410


class Target(msgspec.Struct, frozen=True):
    """Where to send, and the secrets that sign: the one that is valid and, for a while, the one before."""

    endpoint_id: str
    url: str
    secrets: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"Target({self.endpoint_id!r})"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is told. `attempts` were made before to this endpoint."""

    id: str
    type: str
    created_at: datetime
    data: dict[str, Any]
    attempts: int = 0

    def body(self) -> bytes:
        """The same in every attempt."""
        return msgspec.json.encode({"type": self.type, "timestamp": self.created_at, "data": self.data})


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try: the status of the answer if there was one, and why it does not count as delivered, if it does not;
    then also for how many seconds the receiver asked to be left alone (Retry-After), if it did."""

    at: datetime
    milliseconds: int
    status: int | None = None
    reason: str | None = None
    retry_after: int | None = None

    @property
    def delivered(self) -> bool:
        return self.reason is None


def wait_after(attempts: int) -> timedelta | None:
    """How long to wait after so many failed attempts; None: it is given up."""
    return WAITS[attempts - 1] if attempts <= len(WAITS) else None


def retry_after(said: str, now: datetime) -> int | None:
    """The seconds of a Retry-After (RFC 9110, 10.2.3): a number of them, or a date; at most an hour. None: nonsense."""
    if re.fullmatch("[0-9]+", said):
        return min(int(said[:10]), RETRY_AFTER_SECONDS_MAX)
    try:
        until = parsedate_to_datetime(said)
        seconds = (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(int(seconds), 0), RETRY_AFTER_SECONDS_MAX)


def rest_after(failures: int) -> timedelta:
    """How long an endpoint is left alone after so many turns in which nothing was delivered: 5 s, 10 s, 20 s …"""
    return timedelta(seconds=min(5 << min(failures - 1, 10), REST_SECONDS_MAX))
