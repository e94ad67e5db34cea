"""Logs are JSON, carry the request's id and never a secret; metrics have their names."""

import io
import json
import logging
import re

import pytest

from billing.observe import logs
from billing.observe.logs import JsonFormatter
from tests import factories

SECRET = "idr_0M3GrcVL9jhk3m55QIqweSTTZUX2GZuy69UhK8NhiFn2ti6wK"


@pytest.fixture
def lines():
    """What is logged while the test runs, as the formatter writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel("INFO")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(before)


def test_a_record_is_one_line(lines):
    token = logs.request_id.set("req-1")
    logging.getLogger("x").info("two\nlines %d", 7, extra={"account": "acct_1", "odd": {1}})
    logs.request_id.reset(token)
    [line] = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("time"))
    assert line == {
        "level": "INFO",
        "logger": "x",
        "message": "two\nlines 7",
        "request_id": "req-1",
        "account": "acct_1",
        "odd": [1],
    }


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"Authorization: Bearer {SECRET[4:]}",
        f'{{"api_key":"{SECRET}"}}',
        f"('{SECRET}',)",
        f"postgresql://billing:{SECRET[4:]}@db/billing",
    ],
)
def test_secrets_are_masked_wherever_they_come_from(lines, text):
    logging.getLogger("x").info(text)
    logging.getLogger("x").info("%s", text, extra={"text": text, "list": [text]})
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("x").exception("failed")
    assert len(lines()) == 3
    assert SECRET[4:] not in json.dumps(lines())


async def test_a_request_is_logged_without_its_secrets(client, conn, lines):
    key = await factories.key(conn, "customer", await factories.account(conn))
    await client.get(f"/v1/balance?api_key={key}&q=private", headers={"Authorization": f"Bearer {key}"})
    await client.get(f"/nothing/{key}")
    await client.post("/v1/events", content=f'{{"api_key":"{key}"', headers={"Content-Type": "application/json"})
    text = json.dumps(lines())
    assert [line["message"] for line in lines() if line["logger"] == "billing.access"] == [
        "GET /v1/balance 200",
        "GET unknown 404",
        "POST /v1/events 400",
    ]
    assert key[4:] not in text
    assert "private" not in text


async def test_a_line_names_the_key_by_its_id(client, lines):
    await client.get("/v1/accounts")
    assert [line["key_id"] for line in lines() if line["logger"] == "billing.access"] == ["key_bootstrap"]


@pytest.mark.parametrize(("given", "kept"), [("my-id_1.2", True), ("x" * 64, True), ("x" * 65, False), ("a b", False)])
async def test_a_sane_request_id_is_kept(client, given, kept):
    answer = await client.get("/healthz", headers={"X-Request-Id": given})
    assert (answer.headers["X-Request-Id"] == given) is kept
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["X-Request-Id"])


async def test_metrics_have_their_names(client):
    await client.get("/healthz")
    text = (await client.get("/metrics")).text
    for name in ("events_total", "event_lag_seconds", "postings_total", "ledger_imbalance", "price_missing_total"):
        assert f"# TYPE billing_{name} " in text
    assert re.search(r'billing_http_request_seconds_count{method="GET",route="/healthz",status="2xx"} \d', text)
    assert "acct_" not in text
