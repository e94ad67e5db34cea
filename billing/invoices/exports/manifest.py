"""The manifest of an export: what it should hold, by count, by sum and by SHA-256 of each file, and whether the ledger
says the same. Pure, but for a temporary file that keeps long lists out of memory."""

import hashlib
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import msgspec

from billing.invoices.exports.month import NET_SUMS, SUMS, Ledger, Month
from pricing import money

MEMORY_BYTES_MAX = 1 << 20


class LedgerView(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger's books took for the documents: for usage, rounding and taxes in the periods of the invoices,
    less what the credit notes gave back. Those that replace others have no postings of their own.

    `agrees`: no document says something else, revenue + rounding + taxes is the net total, and taxes the net tax.
    """

    revenue: str
    rounding: str
    taxes: str
    different_documents: int
    agrees: bool


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What the documents say, summed by sort; and the invoices less the credit notes."""

    invoices: dict[str, str]
    credit_notes: dict[str, str]
    net: dict[str, str]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest without its files. `final`: the month is over and closed, so that no document will be added.
    `left_out`: files that could not be made."""

    month: str
    final: bool
    format: str
    currency: str
    invoices: int
    credit_notes: int
    totals: Totals
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
            final=month.final,
            format=kind,
            currency="USD",
            invoices=month.invoices.documents,
            credit_notes=month.credit_notes.documents,
            totals=Totals(
                invoices={name: money.format(getattr(month.invoices, name)) for name in SUMS},
                credit_notes={name: money.format(getattr(month.credit_notes, name)) for name in NET_SUMS},
                net={name: money.format(month.net(name)) for name in NET_SUMS},
            ),
            ledger=LedgerView(
                revenue=money.format(self.ledger.revenue),
                rounding=money.format(self.ledger.rounding),
                taxes=money.format(self.ledger.taxes),
                different_documents=self.ledger.different,
                agrees=self.ledger.agrees(month),
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
