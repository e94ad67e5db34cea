"""The manifest of an export: what it should hold, by count, by sum and by SHA-256 of each file, and whether the ledger
says the same. Pure, but for a temporary file that keeps long lists out of memory."""

import hashlib
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import msgspec

from billing.invoices.exports.month import SUMS, Ledger, Month
from pricing import money

MEMORY_BYTES_MAX = 1 << 20
READ_BYTES = 64 << 10


class LedgerView(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger took for usage and rounding in the periods of the invoices, but those that replace another; and
    how many invoices say something else. `agrees`: none."""

    usage: str
    rounding: str
    different_invoices: int
    agrees: bool


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest without its files. `left_out`: files that could not be made."""

    month: str
    format: str
    currency: str
    invoices: int
    totals: dict[str, str]
    ledger: LedgerView
    unbilled_accounts: int
    left_out: list[str]


class Manifest:
    """Takes note of files as they are written. To be closed at the end."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.left_out: list[str] = []
        self._lines = tempfile.SpooledTemporaryFile(MEMORY_BYTES_MAX)  # noqa: SIM115 - closed with the manifest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()

    def note(self, name: str, content: bytes) -> None:
        self._note(name, len(content), hashlib.sha256(content).hexdigest())

    def noting(self, name: str) -> "Noted":
        return Noted(self, name)

    def _note(self, name: str, size: int, digest: str) -> None:
        line = msgspec.json.encode({"name": name, "bytes": size, "sha256": digest})
        self._lines.write(line + b"\n")

    def summary(self, month: Month, kind: str) -> Summary:
        return Summary(
            month=month.label,
            format=kind,
            currency="USD",
            invoices=month.sums.invoices,
            totals={name: money.format(getattr(month.sums, name)) for name in SUMS},
            ledger=LedgerView(
                usage=money.format(self.ledger.usage),
                rounding=money.format(self.ledger.rounding),
                different_invoices=self.ledger.different,
                agrees=self.ledger.different == 0,
            ),
            unbilled_accounts=month.unbilled_accounts,
            left_out=self.left_out,
        )

    def document(self, summary: Summary) -> Iterator[bytes]:
        """All of it as JSON, in parts: a file on each line."""
        head = msgspec.json.format(msgspec.json.encode(summary), indent=2)
        yield head.removesuffix(b"\n}") + b',\n  "files": ['
        self._lines.seek(0)
        between = b"\n    "
        for line in self._lines:
            yield between + line.rstrip()
            between = b",\n    "
        yield b"\n  ]\n}\n"


class Noted:
    """A file that is written in parts."""

    def __init__(self, manifest: Manifest, name: str) -> None:
        self._manifest = manifest
        self._name = name
        self._size = 0
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._size += len(data)
        self._digest.update(data)

    def close(self) -> None:
        self._manifest._note(self._name, self._size, self._digest.hexdigest())
