"""Characters that cannot be printed, shown by their code points: `[U+202E]`. Pure.

Nobody sees a control character, and some turn around what stands beside them: a name must not reorder an invoice.
"""

import re
from collections.abc import Callable
from typing import Any

from billing.invoices.formats.words import WORDS

# Controls, the soft hyphen, what has no width or sets the direction of text, line ends, halves of pairs, tags. Not what
# joins letters and chooses their form (U+200C, U+200D, U+FE00 to U+FE0F): some scripts cannot do without.
UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def seen(text: str) -> str:
    """With what is not seen by its code points."""
    return UNSEEN.sub(lambda found: code_point(found[0]), text)


def code_point(character: str) -> str:
    return f"[U+{ord(character):04X}]"


def printable(sheet: dict[str, Any], replace: Callable[[str], str]) -> dict[str, Any]:
    """The same sheet with every text replaced, and a note that says so if one has become another."""
    replaced: dict[str, Any] = _each(sheet, replace)
    if replaced != sheet:
        replaced["how"] = [*replaced["how"], WORDS[sheet["language"]]["unprintable"]]
    return replaced


def _each(value: Any, replace: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, list):
        return [_each(each, replace) for each in value]
    return {name: _each(each, replace) for name, each in value.items()} if isinstance(value, dict) else value
