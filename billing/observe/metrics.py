"""Metrics in Prometheus' names. The names are an interface: add to them, don't rename them."""

import os
from collections import Counter as TotalOf
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = "text/plain; version=1.0.0"
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"  # where several workers put their numbers together; `serve` sets it

EVENTS = Counter("billing_events", "Usage events by what became of them.", ["result"])
PRICE_MISSING = Counter("billing_price_missing", "Usage events kept without a price.")
EVENT_LAG = Histogram(
    "billing_event_lag_seconds",
    "From the oldest event of a batch to the batch's acknowledgement.",
    buckets=(0.1, 0.5, 1, 5, 30, 300, 3600, 86400),
)
VERIFICATIONS = Counter("billing_verifications", "Usage events that carried text, by verdict.", ["verdict"])
TOKEN_MISMATCH = Counter(
    "billing_token_mismatch", "Usage events reported above our highest count or below our lowest.", ["model"]
)
VERIFICATION_BUSY = Counter(
    "billing_verification_busy", "Usage events whose text was not counted: too much waited, or it took too long."
)
POSTINGS = Counter("billing_postings", "Postings written to the ledger, also by transactions that were taken back.")
AUTHORIZATIONS = Counter("billing_authorizations", "Authorizations asked for, by what became of them.", ["result"])
IMBALANCE = Gauge("billing_ledger_imbalance", "Differences that `verify` found last.", multiprocess_mode="mostrecent")
INVOICE_SECONDS = Histogram("billing_invoice_seconds", "Making one invoice.", buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 30))
UNPARTITIONED = Gauge(
    "billing_events_unpartitioned",
    "Rows in events_default: the month's partition was missing.",
    multiprocess_mode="mostrecent",
)
WEBHOOKS = Counter("billing_webhook_attempts", "Attempts at delivering a message to a webhook.", ["result"])
HTTP_SECONDS = Histogram(
    "billing_http_request_seconds",
    "Requests by route and class of status.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)


class HasStatus(Protocol):
    @property
    def status(self) -> str: ...


def events_taken(results: Iterable[HasStatus], oldest: datetime | None) -> None:
    """Count a batch's events by result, and how long ago its oldest one was."""
    counts = TotalOf(result.status for result in results)
    for status, count in counts.items():
        EVENTS.labels(status).inc(count)
    PRICE_MISSING.inc(counts["unpriced"])
    if oldest is not None:
        EVENT_LAG.observe((datetime.now(UTC) - oldest).total_seconds())


def exposition() -> bytes:
    """Everything measured, as text; of all workers together when there are several."""
    if MULTIPROCESS_DIR not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
