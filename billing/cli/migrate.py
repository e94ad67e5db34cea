"""`billing migrate`: bring the database's schema to this release. `billing serve` does it by itself."""

import os

import click

from billing.cli._database import database_url
from billing.db.migrate import known_revisions, migrate
from billing.settings import load


@click.command("migrate")
def command() -> None:
    """Bring the database's schema to this release."""
    with database_url(load(os.environ)) as url:
        migrate(url)
    click.echo(f"The schema is at {known_revisions()[0]}.")
