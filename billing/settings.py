"""Settings, read once from the environment (`BILLING_…`).

Every field below is a setting: `database_url` is `BILLING_DATABASE_URL`. docs/operations.md lists them all,
and a test fails when one is missing there.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from billing.countries import Country
from pricing.policies import Policy

PREFIX = "BILLING_"


class SettingsError(Exception):
    """A setting is unknown or its value is not acceptable; the sentence names it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator can choose; see docs/operations.md for the meaning of each."""

    database_url: str | None = None
    data_dir: Path = Path("data")
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    connections_max: Annotated[int, Meta(ge=10, le=100_000)] = 1000
    shutdown_seconds_max: Annotated[int, Meta(ge=1, le=3600)] = 30
    admin_key: Annotated[str, Meta(min_length=16, max_length=200)] | None = None

    pool_size_max: Annotated[int, Meta(ge=2, le=200)] = 8
    pool_wait_seconds_max: Annotated[float, Meta(gt=0, le=60)] = 5.0
    statement_timeout_ms: Annotated[int, Meta(ge=100, le=600_000)] = 30_000
    lock_timeout_ms: Annotated[int, Meta(ge=100, le=600_000)] = 10_000

    body_bytes_max: Annotated[int, Meta(ge=1024, le=1 << 30)] = 16 << 20
    batch_events_max: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    event_ahead_seconds_max: Annotated[int, Meta(ge=0, le=31 * 86400)] = 3600
    waiting_max: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    gathered_max: Annotated[int, Meta(ge=1, le=1000)] = 256
    authorization_seconds: Annotated[int, Meta(ge=1, le=31 * 86400)] = 600
    holds_days: Annotated[int, Meta(ge=1, le=3660)] = 30
    authorization_seconds_max: Annotated[int, Meta(ge=1, le=31 * 86400)] = 86_400
    idempotency_hours: Annotated[int, Meta(ge=24, le=24 * 366)] = 72
    proof_hours: Annotated[int, Meta(ge=0, le=24 * 366)] = 24
    proof_full_days: Annotated[int, Meta(ge=0, le=366)] = 7
    events_months: Annotated[int, Meta(ge=0, le=1200)] = 0
    report_rows_max: Annotated[int, Meta(ge=100, le=100_000)] = 10_000
    tokens_text_bytes_max: Annotated[int, Meta(ge=1024, le=4_000_000)] = 256 << 10
    tokens_threads: Annotated[int, Meta(ge=1, le=64)] = 1
    tokens_waiting_max: Annotated[int, Meta(ge=1, le=10_000)] = 16
    verification_processes: Annotated[int, Meta(ge=0, le=64)] = 0
    verification_waiting_bytes_max: Annotated[int, Meta(ge=0, le=1 << 32)] = 32 << 20
    verification_seconds_max: Annotated[float, Meta(gt=0, le=60)] = 5.0
    verification_text_bytes_max: Annotated[int, Meta(ge=1024, le=4_000_000)] = 4_000_000

    multiplier: Annotated[str, Meta(pattern=r"^[0-9]{1,2}(\.[0-9]{1,12})?\Z")] = "0.5"
    verification_policy: Policy = "reported"
    published_prices: bool = True
    price_file: Path | None = None

    issuer_name: Annotated[str, Meta(min_length=1, max_length=200)] = "OpenAI Relay"
    issuer_address: Annotated[str, Meta(max_length=1000)] = ""
    issuer_country: Country | None = None
    issuer_tax_id: Annotated[str, Meta(max_length=100)] | None = None
    payment_days: Annotated[int, Meta(ge=0, le=365)] = 14
    close_after_hours: Annotated[int, Meta(ge=0, le=24 * 31)] = 24
    invoice_prefix: Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,12}\Z")] = "INV"
    credit_note_prefix: Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,12}\Z")] = "CN"

    webhook_private: bool = False
    webhook_seconds_max: Annotated[float, Meta(gt=0, le=60)] = 15.0
    webhook_lanes: Annotated[int, Meta(ge=1, le=200)] = 8
    webhook_rotation_hours: Annotated[int, Meta(ge=0, le=24 * 31)] = 24
    webhook_failing_days_max: Annotated[int, Meta(ge=1, le=366)] = 5
    webhook_days: Annotated[int, Meta(ge=7, le=3660)] = 30
    webhook_tests_max: Annotated[int, Meta(ge=1, le=1000)] = 10
    webhook_replays_max: Annotated[int, Meta(ge=1, le=1000)] = 10
    webhooks_max: Annotated[int, Meta(ge=1, le=1000)] = 20

    log_level: Annotated[str, Meta(pattern=r"^(DEBUG|INFO|WARNING|ERROR)\Z")] = "INFO"


def environment_name(field: str) -> str:
    """The variable a field is read from: `data_dir` -> `BILLING_DATA_DIR`."""
    return PREFIX + field.upper()


def load(environment: Mapping[str, str]) -> Settings:
    """Read the settings; an empty value counts as not set.

    Raises SettingsError for an unknown `BILLING_…` name (a typo must not be a silent default) or a bad value.
    """
    fields = {environment_name(field): field for field in Settings.__struct_fields__}
    given = {name: value for name, value in environment.items() if name.startswith(PREFIX) and value != ""}
    for name in given:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f" Did you mean {near[0]}?" if near else " docs/operations.md lists them all."
            raise SettingsError(f"There is no setting {name}.{hint}")
    for name, value in given.items():
        _check(name, fields[name], value)
    return _convert({fields[name]: value for name, value in given.items()})


def _convert(given: dict[str, str]) -> Settings:
    return msgspec.convert(given, Settings, strict=False, dec_hook=_path)


def _path(kind: type, value: object) -> Path:
    """The one type here that msgspec does not know."""
    if kind is not Path or not isinstance(value, str):
        raise NotImplementedError(kind)
    return Path(value)


def _check(name: str, field: str, value: str) -> None:
    try:
        _convert({field: value})
    except msgspec.ValidationError as fault:
        reason = str(fault).split(" - at ")[0]
        shown = "(not shown)" if field in ("admin_key", "database_url") else repr(value)
        raise SettingsError(f"{name} is {shown}: {reason}.") from None
