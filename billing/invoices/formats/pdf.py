"""PDF/A-3b with the structured invoice attached, if there can be one (docs/decisions/0065).

It is set by typst, in a process of its own with an empty environment: what goes wrong there, or takes too long or too
much, stays there.
"""

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from billing.errors import Unprocessable
from billing.invoices.formats import en16931
from billing.invoices.formats.printable import code_point, printable, seen
from billing.invoices.formats.sheet import Sheet, note_sheet, sheet
from billing.invoices.settlement.views import CreditNoteView
from billing.invoices.view import InvoiceView
from billing.prices.words import Language

LINES_MAX = 5_000
"""Some 350 pages: 8 s of one core and 1.3 GB."""

SECONDS_MAX = 120
DOCUMENTS_MAX = 200
"""One process sets so many, since it keeps some memory of each."""

PRESSES_MAX = 2

Shown = TypeVar("Shown")

_presses = threading.Semaphore(PRESSES_MAX)
_HERE = Path(__file__).parent
_LENGTH = struct.Struct(">I")


class PressError(Exception):
    """An invoice could not be set, or not in time: a fault of ours."""


class Press:
    """Sets invoices one after the other: 60 ms for the first, some 15 ms a page for the others. For one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._left = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def document(self, shown: InvoiceView, language: Language) -> bytes:
        """The invoice as PDF. Raises Unprocessable for one that is too long, PressError."""
        return self._set(sheet(shown, language), _attached(en16931.document, shown), shown.finalized_at)

    def note(self, shown: CreditNoteView, language: Language) -> bytes:
        """The credit note as PDF, likewise."""
        return self._set(note_sheet(shown, language), _attached(en16931.note, shown), shown.issued_at)

    def _set(self, laid_out: Sheet, attached: bytes, at: datetime | None) -> bytes:
        if len(laid_out.rows) > LINES_MAX:
            raise Unprocessable("invoice_too_long", f"More than {LINES_MAX} lines come as HTML and data, not as PDF.")
        request = {
            "sheet": msgspec.json.encode(parts(laid_out)).decode(),
            "invoice": attached.decode(),
            "at": int(at.timestamp()) if at else 0,
        }
        return self._answer(msgspec.json.encode(request))

    def _answer(self, request: bytes) -> bytes:
        if self._process is None or self._left == 0:
            self._end()
            self._process, self._left = _start(), DOCUMENTS_MAX
        process = self._process
        self._left -= 1
        assert process.stdin
        timer = threading.Timer(SECONDS_MAX, process.kill)
        timer.start()
        try:
            process.stdin.write(_LENGTH.pack(len(request)) + request)
            process.stdin.flush()
            return _read(process, *_LENGTH.unpack(_read(process, _LENGTH.size)))
        except (BrokenPipeError, PressError):
            self._end()
            raise PressError(f"An invoice could not be set; the press ended with {process.returncode}.") from None
        finally:
            timer.cancel()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def document(shown: InvoiceView, language: Language) -> bytes:
    """One invoice as PDF, as `Press.document`, when one of the few presses is free."""
    with _presses, Press() as press:
        return press.document(shown, language)


def note(shown: CreditNoteView, language: Language) -> bytes:
    """One credit note as PDF, likewise."""
    with _presses, Press() as press:
        return press.note(shown, language)


def _attached(structured: Callable[[Shown], bytes], shown: Shown) -> bytes:
    """The structured invoice; nothing of what the standard cannot say: a draft, parties without a country."""
    try:
        return structured(shown)
    except Unprocessable:
        return b""


def _start() -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-I", str(_HERE / "typeset.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=_HERE,
    )


def _read(process: subprocess.Popen[bytes], size: int) -> bytes:
    assert process.stdout
    found = process.stdout.read(size)
    if len(found) < size:
        raise PressError
    return found


def parts(laid_out: Sheet) -> dict[str, Any]:
    """The texts of a sheet as they can be printed."""
    return printable(msgspec.to_builtins(laid_out), _replaced)


def _replaced(text: str) -> str:
    """With what is not seen, and what the font lacks, by its code points."""
    text, known = seen(text), characters("regular")
    return text if known.issuperset(text) else "".join(c if c in known else code_point(c) for c in text)


@cache
def characters(font: str) -> frozenset[str]:
    """The characters a font of ours has (OpenType cmap, format 4)."""
    return frozenset(_mapped((_HERE / "fonts" / f"{font}.otf").read_bytes()))


def _mapped(font: bytes) -> Iterator[str]:
    tables = (struct.unpack_from(">4s4xII", font, 12 + 16 * n) for n in range(struct.unpack_from(">H", font, 4)[0]))
    cmap = next(offset for tag, offset, _ in tables if tag == b"cmap")
    count = struct.unpack_from(">H", font, cmap + 2)[0]
    places = {cmap + struct.unpack_from(">4xI", font, cmap + 4 + 8 * n)[0] for n in range(count)}
    for place in places:
        form, twice = struct.unpack_from(">H4xH", font, place)
        if form == 4:
            ends = struct.unpack_from(f">{twice // 2}H", font, place + 14)
            starts = struct.unpack_from(f">{twice // 2}H", font, place + 16 + twice)
            yield from (chr(code) for first, last in zip(starts, ends, strict=True) for code in range(first, last + 1))
