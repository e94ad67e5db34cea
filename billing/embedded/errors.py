"""What can go wrong with the embedded PostgreSQL, in sentences: what happened, where the log is, what to do."""

import shutil
from pathlib import Path

TAIL_LINES = 12
DISK_BYTES_MIN = 64 * 2**20  # an empty database takes 46 MB


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot be used. The message is meant for the operator."""


def with_log(sentence: str, log: Path) -> EmbeddedError:
    """The sentence, followed by where the log is and its last lines."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        lines = []
    free = shutil.disk_usage(log.parent).free
    if free < DISK_BYTES_MIN:
        sentence += f" The disk is full: only {free // 2**20} MB are free."
    return EmbeddedError("\n  ".join([f"{sentence} The log is {log}; it ends with:", *(lines or ["(nothing)"])]))
