"""Which characters the fonts of printed invoices have: `python characters.py text|words` (README.md).

text: Latin, Greek, Cyrillic and punctuation; all of GBK, Big5 and KS X 1001, for the names of customers in Chinese,
Japanese and Korean. words: Latin and what words.py says, for heads.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

LATIN = (
    *range(0x20, 0x7F),
    *range(0xA0, 0x180),
    *range(0x1E00, 0x1F00),
    *range(0x2010, 0x2060),
    *range(0x20A0, 0x20C0),
    0x2212,
)
DOUBLE_BYTE = ("gbk", "big5", "euc_kr")


def encodable(codec: str) -> Iterator[str]:
    for first in range(0x81, 0xFF):
        for second in range(0x40, 0xFF):
            yield bytes((first, second)).decode(codec, "ignore")


def text() -> set[str]:
    found = {one for codec in DOUBLE_BYTE for one in encodable(codec) if len(one) == 1}
    return {*map(chr, LATIN), *found} - {chr(code) for code in range(0xE000, 0xF900)}


def words() -> set[str]:
    return {*map(chr, LATIN), *(Path(__file__).parent.parent / "words.py").read_text()} - {"\n"}


if __name__ == "__main__":
    sys.stdout.write("".join(sorted({"text": text, "words": words}[sys.argv[1]]())))
