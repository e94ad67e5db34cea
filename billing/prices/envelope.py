"""Refusals as OpenAI's clients expect them, for the endpoints that have OpenAI's shape."""

from typing import Any

import msgspec
from litestar import Request, Response

from billing import problems

CODES = {401: "invalid_api_key"}
"""Codes that clients of OpenAI look for; every other refusal keeps its own."""


class Error(msgspec.Struct, frozen=True):
    """https://platform.openai.com/docs/guides/error-codes: `type` says whose fault it is, `code` which."""

    message: str
    type: str
    param: str | None
    code: str | None


class Envelope(msgspec.Struct, frozen=True):
    error: Error


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Envelope]:
    """An exception handler: the same status, headers and log as everywhere, in OpenAI's envelope."""
    refusal = problems.answer(request, error)
    details = refusal.content
    kind = "server_error" if details.status >= 500 else "invalid_request_error"
    param = details.errors[0].path if details.errors else None
    code = CODES.get(details.status, details.code)
    envelope = Envelope(Error(details.detail, kind, param, code))
    return Response(envelope, status_code=details.status, headers=refusal.headers)
