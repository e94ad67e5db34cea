"""An event that cannot be taken, though it could be read."""

from billing.errors import Fault


class Refused(Exception):
    """The event cannot be taken; `fault` says where and why."""

    def __init__(self, code: str, path: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.path, self.detail = code, path, detail

    def fault(self, index: int) -> Fault:
        return Fault(self.code, self.detail, self.path, index)
