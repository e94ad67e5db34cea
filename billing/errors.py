"""Every refusal, as RFC 9457 problem details.

    Problem                     a refusal with a status, a code and a sentence
    ├── Invalid           400   the body is not what the endpoint takes; names each place
    ├── Unauthorized      401   no key, or one that is not accepted
    ├── Unpayable         402   the customer's money, or a key's limit, does not cover it
    ├── Forbidden         403   the key is accepted, but not for this
    ├── NotFound          404   no such thing (or not yours)
    ├── Conflict          409   the same thing is under way, or the state forbids it
    ├── TooLarge          413   more than a limit allows; names the limit
    ├── WrongType         415   a content type nobody here reads
    ├── Unprocessable     422   well formed, but it cannot be done
    ├── TooMany           429   as often as is allowed already; try again after `retry_after` seconds
    └── Unavailable       503   the database cannot be reached; try again after `retry_after` seconds

docs/api.md lists the codes; a test keeps the list complete.
"""

from typing import ClassVar

import msgspec


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault of a request: in which item of a batch, at which JSON path, which code, and a sentence."""

    code: str
    detail: str
    path: str = ""
    index: int | None = None


class Problem(Exception):
    """A refusal. `code` is for programs and stable; `detail` is a sentence for people, without secrets or texts."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, code: str, detail: str, errors: tuple[Fault, ...] = (), retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after


class Invalid(Problem):
    status, title = 400, "Malformed request"


class Unauthorized(Problem):
    status, title = 401, "Key not accepted"


class Unpayable(Problem):
    status, title = 402, "Not covered"


class Forbidden(Problem):
    status, title = 403, "Not permitted"


class NotFound(Problem):
    status, title = 404, "Not found"


class Conflict(Problem):
    status, title = 409, "Conflict"


class TooLarge(Problem):
    status, title = 413, "Too large"


class WrongType(Problem):
    status, title = 415, "Unsupported content type"


class Unprocessable(Problem):
    status, title = 422, "Cannot be done"


class TooMany(Problem):
    status, title = 429, "Too many requests"


class Unavailable(Problem):
    status, title = 503, "Unavailable"
