"""The API's description at /schema/openapi.json, and a page to read it at /schema that loads nothing from afar."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, Router, get
from litestar.enums import OpenAPIMediaType
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.status_codes import HTTP_404_NOT_FOUND

from billing.problems import MEDIA_TYPE, Details

Bodies = Mapping[str, Mapping[str, Any]]
"""Path → media type → type of the body, for handlers that read the body themselves."""

STATIC = Path(__file__).with_name("static")
ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "start.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
# Scripts and requests only from and to this service. Swagger UI sets styles on elements and draws icons as data.
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
CACHED = {"Cache-Control": "public, max-age=86400"}
DESCRIPTION = """\
Prices, books and bills the usage of LLM APIs. Amounts are decimal strings in dollars. Every request carries an API key:
`Authorization: Bearer idr_…`. Every refusal is an `application/problem+json` with a stable `code`."""


class Description(OpenAPIRenderPlugin):
    """The OpenAPI document, with our refusals instead of Litestar's, and bodies that handlers read by themselves."""

    def __init__(self, bodies: Bodies) -> None:
        super().__init__(path="/openapi.json", media_type=OpenAPIMediaType.OPENAPI_JSON)
        self._bodies = bodies
        self._document: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if self._document is None:
            with_bodies(openapi_schema, self._bodies)
            self._document = self.render_json(request, with_problems(openapi_schema))
        return self._document


class Page(OpenAPIRenderPlugin):
    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        return (STATIC / "page.html").read_bytes()


def with_problems(schema: dict[str, Any]) -> dict[str, Any]:
    """Say of every operation that whatever it does not list is a problem, and what a problem looks like."""
    refused = {
        "description": "Refused; `code` says why.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Details"}}},
    }
    for operations in schema["paths"].values():
        for operation in operations.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"].pop("400", None)
                operation["responses"]["default"] = refused
    _described(schema, [Details])
    return schema


def with_bodies(schema: dict[str, Any], bodies: Bodies) -> None:
    """Say what POST takes at these paths, by media type."""
    for path, accepted in bodies.items():
        described = _described(schema, list(accepted.values()))
        content = {kind: {"schema": shape} for kind, shape in zip(accepted, described, strict=True)}
        schema["paths"][path]["post"]["requestBody"] = {"required": True, "content": content}


def _described(schema: dict[str, Any], types: list[Any]) -> tuple[dict[str, Any], ...]:
    """References to these types, whose shapes are added to the document."""
    references, shapes = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema["components"].setdefault("schemas", {}).update(shapes)
    return references


@get("/static/{name:str}", sync_to_thread=False)
def asset(name: FromPath[str]) -> Response[bytes]:
    if name not in ASSETS:
        raise NotFoundException
    return Response((STATIC / name).read_bytes(), media_type=ASSETS[name], headers=CACHED)


def refuse(response: Response[Any]) -> Response[Any]:
    """Litestar shows a page of its own where there is nothing: we refuse, as everywhere."""
    if response.status_code == HTTP_404_NOT_FOUND:
        raise NotFoundException
    return response


def config(bodies: Bodies) -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Billing",
        version=version("relay-billing"),
        description=DESCRIPTION,
        openapi_router=Router(
            "/schema",
            route_handlers=[asset],
            response_headers=HEADERS,
            include_in_schema=False,
            after_request=refuse,
        ),
        render_plugins=[Page(), Description(bodies)],
        use_handler_docstrings=True,
        security=[{"key": []}],
        components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
    )


@get("/", include_in_schema=False, sync_to_thread=False)
def home() -> Redirect:
    return Redirect("/schema")
