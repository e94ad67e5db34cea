"""Sizes are read from headers; prices are OpenAI's published examples."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.tokens.images import GPT4O_TILES, Patches, Tiles, Unknown, data_url_size, image_tokens, patches, tiles

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 640, 480) + bytes(30)
GIF = b"GIF89a" + struct.pack("<HH", 640, 480) + bytes(30)
JPEG = b"\xff\xd8\xff\xe0\x00\x10" + bytes(14) + b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 480, 640) + bytes(30)
VP8X = b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + (639).to_bytes(3, "little") + (479).to_bytes(3, "little") + bytes(30)
VP8L = b"RIFF\0\0\0\0WEBPVP8L" + bytes(4) + b"\x2f" + (639 | 479 << 14).to_bytes(4, "little") + bytes(30)
VP8 = b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + struct.pack("<HH", 640, 480) + bytes(30)


def url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("data", [PNG, GIF, JPEG, VP8X, VP8L, VP8])
def test_a_header_gives_the_size(data: bytes) -> None:
    assert data_url_size(url(data)) == (640, 480)


@pytest.mark.parametrize(
    "given",
    ["", "https://example.com/a.png", "data:image/png;base64,", "data:image/png;base64,!!", "data:text/plain,x"],
)
def test_what_is_not_an_image_here_has_no_size(given: str) -> None:
    assert data_url_size(given) is None


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1024, 1024), 4), ((2048, 4096), 6), ((4096, 8192), 6), ((128, 128), 1), ((1, 10_000), 4), ((512, 512), 1)],
)
def test_tiles_of_a_size(size: tuple[int, int], expected: int) -> None:
    assert tiles(size) == expected


@pytest.mark.parametrize(("size", "expected"), [((1024, 1024), 1024), ((640, 480), 300), ((1800, 2400), 1452)])
def test_patches_of_a_size(size: tuple[int, int], expected: int) -> None:
    assert patches(size) == expected


def test_a_known_size_is_exact_and_an_unknown_one_bounded() -> None:
    assert image_tokens(GPT4O_TILES, url(PNG), "high").likely == 85 + 170 * 2
    assert image_tokens(GPT4O_TILES, url(PNG), "low").likely == 85
    remote = image_tokens(GPT4O_TILES, "https://example.com/a.png", None)
    assert (remote.low, remote.high) == (85, 85 + 170 * 8)
    assert image_tokens(Patches(1.62), url(PNG), None).likely == 488  # recorded on gpt-4.1-mini
    assert image_tokens(Unknown(), url(PNG), None).high is not None


@given(
    st.sampled_from([Tiles(85, 170), Patches(1.2), Unknown()]), st.text() | st.binary().map(url), st.none() | st.text()
)
def test_any_url_is_priced_within_bounds(rule: Tiles, address: str, detail: str | None) -> None:
    found = image_tokens(rule, address, detail)
    assert found.high is not None
    assert 0 < found.low <= found.likely <= found.high


# ── left out by who sent it ──
@pytest.mark.parametrize("url", ["data:image/png;base64,<elided 512x640>", "<elided 512x640>"])
def test_a_picture_that_was_left_out_has_the_size_it_is_said_to_have(url):
    assert data_url_size(url) == (512, 640)


@pytest.mark.parametrize("url", ["<elided 0x9>", "<elided 99999999x1>", "x<elided 1x1>", "<elided 1x1>x", "<elided>"])
def test_a_size_that_cannot_be_is_none(url):
    assert data_url_size(url) is None
