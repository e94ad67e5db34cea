"""A month's documents, invoices and credit notes, as one stream of bytes: a table of all of them, or an archive with a
file for each.

The stream is made batch by batch, printed in a thread, and reads the documents once for each table: so its memory does
not grow with the month, but for the directory of an archive (some 0.4 kB a file).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal, get_args

from billing.db.pool import Pool
from billing.errors import Unprocessable
from billing.invoices.exports import month as months
from billing.invoices.exports import tables
from billing.invoices.exports.archive import Archive
from billing.invoices.exports.manifest import Manifest, Summary
from billing.invoices.exports.month import Document, Month, Sort, Sums
from billing.invoices.formats.pdf import Press
from billing.invoices.render import FORMATS
from billing.invoices.settlement.files import FORMATS as NOTE_FORMATS
from billing.invoices.view import InvoiceView
from billing.prices.words import Language

Kind = Literal["zip", "csv", "ndjson", "focus"]
KINDS: tuple[Kind, ...] = get_args(Kind)

TABLES = {"csv": "csv", "ndjson": "ndjson", "focus": "focus.csv"}
"""How the names of the tables end."""
MEDIA_TYPES = {"zip": "application/zip", "csv": "text/csv", "ndjson": "application/x-ndjson", "focus": "text/csv"}
EACH = ("json", "csv", "html")
"""The files of every document in an archive."""

FOLDERS: dict[Sort, str] = {"invoice": "invoices", "credit_note": "credit-notes"}
"""The documents in the order in which they are written, and where those are that have a file each."""

Progress = Callable[[int], None]
"""Told how many more documents were written, and in an archive once for each of its parts."""


class Changed(Exception):
    """The documents that were read are not those that were counted: something is broken."""


def file_name(label: str, kind: str) -> str:
    return f"invoices-{label}.{TABLES.get(kind, kind)}"


def parts_of(kind: Kind) -> int:
    """How many times all documents are gone through."""
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
        self._progress = progress or (lambda _documents: None)

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
        """All documents in one table, and a note of it as a file of this name."""
        noted, is_first = self.manifest.noting(name), True
        async for documents in self._batches(compare=compare):
            text = await asyncio.to_thread(tables.rows, kind, documents, with_head=is_first)
            is_first = False
            noted.write(text)
            yield text
            self._progress(len(documents))
        noted.close()

    async def _archive(self) -> AsyncIterator[bytes]:
        """A file for each document and kind, the tables of all, and the manifest as the last."""
        archive = Archive(self.month.made_at)
        with Press() as press:
            async for documents in self._batches(compare=True):
                yield await asyncio.to_thread(self._files, archive, documents, press)
                self._progress(len(documents))
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

    def _files(self, archive: Archive, documents: Sequence[Document], press: Press) -> bytes:
        for document in documents:
            is_invoice = isinstance(document, InvoiceView)
            name = f"{FOLDERS['invoice' if is_invoice else 'credit_note']}/{document.number}"
            for kind in EACH:
                self._add(archive, f"{name}.{kind}", self._printed(document, kind))
            if self._pdf:
                try:
                    self._add(archive, f"{name}.pdf", self._pressed(document, press))
                except Unprocessable:  # too long to be set
                    self.manifest.left_out.append(f"{name}.pdf")
        return archive.take()

    def _printed(self, document: Document, kind: str) -> bytes:
        if isinstance(document, InvoiceView):
            return FORMATS[kind].print(document, self._language)
        return NOTE_FORMATS[kind].print(document, self._language)

    def _pressed(self, document: Document, press: Press) -> bytes:
        if isinstance(document, InvoiceView):
            return press.document(document, self._language)
        return press.note(document, self._language)

    def _add(self, archive: Archive, name: str, content: bytes) -> None:
        self.manifest.note(name, content)
        archive.add(name, content)

    async def _batches(self, *, compare: bool) -> AsyncIterator[list[Document]]:
        """The month's documents, invoices first, checked at the end of each sort to be those that were counted."""
        for sort in FOLDERS:
            sums = Sums()
            async for documents in months.batches(self._pool, self.month, sort):
                for document in documents:
                    sums.add(document)
                if compare:
                    ids = [str(document.id) for document in documents]
                    await months.compare(self._pool, sort, ids, self.manifest.ledger)
                yield documents
            if sums != self.month.documents[sort].sums:
                raise Changed(f"the documents of {self.month.label} are not those that were counted when it began")
