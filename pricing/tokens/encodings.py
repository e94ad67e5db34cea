"""The four byte-pair encodings, loaded offline from checked package data.

tiktoken itself would download these files; here they ship with the package, compressed with xz, and the SHA-256 of each
after decompression must equal the line in `ranks/SHA256SUMS` (the hashes that tiktoken 0.14 expects). Nothing in this
package can reach the network. No special token is ever recognised: `<|endoftext|>` typed by a user is ordinary text.
"""

import base64
import hashlib
import lzma
import threading
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final, Literal

import tiktoken

EncodingName = Literal["cl100k_base", "o200k_base", "p50k_base", "r50k_base"]
NAMES: Final[tuple[EncodingName, ...]] = ("o200k_base", "cl100k_base", "p50k_base", "r50k_base")

# The split patterns of tiktoken's own definitions (tiktoken_ext/openai_public.py, MIT). They are restated because that
# module would bring its download code along.
_R50K: Final = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
_CL100K: Final = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)
_LEAD: Final = r"[^\r\n\p{L}\p{N}]?"
_CONTRACTION: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_O200K: Final = "|".join(
    [
        _LEAD + r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + _CONTRACTION,
        _LEAD + r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + _CONTRACTION,
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)
_PATTERNS: Final[dict[EncodingName, str]] = {
    "o200k_base": _O200K,
    "cl100k_base": _CL100K,
    "p50k_base": _R50K,
    "r50k_base": _R50K,
}
# tiktoken cuts a text into buffers at special tokens. It looks for one at each character if there are none at all, so
# there is this one, and it is never allowed.
_NEVER_ALLOWED: Final = {"<|none is ever recognised|>": 1_000_000}
_NONE: Final[frozenset[str]] = frozenset()
_BYTES_OF_A_TOKEN: Final = 4
_lock = threading.Lock()


class RanksCorruptError(RuntimeError):
    """A shipped rank file is missing or is not the published one: the installation is broken."""


def get(name: EncodingName) -> tiktoken.Encoding:
    """The encoding, loaded on first use (60-330 ms, once a process) and shared by all threads.

    Raises `RanksCorruptError` if the file does not have the published SHA-256.
    """
    with _lock:
        return _load(name)


def length(name: EncodingName, text: str) -> int:
    """Tokens of a text: `len(get(name).encode_ordinary(text))`, in 8 % less time because no list is made of them.

    The same as the public `encode_to_numpy`, which needs numpy; `_core_bpe` is private to tiktoken. For texts that it
    takes (text.py bounds them).
    """
    bpe = get(name)._core_bpe
    try:
        found = bpe.encode_to_tiktoken_buffer(text, _NONE)
    except UnicodeEncodeError:  # a lone surrogate counts as U+FFFD, as in tiktoken
        found = bpe.encode_to_tiktoken_buffer(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), _NONE)
    return memoryview(found).nbytes // _BYTES_OF_A_TOKEN


def preload(names: tuple[EncodingName, ...] = NAMES) -> None:
    """Load encodings at start, before a server forks, so that the pages are shared (128 MB with all four)."""
    for name in names:
        get(name)


@cache
def _load(name: EncodingName) -> tiktoken.Encoding:
    ranks = read_ranks(resources.files(__package__) / "ranks", name)
    return tiktoken.Encoding(name, pat_str=_PATTERNS[name], mergeable_ranks=ranks, special_tokens=_NEVER_ALLOWED)


def read_ranks(folder: Traversable, name: str) -> dict[bytes, int]:
    """Token bytes → rank, from `<base64> <rank>` lines. Raises `RanksCorruptError`."""
    try:
        data = lzma.decompress((folder / f"{name}.tiktoken.xz").read_bytes())
        sums = (folder / "SHA256SUMS").read_text("ascii")
    except (OSError, lzma.LZMAError) as fault:
        raise RanksCorruptError(f"the rank file of {name} cannot be read") from fault
    published = {file: digest for digest, file in (line.split() for line in sums.splitlines())}
    if hashlib.sha256(data).hexdigest() != published.get(f"{name}.tiktoken"):
        raise RanksCorruptError(f"the rank file of {name} is not the published one: its SHA-256 differs")
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in data.splitlines() if line)}
