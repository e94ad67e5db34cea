"""A month's invoices as one stream of bytes: a table of all of them, or an archive with a file for each.

The stream is made batch by batch, printed in a thread, and reads the invoices once for each table: so its memory does
not grow with the month, but for the directory of an archive (some 0.4 kB a file).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal, get_args

from billing.db.pool import Pool
from billing.errors import Unprocessable
from billing.invoices.exports import month as months
from billing.invoices.exports.archive import Archive
from billing.invoices.exports.manifest import Manifest, Summary
from billing.invoices.exports.month import Month, Sums
from billing.invoices.formats.pdf import Press
from billing.invoices.invoice import Invoice
from billing.invoices.render import FORMATS
from billing.invoices.view import InvoiceView, view
from billing.prices.words import Language

Kind = Literal["zip", "csv", "ndjson", "focus"]
KINDS: tuple[Kind, ...] = get_args(Kind)

TABLES = {"csv": "csv", "ndjson": "ndjson", "focus": "focus.csv"}
"""The format that each table is made of."""
MEDIA_TYPES = {"zip": "application/zip", "csv": "text/csv", "ndjson": "application/x-ndjson", "focus": "text/csv"}
EACH = ("json", "csv", "html")
"""The files of every invoice in an archive."""

Progress = Callable[[int], None]
"""Told how many more invoices were written, and in an archive once for each of its parts."""


class Changed(Exception):
    """The invoices that were read are not those that were counted: something is broken."""


def file_name(label: str, kind: str) -> str:
    return f"invoices-{label}.{TABLES.get(kind, kind)}"


def parts_of(kind: Kind) -> int:
    """How many times all invoices are gone through."""
    return 1 + len(TABLES) if kind == "zip" else 1


class Export:
    """One export. `stream` is what is sent; after its end `manifest` is complete."""

    def __init__(
        self,
        pool: Pool,
        month: Month,
        kind: Kind,
        *,
        pdf: bool = False,
        language: Language = "en",
        progress: Progress | None = None,
    ) -> None:
        self.month = month
        self.kind = kind
        self.manifest = Manifest()
        self._pool = pool
        self._pdf = pdf
        self._language: Language = language
        self._progress = progress or (lambda _invoices: None)

    @property
    def summary(self) -> Summary:
        return self.manifest.summary(self.month, self.kind)

    def stream(self) -> AsyncIterator[bytes]:
        """Raises Changed when what was sent is not what was counted before."""
        return self._archive() if self.kind == "zip" else self._table(file_name(self.month.label, self.kind), self.kind)

    def document(self) -> bytes:
        """The manifest of an export that is over."""
        return b"".join(self.manifest.document(self.summary))

    async def _table(self, name: str, kind: str, *, compare: bool = True) -> AsyncIterator[bytes]:
        """All invoices in one table, and a note of it as a file of this name."""
        noted, is_first = self.manifest.noting(name), True
        async for invoices in self._batches(compare=compare):
            text = await asyncio.to_thread(self._rows, invoices, TABLES[kind], with_head=is_first)
            is_first = False
            noted.write(text)
            yield text
            self._progress(len(invoices))
        noted.close()

    def _rows(self, invoices: Sequence[Invoice], form: str, *, with_head: bool) -> bytes:
        """A format's records of some invoices; of a CSV with the head, its first line, once or not at all."""
        printed = [FORMATS[form].print(view(invoice), self._language) for invoice in invoices]
        if not form.endswith("csv"):
            return b"".join(printed)
        rows = [text.partition(b"\r\n") for text in printed]
        head = rows[0][0] + b"\r\n" if with_head else b""
        return head + b"".join(rest for _, _, rest in rows)

    async def _archive(self) -> AsyncIterator[bytes]:
        """A file for each invoice and kind, the tables of all, and the manifest as the last."""
        archive = Archive(self.month.made_at)
        with Press() as press:
            async for invoices in self._batches(compare=True):
                yield await asyncio.to_thread(self._files, archive, [view(invoice) for invoice in invoices], press)
                self._progress(len(invoices))
        for kind in TABLES:
            name = file_name(self.month.label, kind)
            with archive.begin(name) as part:
                async for text in self._table(name, kind, compare=False):
                    await asyncio.to_thread(part.write, text)
                    yield archive.take()
        with archive.begin("manifest.json") as part:
            for text in self.manifest.document(self.summary):
                part.write(text)
        archive.close()
        yield archive.take()

    def _files(self, archive: Archive, shown: Sequence[InvoiceView], press: Press) -> bytes:
        for invoice in shown:
            for kind in EACH:
                self._add(archive, f"invoices/{invoice.number}.{kind}", FORMATS[kind].print(invoice, self._language))
            if self._pdf:
                name = f"invoices/{invoice.number}.pdf"
                try:
                    self._add(archive, name, press.document(invoice, self._language))
                except Unprocessable:  # too long to be set
                    self.manifest.left_out.append(name)
        return archive.take()

    def _add(self, archive: Archive, name: str, content: bytes) -> None:
        self.manifest.note(name, content)
        archive.add(name, content)

    async def _batches(self, *, compare: bool) -> AsyncIterator[list[Invoice]]:
        """The month's invoices, checked at the end to be those that were counted."""
        sums = Sums()
        async for invoices in months.batches(self._pool, self.month):
            for invoice in invoices:
                sums.add(invoice)
            if compare:
                await months.compare(self._pool, [invoice.id for invoice in invoices], self.manifest.ledger)
            yield invoices
        if sums != self.month.sums:
            raise Changed(f"the invoices of {self.month.label} are not those that were counted when it began")
