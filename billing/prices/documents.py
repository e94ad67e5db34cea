"""Public documents: made once, kept compressed, answered without work.

Anybody may ask for them without a key, so asking must be cheap: what is answered is bytes that are already there, and
a client that has them already is told so (304).
"""

import gzip
import hashlib
from datetime import UTC, datetime, timedelta

import msgspec
from litestar import Response

from billing.http import StrictRequest

FRESH_SECONDS_MAX = 300
"""How long a client may use its copy unasked: as long as a corrected price may stay unseen."""


class Document(msgspec.Struct, frozen=True):
    """Bytes to answer with, compressed; the tag names their content."""

    media_type: str
    compressed: bytes
    tag: str


def document(content: bytes, media_type: str) -> Document:
    # mtime=0: the same content is the same bytes on every worker and after every restart.
    return Document(media_type, gzip.compress(content, 6, mtime=0), f'W/"{hashlib.sha256(content).hexdigest()[:20]}"')


def respond(request: StrictRequest, found: Document, headers: dict[str, str] | None = None) -> Response[bytes]:
    """The document, or 304 for a client that has it."""
    headers = {
        "ETag": found.tag,
        "Cache-Control": f"public, max-age={fresh_seconds(datetime.now(UTC))}",
        "Vary": "Accept-Encoding",
        "Access-Control-Allow-Origin": "*",  # it is public, and other pages may show it
        **(headers or {}),
    }
    if is_known(request.headers.get("If-None-Match", ""), found.tag):
        return Response(b"", status_code=304, headers=headers, media_type=found.media_type)
    if takes_gzip(request.headers.get("Accept-Encoding", "")):
        headers["Content-Encoding"] = "gzip"
        return Response(found.compressed, headers=headers, media_type=found.media_type)
    return Response(gzip.decompress(found.compressed), headers=headers, media_type=found.media_type)


def fresh_seconds(now: datetime) -> int:
    """Never beyond midnight UTC, when the next prices may begin."""
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return min(FRESH_SECONDS_MAX, int((midnight - now).total_seconds()))


def takes_gzip(accept_encoding: str) -> bool:
    """Whether `gzip` is among the encodings, and not with the weight 0 that forbids it."""
    given = (each.replace(" ", "").partition(";q=") for each in accept_encoding.lower().split(","))
    return any(coding == "gzip" and (not weight or weight.strip("0.")) for coding, _, weight in given)


def is_known(if_none_match: str, tag: str) -> bool:
    """Whether a client's If-None-Match names this tag; compared weakly (RFC 9110, 13.1.2)."""
    named = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return "*" in named or tag.removeprefix("W/") in named
