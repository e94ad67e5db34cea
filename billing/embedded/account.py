"""Which account PostgreSQL runs as: root, whom it refuses, lends it another; everybody else runs it as themselves."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from billing.embedded.errors import EmbeddedError

PREFERRED = ("postgres", "nobody", "daemon")


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int
    name: str
    lent: bool  # we are root and give up our rights for it

    def own(self, path: Path) -> None:
        if self.lent:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def may_enter(self, path: Path) -> bool:
        found = path.stat()
        if self.uid == found.st_uid:
            return bool(found.st_mode & 0o100)
        return bool(found.st_mode & (0o010 if self.gid == found.st_gid else 0o001))

    def barrier(self, path: Path) -> Path | None:
        """The outermost folder on the way to this file or folder that the account may not enter."""
        if not self.lent:
            return None
        path = path.resolve()
        return next((step for step in [*reversed(path.parents), path] if not self.may_enter(step)), None)


def account_for(data: Path) -> Account:
    """The owner of data that exists already; for new data an account without rights."""
    owner = data.stat().st_uid if data.exists() else None
    uid = os.geteuid()
    if uid != 0:
        if owner not in (None, uid):
            raise EmbeddedError(
                f"The database in {data} belongs to {_name(owner)}, but this command runs as {_name(uid)}. "
                f"Run it as {_name(owner)} or as root, or choose another data folder."
            )
        return Account(uid, os.getegid(), _name(uid), lent=False)
    if owner:
        return Account(owner, data.stat().st_gid, _name(owner), lent=True)
    return _unprivileged()


def _unprivileged() -> Account:
    known = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    entry = next((known[name] for name in PREFERRED if name in known), next(iter(known.values()), None))
    if entry is None:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root, and this machine has no other account to run it as. "
            "Run this command as an ordinary user."
        )
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, lent=True)


def _name(uid: int | None) -> str:
    try:
        return pwd.getpwuid(uid or 0).pw_name
    except KeyError:
        return f"uid {uid}"
