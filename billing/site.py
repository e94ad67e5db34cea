"""What our pages for people share: their files, their templates, and what a browser may do with them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response
from litestar.exceptions import NotFoundException

HTML = "text/html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
KEPT_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


class Assets:
    """The files of a page, by name and media type. Their address has their `version`, so they may be kept for ever."""

    def __init__(self, folder: Path, types: Mapping[str, str]) -> None:
        self._types = types
        self._files = {name: (folder / name).read_bytes() for name in types}
        self.version = hashlib.sha256(b"".join(self._files.values())).hexdigest()[:10]

    def answer(self, name: str) -> Response[bytes]:
        if name not in self._files:
            raise NotFoundException
        return Response(self._files[name], media_type=self._types[name], headers=KEPT_FOR_EVER)


def templates_in(folder: Path) -> Environment:
    """A page's own, and the frame of them all (`page.html`)."""
    return Environment(
        loader=FileSystemLoader((folder, Path(__file__).parent / "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
