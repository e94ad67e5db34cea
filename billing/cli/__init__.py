"""The command `billing`. Each module here whose name has no leading underscore is a command: `top_up.py` holds
`billing top-up`, as a click command named `command` (and `import_.py`, since `import` is a word of Python,
`billing import`).

A command that cannot do its work says so in a sentence on standard error and exits with 1 (2 for wrong settings or
arguments). It never shows a traceback, unless BILLING_LOG_LEVEL=DEBUG asks for it.
"""

import importlib
import os
import pkgutil
from typing import Any

import click
import psycopg
import sqlalchemy.exc

from billing.embedded import EmbeddedError
from billing.errors import Problem
from billing.observe.logs import masked
from billing.settings import SettingsError
from pricing.errors import PricingError


class Failure(click.ClickException):
    """A sentence for the operator."""

    def __init__(self, sentence: str) -> None:
        super().__init__(masked(sentence))


class WrongSettings(Failure):
    exit_code = 2


class Commands(click.Group):
    """Commands are imported when they are asked for: `billing quote` need not wait for what `billing serve` loads."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_modules())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        module = _modules().get(name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(f"billing.cli.{module}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if os.environ.get("BILLING_LOG_LEVEL") == "DEBUG":
                raise
            raise failure(error) from None


def _modules() -> dict[str, str]:
    """The names of all commands, and the modules that hold them."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return {name.rstrip("_").replace("_", "-"): name for name in names if not name.startswith("_")}


def failure(error: Exception) -> Failure:
    match error:
        case SettingsError():
            return WrongSettings(str(error))
        case EmbeddedError() | PricingError() | Problem():
            return Failure(str(error))
        case sqlalchemy.exc.DBAPIError() if isinstance(error.orig, Exception):
            return failure(error.orig)
        case psycopg.OperationalError():
            return Failure(f"The database cannot be used: {str(error).strip().splitlines()[0]}.")
        case OSError():
            return Failure(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
        case _:
            return Failure(
                f"Unexpected {type(error).__name__}: {error}. This is a bug; BILLING_LOG_LEVEL=DEBUG shows where."
            )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="relay-billing")
def main() -> None:
    """Billing and metering for sellers of LLM APIs."""
