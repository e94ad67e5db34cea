"""The door: strict request bodies, and who may come in.

Guards run before the body is read, so that a key is checked first (401, 403), then what it sends (400, 413, 415).

    @post("/v1/accounts", guards=[requires("admin")])
    async def create(data: NewAccount, pool: NamedDependency[Pool], principal: NamedDependency[Principal]) -> Account:
"""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from billing.accounts import keys
from billing.accounts.keys import Principal, Scope
from billing.audit import log as audit
from billing.db.pool import Pool
from billing.errors import Forbidden, Invalid, Unauthorized, WrongType
from billing.faults import faults_of
from billing.gather import Bounds, Gatherer
from billing.pages import Page
from billing.wire import decoder, malformed

TOKEN_CHARACTERS_MAX = 200

Limit = Annotated[int, QueryParameter(ge=1, le=100, description="How many at most.")]
Cursor = Annotated[str | None, QueryParameter(max_length=500, description="The id at the edge of the page.")]
FAULTS_NAMED_MAX = 100
LOOKED_UP_MAX = 500
"""Bearer tokens looked up with one query."""

# An escaped NUL is fine JSON, but PostgreSQL cannot keep it in a text.
NUL = b"\\u0000"
NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

AnyConnection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[AnyConnection, BaseRouteHandler], Awaitable[None]]
Look = Callable[[AnyConnection, str], Awaitable[Principal]]


class StrictRequest(Request[Any, Principal, State]):
    """A request whose JSON body is decoded once, straight into the type of the handler's `data`.

    Litestar would decode it to builtins first, through floats, and then convert loosely: "7" and true would pass for
    numbers, and 0.12345678901234567891 would lose its end.
    """

    __slots__ = ()

    async def json(self) -> Any:
        self.expect_content_type("application/json")
        field = self.route_handler.parsed_data_field
        return decode(await self.body(), field.raw if field else Any)

    def expect_content_type(self, *accepted: str) -> str:
        """The media type without its parameters. Raises WrongType, naming those accepted here."""
        given, parameters = self.content_type
        if given not in accepted:
            named = f"not {given[:100]}" if given else "and the request names none"
            raise WrongType("content_type", f"Content-Type must be {' or '.join(accepted)}, {named}.")
        if parameters.get("charset", "utf-8").lower() != "utf-8":
            raise WrongType("charset", "JSON is UTF-8; no other charset is read here.")
        if self.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise WrongType("content_encoding", "Send the body as it is, without Content-Encoding.")
        return given


def decode(body: bytes, kind: Any) -> Any:
    """The body as a `kind`. Raises Invalid, naming each JSON path at fault, or the byte where it stops being JSON."""
    try:
        decoded = decoder(kind).decode(body)
    except msgspec.ValidationError:
        faults = tuple(faults_of(body, kind))[:FAULTS_NAMED_MAX]
        sentence = f"The body is not what this endpoint takes. {faults[0].path}: {faults[0].detail}"
        raise Invalid("invalid_body", sentence, faults) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("malformed_json", malformed(body, error)) from None
    if NUL in body and (nul := NUL_ESCAPE.search(body)):
        raise Invalid("nul_character", f"The body contains the character NUL (byte {nul.end() - len(NUL)}).")
    return decoded


Door = Gatherer[str, Principal]


def door(pool: Pool, bounds: Bounds) -> Door:
    """Finds out who holds a bearer token, for all who come at the same time with one query."""

    async def look(tokens: list[str]) -> list[Principal | Exception]:
        async with pool.connection() as conn:
            return await keys.authenticate(conn, tokens)

    return Gatherer(look, lanes=1, items_max=LOOKED_UP_MAX, bounds=bounds)


async def look_up(connection: AnyConnection, token: str) -> Principal:
    """Who holds a bearer token. Raises Unauthorized."""
    return await connection.app.state.door.ask(token)  # type: ignore[no-any-return]


def requires(*scopes: Scope, look: Look = look_up) -> Guard:
    """A guard that lets in keys of these scopes only; `look` finds out who holds one."""

    async def guard(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
        token = bearer_token(connection.headers.get("Authorization"))
        principal = await look(connection, token)
        connection.scope["auth"] = principal
        if principal.scope not in scopes:
            needed = " or ".join(scopes)
            raise Forbidden("wrong_scope", f"This needs a key of scope {needed}; yours is of scope {principal.scope}.")
        audit.actor.set(principal.key_id)

    return guard


def bearer_token(header: str | None) -> str:
    """The token of `Authorization: Bearer …`. Raises Unauthorized."""
    if header is None:
        raise Unauthorized("missing_key", "Send your API key as `Authorization: Bearer idr_…`.")
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > TOKEN_CHARACTERS_MAX:
        raise Unauthorized("malformed_authorization", "The Authorization header must be `Bearer` and an API key.")
    return token


def principal(request: Request[Any, Principal, State]) -> Principal:
    """The dependency `principal`: who passed the guard."""
    return request.auth


def page(limit: Limit = 20, starting_after: Cursor = None, ending_before: Cursor = None) -> Page:
    """The dependency `page`: what every list takes."""
    return Page(limit, starting_after, ending_before)
