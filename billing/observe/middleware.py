"""Around every request: its id, its line in the access log, its place in the metrics. Bare ASGI, to be light."""

import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from billing import ids
from billing.observe.logs import request_id
from billing.observe.metrics import HTTP_SECONDS

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

HEADER = b"x-request-id"
SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "HEAD"})

log = logging.getLogger("billing.access")


class Observed:
    """An ASGI app that observes the one inside."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name = given_id(scope["headers"]) or ids.new("req")
        token = request_id.set(name)
        status = 499  # what is logged when the client went away before there was an answer
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (HEADER, name.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            record(scope, status, time.perf_counter() - started)
            request_id.reset(token)


def given_id(headers: Any) -> str | None:
    """The id the caller sent, if it is one we would put into a log."""
    given = next((value for header, value in headers if header == HEADER), b"")
    return given.decode() if SANE_ID.fullmatch(given) else None


def record(scope: Scope, status: int, seconds: float) -> None:
    """The route's template, not the path as it came: paths carry ids, and what leads nowhere may carry anything."""
    method = scope["method"] if scope["method"] in METHODS else "other"
    route = scope.get("path_template") or "unknown"
    HTTP_SECONDS.labels(method, route, f"{status // 100}xx").observe(seconds)
    principal = scope.get("auth")
    log.info(
        "%s %s %d",
        method,
        route,
        status,
        extra={"status": status, "ms": round(seconds * 1000, 1), "key_id": getattr(principal, "key_id", None)},
    )
