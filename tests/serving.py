"""`billing serve` as a process of its own, for tests that need a real one: signals, kills, several clients."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

ADMIN_KEY = "admin-key-of-the-tests"
START_SECONDS_MAX = 90
STOP_SECONDS_MAX = 40


@dataclass(frozen=True)
class Server:
    """`greeting` is what it printed until it served, `log` the file with its standard error."""

    process: "subprocess.Popen[str]"
    url: str
    greeting: str
    log: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {ADMIN_KEY}"}

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(STOP_SECONDS_MAX)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours without the settings it may hold, plus these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BILLING_")}
    return {**inherited, "PYTHONUNBUFFERED": "1", **settings}


def billing(*arguments: str, settings: Mapping[str, str], **options: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "billing.cli", *arguments]
    return subprocess.Popen(command, env=environment(settings), text=True, **options)  # type: ignore[call-overload]


@contextmanager
def serving(settings: Mapping[str, str], folder: Path) -> Iterator[Server]:
    """Serve on a free port until the block ends; every setting but the address may be overridden."""
    ours = {"BILLING_ADMIN_KEY": ADMIN_KEY, "BILLING_DATA_DIR": str(folder / "data"), "BILLING_PORT": "0"}
    log = folder / "serve.log"
    with log.open("a") as stderr:
        process = billing("serve", settings={**ours, **settings}, stdout=subprocess.PIPE, stderr=stderr)
    try:
        yield _greeted(process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _greeted(process: "subprocess.Popen[str]", log: Path) -> Server:
    """Read what it prints up to the line that says it serves; one that says nothing for too long is killed."""
    greeting = ""
    patience = Timer(START_SECONDS_MAX, process.kill)
    patience.daemon = True
    patience.start()
    for line in process.stdout:
        greeting += line
        if "Ctrl-C" in line:
            patience.cancel()
            address = re.search(r"http://\S+?:\d+", greeting)
            return Server(process, address[0], greeting, log)
    raise AssertionError(f"billing serve ended with {process.wait()}:\n{greeting}{log.read_text()}")
