"""Image inputs: the size is read from the header of a data URL, never fetched; the price of a size in tokens.

Evidence for the constants is in each rule (recordings of the API); `auto` cost as much as `high` in every recording.
"""

import base64
import binascii
import re
import struct
from dataclasses import dataclass
from math import ceil, floor, sqrt
from typing import Any, Final

from pricing.tokens.bounds import Count

_PATCH_SIDE: Final = 32
_TILE_SIDE: Final = 512
_LONG_SIDE: Final = 2048  # tiles: first shrink to fit this square …
_SHORT_SIDE: Final = 768  # … then shrink (never stretch) the short side to this
_TILES_MAX: Final = 8  # 2048 x 768 after shrinking is 4 x 2 tiles
_PATCHES_MAX: Final = 1536
_PATCHES_ORIGINAL: Final = 10_000  # gpt-5.4 and later document this for `detail: original`; no recording
_FACTOR_MAX: Final = 2.46  # the largest that is documented, for gpt-5-nano among others, which was recorded with 1.5
_HEADER_BYTES: Final = 64  # enough for PNG, GIF and WebP
_JPEG_BYTES: Final = 1 << 20  # a JPEG's size follows its metadata; beyond a megabyte of metadata it counts as unknown
_SIDE_MAX: Final = 1_000_000

Size = tuple[int, int]  # width, height in pixels


@dataclass(frozen=True, slots=True)
class Tiles:
    """`base` + `tile` for each 512-pixel square: 12 recordings of 85/170, 12 of 2833/5667, 1 of 70/140, 0 of 75/150."""

    base: int
    tile: int
    recorded: bool = True


@dataclass(frozen=True, slots=True)
class Patches:
    """1 + `factor` for each 32-pixel square, rounded up: 11 of 12 recordings (gpt-4.1-mini, o4-mini, gpt-5-mini).

    One of gpt-5-mini (2025-11) was billed with factor 1. No recording reaches the documented cap of 1,536 squares.
    """

    factor: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """No recording and no agreed documentation: only wide bounds."""


ImageRule = Tiles | Patches | Unknown
UNKNOWN: Final = Unknown()
GPT4O_TILES: Final = Tiles(85, 170)


def image_tokens(rule: ImageRule, url: str, detail: Any) -> Count:
    """Tokens of one input image. A remote or unreadable one is bounded by the smallest and the largest price."""
    size = data_url_size(url)
    if isinstance(rule, Tiles):
        return _tiled(rule, size, detail)
    if isinstance(rule, Patches):
        return _patched(rule, size, detail)
    high = ceil(_PATCHES_ORIGINAL * 2.46) + 3
    return Count(low=1, high=high, likely=85, reason="the price of an image is not known for this model")


def _tiled(rule: Tiles, size: Size | None, detail: Any) -> Count:
    if detail == "low":
        return Count(low=rule.base, high=rule.base, likely=rule.base)
    if size is None:
        high = rule.base + _TILES_MAX * rule.tile
        return Count(low=rule.base, high=high, likely=high - 4 * rule.tile, reason="an image of unknown size")
    tokens = rule.base + rule.tile * tiles(size)
    if not rule.recorded:
        return Count(rule.base, 2 * tokens, tokens, "images of this family were never recorded")
    return Count(low=tokens, high=tokens, likely=tokens)


def _patched(rule: Patches, size: Size | None, detail: Any) -> Count:
    if size is None:
        high = ceil(_PATCHES_MAX * max(rule.factor, _FACTOR_MAX)) + 1
        return Count(low=1, high=high, likely=ceil(_PATCHES_MAX * rule.factor) // 2, reason="an image of unknown size")
    uncapped = ceil(size[0] / _PATCH_SIDE) * ceil(size[1] / _PATCH_SIDE)
    tokens = ceil(patches(size) * rule.factor) + 1
    low, reason = patches(size) + 1, "the factor of a patch has changed over time"
    if uncapped > _PATCHES_MAX or detail == "low":
        low, reason = 1, "an image priced by patches above the cap or at low detail: no recording"
    return Count(low=min(low, tokens), high=tokens + 2, likely=tokens, reason=reason)


def tiles(size: Size) -> int:
    """512-pixel squares of an image after both shrinkings (a 128 x 128 image is one)."""
    width, height = map(float, size)
    fit = min(1.0, _LONG_SIDE / max(width, height))
    width, height = width * fit, height * fit
    short = min(1.0, _SHORT_SIDE / min(width, height))
    return ceil(round(width * short, 6) / _TILE_SIDE) * ceil(round(height * short, 6) / _TILE_SIDE)


def patches(size: Size) -> int:
    """32-pixel squares of an image, shrunk so that at most 1,536 are needed."""
    width, height = size
    count = ceil(width / _PATCH_SIDE) * ceil(height / _PATCH_SIDE)
    if count <= _PATCHES_MAX:
        return count
    shrink = sqrt(_PATCH_SIDE**2 * _PATCHES_MAX / (width * height))
    across, down = width * shrink / _PATCH_SIDE, height * shrink / _PATCH_SIDE
    shrink *= min(floor(across) / across, floor(down) / down) if min(across, down) >= 1 else 1
    return min(_PATCHES_MAX, ceil(width * shrink / _PATCH_SIDE) * ceil(height * shrink / _PATCH_SIDE))


# ── sizes ──
_DATA_URL: Final = re.compile(r"data:image/[\w.+-]+(?:;[\w=.+-]+)*;base64,", re.IGNORECASE)


# Instead of a picture a sender may say how large it is: `data:image/png;base64,<elided 512x512>`.
_LEFT_OUT: Final = re.compile(rf"(?:{_DATA_URL.pattern})?<elided ([0-9]{{1,7}})x([0-9]{{1,7}})>", re.IGNORECASE)


def data_url_size(url: str) -> Size | None:
    """Width and height of a base64 data URL's PNG, GIF, WebP or JPEG; None for anything else, remote URLs above all."""
    match = _DATA_URL.match(url[:200])
    if left_out := _LEFT_OUT.fullmatch(url[:300]):
        return _possible((int(left_out[1]), int(left_out[2])))
    if match is None:
        return None
    head = _decode(url, match.end(), _HEADER_BYTES)
    size = _fixed_header_size(head)
    if size is None and head.startswith(b"\xff\xd8"):
        size = _jpeg_size(_decode(url, match.end(), _JPEG_BYTES))
    return _possible(size)


def _possible(size: Size | None) -> Size | None:
    return size if size and min(size) > 0 and max(size) <= _SIDE_MAX else None


def _decode(url: str, start: int, length: int) -> bytes:
    encoded = url[start : start + length * 4 // 3 // 4 * 4]
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return b""


def _fixed_header_size(head: bytes) -> Size | None:
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 10:
        width, height = struct.unpack("<HH", head[6:10])
        return width, height
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) >= 30:
        return _webp_size(head)
    return None


def _webp_size(head: bytes) -> Size | None:
    """WebP container, RFC 9649: the three first chunks keep the size in three ways."""
    if head[12:16] == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if head[12:16] == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg_size(data: bytes) -> Size | None:
    """Skip marker segments up to the start of a frame (ITU-T T.81, annex B)."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        if marker == 0xFF:
            at += 1  # fill byte
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
