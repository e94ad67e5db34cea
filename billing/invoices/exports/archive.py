"""A ZIP archive that is written as it is sent: nothing is sought, and the same files give the same bytes."""

import zipfile
from datetime import UTC, datetime
from typing import Self

EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)
"""ZIP knows no earlier time."""


class Sink:
    """A file that can only be written to. What was written is taken out from time to time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """It is closed by who takes."""

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class Archive:
    """Files are added whole, or in parts one after the other; `take` is what has become of it so far."""

    def __init__(self, at: datetime | None) -> None:
        self._time = max(at or EARLIEST, EARLIEST).astimezone(UTC).timetuple()[:6]
        self._sink = Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)

    def add(self, name: str, content: bytes) -> None:
        self._zip.writestr(self._info(name), content)

    def begin(self, name: str) -> "Part":
        return Part(self._zip, self._info(name))

    def _info(self, name: str) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(name, self._time)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        info.create_system = 3  # as if from Unix, wherever it is made
        return info

    def close(self) -> None:
        """Write the directory: until then it is no archive."""
        self._zip.close()

    def take(self) -> bytes:
        return self._sink.take()


class Part:
    """A file of an archive that is still being written; of any size."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._file = archive.open(info, "w", force_zip64=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        self._file.write(data)
