"""Every error as an answer of RFC 9457: `application/problem+json`, and nothing of our insides in it.

`as_problem` says which refusal an exception is; `answer` is Litestar's exception handler for all of them.
"""

import logging
import re
import traceback
from typing import Any

import msgspec
import psycopg
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from billing.errors import Fault, Invalid, NotFound, Problem, TooLarge, Unauthorized, Unavailable
from billing.observe import request_id

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2

log = logging.getLogger(__name__)


class MethodNotAllowed(Problem):
    status, title = 405, "Method not allowed"


class Details(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every refusal. `code` is stable and for programs, `detail` a sentence for people, `errors` names
    each place: the item of a batch, the JSON path. `instance` names the request as the logs do."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: tuple[Fault, ...] = ()


def details(problem: Problem) -> Details:
    return Details(
        type=f"urn:billing:problem:{problem.code}",
        title=problem.title,
        status=problem.status,
        detail=problem.detail,
        instance=f"urn:billing:request:{request_id.get()}",
        code=problem.code,
        errors=problem.errors,
    )


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Details]:
    """The exception handler of the whole service."""
    problem = as_problem(request, error)
    if problem.status >= 500:
        _report(problem, error)
    headers = dict(getattr(error, "headers", None) or {})
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if isinstance(problem, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return Response(details(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def as_problem(request: Request[Any, Any, Any], error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case ValidationException():
            return _invalid_parameters(error)
        case HTTPException():
            return _http(request, error)
        case psycopg.errors.QueryCanceled() | psycopg.errors.LockNotAvailable():
            return Unavailable("database_busy", "The database took too long.", retry_after=RETRY_AFTER_SECONDS)
        case psycopg.OperationalError() | psycopg.InterfaceError():
            sentence = "The database cannot be reached; nothing was changed unless it had just been committed."
            return Unavailable("database_unavailable", sentence, retry_after=RETRY_AFTER_SECONDS)
        case psycopg.DataError() | UnicodeEncodeError():
            return Invalid("not_storable", "A value of the request is outside of what the database can keep.")
        case _:
            sentence = f"This is our fault and has been logged as request {request_id.get()}."
            return Problem("internal_error", sentence)


def _invalid_parameters(error: ValidationException) -> Problem:
    """Litestar found a parameter missing or wrong, or no body where one is needed."""
    found = [entry for entry in error.extra or [] if isinstance(entry, dict)]
    if any(entry.get("key") == "data" for entry in found):
        return Invalid("empty_body", "This request needs a body.")
    if not found:  # "Missing required query parameter 'start' for path /v1/usage?…"
        sentence = error.detail.split(" for path ")[0] + "."
        return Invalid("missing_parameter", sentence, (Fault("missing_parameter", sentence, _quoted(sentence)),))
    faults = tuple(_parameter_fault(entry) for entry in found)
    return Invalid("invalid_parameter", " ".join(each.detail for each in faults), faults)


def _parameter_fault(entry: dict[str, Any]) -> Fault:
    source = getattr(entry.get("source"), "value", "request")
    key = entry.get("key", "?")
    return Fault("invalid_parameter", f"The {source} parameter {key} is not acceptable: {entry['message']}.", key)


def _quoted(sentence: str) -> str:
    match = re.search("'(.*)'", sentence)
    return match[1] if match else ""


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Problem:
    """What Litestar itself refuses."""
    match error.status_code:
        case 404:
            return NotFound("no_such_resource", f"There is nothing at {request.url.path[:200]}.")
        case 405:
            sentence = f"{request.method} is not possible at {request.url.path[:200]}."
            return MethodNotAllowed("method_not_allowed", sentence)
        case 413:
            limit = request.route_handler.resolve_request_max_body_size()
            return TooLarge("body_too_large", f"The body is larger than {limit:,} bytes (BILLING_BODY_BYTES_MAX).")
        case 500 if "disconnected" in error.detail:
            return Invalid("client_disconnected", "The client went away before the body was complete.")
        case status if status < 500:
            return Invalid("bad_request", error.detail)
        case _:
            sentence = f"This is our fault and has been logged as request {request_id.get()}."
            return Problem("internal_error", sentence)


def _report(problem: Problem, error: Exception) -> None:
    of_database = _of_database(error)
    if problem.status == 503:
        reason = (of_database and of_database.diag.message_primary) or str(error).strip()
        log.warning("%s: %s", problem.code, type(error).__name__, extra={"reason": reason[:300]})
    elif of_database is not None:
        stack = "".join(traceback.format_tb(error.__traceback__))
        log.error("unexpected error of the database", extra={**_told_by(of_database), "stack": stack})
    else:
        log.error("unexpected error", exc_info=error)


def _of_database(error: BaseException | None) -> psycopg.Error | None:
    """The database's error that this is, or that led to it."""
    while error is not None and not isinstance(error, psycopg.Error):
        error = error.__cause__ or error.__context__
    return error


def _told_by(error: psycopg.Error) -> dict[str, Any]:
    """What PostgreSQL says is wrong. Not its DETAIL, nor the message as Python prints it: those hold the row that
    failed, with whatever a customer wrote into it."""
    return {
        "sqlstate": error.sqlstate,
        "reason": (error.diag.message_primary or type(error).__name__)[:300],
        "constraint": error.diag.constraint_name,
    }
