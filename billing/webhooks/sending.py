"""One attempt: a POST to an endpoint, to an address that was looked at, with an end to everything.

No redirect is followed, no proxy asked, no connection kept, and of the answer only the status is of interest.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Self

import httpx

from billing.webhooks import signing
from billing.webhooks.addresses import NotPublic, checked
from billing.webhooks.lookups import Lookups
from billing.webhooks.messages import Attempt, Message, Target, retry_after

ANSWER_BYTES_MAX = 16 << 10
"""Of an answer's body are read, so that a well-meaning receiver can end it; all of it is dropped."""

ADDRESSES_MAX = 4
"""Of a name are tried, one after the other, where no connection comes about."""

AGENT = "relay-billing-webhooks"


class Sender:
    """Sends messages. One for each process."""

    def __init__(self, seconds_max: float, *, private: bool) -> None:
        self.seconds_max = seconds_max
        self.private = private
        self._lookups = Lookups()
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,  # no proxies; who trusts an authority of their own says so in SSL_CERT_FILE
            verify=httpx.create_ssl_context(),
            timeout=None,  # noqa: S113 - there is one for all of an attempt
            limits=httpx.Limits(max_keepalive_connections=0),  # connections go to addresses that several names share
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none is kept, for the same reason
            headers={"User-Agent": AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
        )

    @classmethod
    @asynccontextmanager
    async def opened(cls, seconds_max: float, *, private: bool) -> AsyncIterator[Self]:
        sender = cls(seconds_max, private=private)
        try:
            yield sender
        finally:
            sender._lookups.close()
            await sender._client.aclose()

    async def send(self, target: Target, message: Message) -> Attempt:
        """Try once; whatever goes wrong is the attempt's reason."""
        at, started = datetime.now(UTC), time.monotonic()
        body = message.body()
        headers = signing.headers(target.secrets, message.id, int(at.timestamp()), body)
        answer, reason = None, None
        try:
            async with asyncio.timeout(self.seconds_max):
                answer = await self._post(target, body, headers)
        except TimeoutError:
            reason = f"no answer within {self.seconds_max:g} s"
        except NotPublic:
            reason = "not a public address"
        except socket.gaierror:
            reason = "no such host"
        except (httpx.ConnectError, OSError) as error:
            reason = "TLS failed" if "SSL" in str(error) else "no connection"
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            reason = f"no HTTP answer ({type(error).__name__})"
        milliseconds = int((time.monotonic() - started) * 1000)
        if answer is None:
            return Attempt(at=at, milliseconds=milliseconds, reason=reason)
        return _attempt(answer, at, milliseconds)

    async def _post(self, target: Target, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """The answer, without its body. The name stays in the request and in the check of the certificate."""
        url = httpx.URL(target.url)
        name = url.raw_host.decode("ascii")
        host = f"[{name}]" if ":" in name else name
        request_headers = {
            **headers,
            "Host": host if url.port is None else f"{host}:{url.port}",
            "Content-Type": "application/json",
        }
        found = await self._lookups.addresses(target.endpoint_id, name)
        *others, last = checked(found, private=self.private)[:ADDRESSES_MAX]

        async def answer(address: str) -> httpx.Response:
            return await self._answer(
                self._client.build_request(
                    "POST",
                    url.copy_with(host=address),
                    content=body,
                    headers=request_headers,
                    extensions={"sni_hostname": name},
                )
            )

        for address in others:
            with contextlib.suppress(httpx.ConnectError):
                return await answer(address)
        return await answer(last)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        response = await self._client.send(request, stream=True)
        try:
            read = 0
            async for part in response.aiter_raw():
                read += len(part)
                if read > ANSWER_BYTES_MAX:
                    break
        finally:
            await response.aclose()
        return response


def _attempt(answer: httpx.Response, at: datetime, milliseconds: int) -> Attempt:
    status, asked = answer.status_code, answer.headers.get("Retry-After")
    if answer.is_success:
        return Attempt(at=at, milliseconds=milliseconds, status=status)
    return Attempt(
        at=at,
        milliseconds=milliseconds,
        status=status,
        reason=f"redirects (HTTP {status}) are not followed" if answer.is_redirect else f"HTTP {status}",
        retry_after=retry_after(asked, datetime.now(UTC)) if asked else None,
    )
