"""The service's HTTP API as a gateway uses it: few connections, many events a request, patience.

Everything may be sent twice: events have identities, accounts have ids, money has an Idempotency-Key. So whatever got
no answer, or was answered 503, is simply sent again after a pause.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

from billing.metering.answers import Answer, Result, refusal
from billing.problems import Details

CONNECTIONS = 4
TIMEOUT_SECONDS = 60
ATTEMPTS_MAX = 14
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.1, 5.0  # doubles with every attempt; in all about 45 s
TRY_AGAIN = (429, 502, 503, 504)

T = TypeVar("T")


class GatewayError(Exception):
    """The service cannot be used; a sentence that says why."""


class Refused(GatewayError):
    """An answer that would be the same next time."""

    def __init__(self, status: int, details: Details) -> None:
        super().__init__(details.detail)
        self.status = status
        self.code = details.code
        self.errors = details.errors


class Gateway:
    """A client of one service with one key. `retries` counts the requests that had to be sent again."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        connections: int = CONNECTIONS,
        attempts_max: int = ATTEMPTS_MAX,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self.retries = 0
        self._options: dict[str, Any] = {
            "connections": connections,
            "attempts_max": attempts_max,
            "transport": transport,
        }
        self._connections = connections
        self._attempts_max = attempts_max
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=connections),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    def with_key(self, key: str) -> "Gateway":
        """Another client of the same service."""
        return Gateway(self.url, key, **self._options)

    async def get(self, path: str, **parameters: str) -> Any:
        return msgspec.json.decode(await self.file(path, **parameters))

    async def file(self, path: str, **parameters: str) -> bytes:
        return (await self._send("GET", path, params=parameters)).content

    async def post(self, path: str, body: object = None, *, idempotency_key: str | None = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        content = b"" if body is None else msgspec.json.encode(body)
        return msgspec.json.decode((await self._send("POST", path, content=content, headers=headers)).content)

    async def post_events(self, events: Sequence[object], *, every_result: bool = False) -> Answer:
        """Post events; every one of them is answered for, also when the service would take none."""
        path = f"/v1/events?results={'all' if every_result else 'notable'}"
        try:
            return msgspec.convert(await self.post(path, events), Answer)
        except Refused as refused:
            if refused.code != "nothing_accepted":
                raise
            return _none_accepted(refused, len(events))

    async def each(self, items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
        """Do `work` for each item, on all connections at once. The first failure stops all of it and is raised."""
        waiting = iter(items)

        async def worker() -> None:
            for item in waiting:
                await work(item)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._connections):
                    group.create_task(worker())
        except ExceptionGroup as stopped:
            raise stopped.exceptions[0] from None

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        for attempt in range(1, self._attempts_max + 1):
            pause = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN * 2**attempt)
            try:
                response = await self._client.request(method, path, **options)
            except httpx.InvalidURL as error:
                raise GatewayError(f"{self.url} is not an address: {error}.") from None
            except httpx.UnsupportedProtocol:
                raise GatewayError(f"{self.url} is not an address: it begins with http:// or https://.") from None
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__} {error}".strip()
            else:
                if response.status_code not in TRY_AGAIN:
                    return _checked(response)
                trouble = f"it answers {response.status_code}"
                pause = max(pause, _retry_after(response))
            if attempt < self._attempts_max:
                self.retries += 1
                await asyncio.sleep(pause * (0.5 + secrets.randbelow(500) / 1000))
        raise GatewayError(f"{self.url} cannot be used ({trouble}), tried {self._attempts_max} times. Is it running?")


def _retry_after(response: httpx.Response) -> int:
    given = response.headers.get("Retry-After", "")
    return min(int(given), 30) if given.isdecimal() else 0


def _checked(response: httpx.Response) -> httpx.Response:
    """The answer, if it is one. Raises Refused with the service's own sentence."""
    if response.is_success:
        return response
    try:
        details = msgspec.json.decode(response.content, type=Details)
    except msgspec.MsgspecError:
        sentence = f"{response.request.url} answers {response.status_code}, without an explanation. Is it this service?"
        details = Details(type="", title="", status=response.status_code, detail=sentence, instance="", code="unknown")
    raise Refused(response.status_code, details)


def _none_accepted(refused: Refused, count: int) -> Answer:
    places = sorted({fault.index or 0 for fault in refused.errors})
    results: list[Result] = [
        refusal(index, None, [fault for fault in refused.errors if (fault.index or 0) == index]) for index in places
    ]
    return Answer(accepted=0, duplicates=0, rejected=count, unpriced=0, conflicts=0, results=results)


class Tally(msgspec.Struct):
    """What became of posted events, and why of those that were not simply taken."""

    posted: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    unpriced: int = 0
    conflicts: int = 0
    reasons: dict[tuple[str, str], "Reason"] = {}

    def add(self, answer: Answer) -> None:
        self.posted += answer.accepted + answer.duplicates + answer.rejected
        for name in ("accepted", "duplicates", "rejected", "unpriced", "conflicts"):
            setattr(self, name, getattr(self, name) + getattr(answer, name))
        for result in answer.results:
            if result.status in ("rejected", "conflict", "unpriced"):
                self._note(result)

    def _note(self, result: Result) -> None:
        """Faults of one kind at one place are one reason; the first one's sentence stands for all."""
        kind = " ".join(f"{fault.code} {fault.path}" for fault in result.errors[:1]) or result.reason or ""
        reason = self.reasons.setdefault((result.status, kind), Reason(result.reason or kind))
        reason.count += 1


class Reason(msgspec.Struct):
    """Why events were not simply taken: the sentence about the first of them, and how many there were."""

    sentence: str
    count: int = 0
