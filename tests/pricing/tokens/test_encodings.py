"""The rank files are the published ones, load offline, and treat every text as ordinary."""

import hashlib
import lzma
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from pricing.tokens import encodings

RANKS = resources.files("pricing.tokens") / "ranks"


@pytest.mark.parametrize("name", encodings.NAMES)
def test_a_rank_file_has_the_published_digest(name: encodings.EncodingName) -> None:
    sums = (RANKS / "SHA256SUMS").read_text()
    data = lzma.decompress((RANKS / f"{name}.tiktoken.xz").read_bytes())
    assert f"{hashlib.sha256(data).hexdigest()}  {name}.tiktoken\n" in sums


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("o200k_base", [24912, 2375]),
        ("cl100k_base", [15339, 1917]),
        ("p50k_base", [31373, 995]),
        ("r50k_base", [31373, 995]),
    ],
)
def test_known_ids(name: encodings.EncodingName, ids: list[int]) -> None:
    assert encodings.get(name).encode_ordinary("hello world") == ids


def test_special_tokens_are_ordinary_text() -> None:
    assert len(encodings.get("o200k_base").encode_ordinary("<|endoftext|>")) > 1


@pytest.mark.parametrize("damage", ["missing", "not xz", "another text"])
def test_a_damaged_rank_file_is_named_and_refused(tmp_path: Path, damage: str) -> None:
    (tmp_path / "SHA256SUMS").write_text((RANKS / "SHA256SUMS").read_text())
    if damage != "missing":
        data = b"aGk= 0\n"
        (tmp_path / "p50k_base.tiktoken.xz").write_bytes(lzma.compress(data) if damage == "another text" else data)
    with pytest.raises(encodings.RanksCorruptError, match="p50k_base"):
        encodings.read_ranks(tmp_path, "p50k_base")


def test_the_package_needs_no_server_and_brings_no_network_along() -> None:
    heavy = "msgspec requests httpx urllib3 litestar psycopg sqlalchemy billing tiktoken_ext.openai_public socket ssl"
    code = f"import sys, pricing.tokens as t; t.preload(); sys.exit(len(set({heavy.split()}) & sys.modules.keys()))"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
