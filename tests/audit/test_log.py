"""Every act of an administrator is in the audit log, and nothing else is."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from billing import ids
from billing.accounts import keys, store
from billing.app import create_app
from billing.audit import log
from billing.db.pool import Connection
from billing.settings import Settings
from tests import factories

pytestmark = pytest.mark.anyio

WRITING = {"POST", "PATCH", "PUT", "DELETE"}

NO_ACTS = {
    ("POST", "/v1/events"),
    ("POST", "/v1/authorizations"),
    ("POST", "/v1/authorizations/{hold_id:str}/release"),
    ("POST", "/v1/quote"),
    ("POST", "/v1/tokens/count"),
    ("POST", "/tokens"),
    ("POST", "/v1/webhooks/{webhook_id:str}/test"),
    ("POST", "/v1/webhooks/{webhook_id:str}/replay"),
}
"""What gateways and customers send, and what changes nothing."""


class Made(NamedTuple):
    """What an act may be done to."""

    account: str
    key: str
    plan: str
    transaction: int
    grant: str
    webhook: str
    invoice: str
    payment: str


REASON = {"reason": "a test"}
AMOUNT = {"amount": "5", **REASON}

URL = {"url": "https://example.com/hook"}

# Each route of acts: a body for it, and what is said of it.
ACTS: dict[tuple[str, str], tuple[dict[str, Any] | None, str]] = {
    ("POST", "/v1/accounts"): ({"name": "Ada"}, "account.create"),
    ("PATCH", "/v1/accounts/{account_id:str}"): ({"suspended": True, "reason": "a test"}, "account.suspend"),
    ("POST", "/v1/accounts/{account_id:str}/close"): (None, "account.close"),
    ("POST", "/v1/accounts/{account_id:str}/keys"): ({}, "key.create"),
    ("POST", "/v1/keys"): ({"scope": "gateway", "name": "one"}, "key.create"),
    ("PATCH", "/v1/keys/{key_id:str}"): ({"limits": {"day": "7.5"}}, "key.change"),
    ("DELETE", "/v1/keys/{key_id:str}"): (None, "key.revoke"),
    ("POST", "/v1/accounts/{account_id:str}/top-ups"): (AMOUNT, "top_up"),
    ("POST", "/v1/accounts/{account_id:str}/adjustments"): (AMOUNT, "adjustment"),
    ("POST", "/v1/accounts/{account_id:str}/refunds"): ({"transaction": ..., **REASON}, "refund"),
    ("POST", "/v1/accounts/{account_id:str}/grants"): ({**AMOUNT, "category": "paid"}, "grant.give"),
    ("POST", "/v1/accounts/{account_id:str}/grants/{grant_id:str}/void"): (REASON, "grant.void"),
    ("POST", "/v1/plans"): ({"id": ...}, "plan.create"),
    ("POST", "/v1/accounts/{account_id:str}/plan"): ({"plan": None}, "terms.plan"),
    ("POST", "/v1/plans/{plan_id:str}/multipliers"): ({"multiplier": "0.5", **REASON}, "terms.multiplier"),
    ("POST", "/v1/accounts/{account_id:str}/multipliers"): ({"multiplier": None, **REASON}, "terms.multiplier"),
    ("POST", "/v1/plans/{plan_id:str}/verification-policies"): ({"policy": "lower", **REASON}, "terms.policy"),
    ("POST", "/v1/accounts/{account_id:str}/verification-policies"): ({"policy": None, **REASON}, "terms.policy"),
    ("POST", "/v1/upstream-factors"): ({"upstream": "x", "factor": "0.3", **REASON}, "terms.factor"),
    ("POST", "/v1/price-rows"): (
        {
            "rows": [
                {
                    "model": "gpt-test",
                    "dimension": "input",
                    "unit": "1M_tokens",
                    "price": "1",
                    "effective_from": "2026-01-01",
                    "source": "a test",
                }
            ]
        },
        "terms.price",
    ),
    ("POST", "/v1/periods/{period:str}/close"): (None, "period.close"),
    ("POST", "/v1/tax-rates"): ({"id": ..., "name": "VAT", "percent": "19"}, "tax_rate.create"),
    ("POST", "/v1/taxes"): ({"rates": [], "account": ...}, "taxes.change"),
    ("POST", "/v1/invoices/{invoice_id:str}/credit-notes"): (
        {"lines": [{"position": 1, "amount": "1"}], **REASON},
        "credit_note.issue",
    ),
    ("POST", "/v1/invoices/{invoice_id:str}/void"): (REASON, "credit_note.issue"),
    ("POST", "/v1/invoices/{invoice_id:str}/replace"): (REASON, "invoice.replace"),
    ("POST", "/v1/invoices/{invoice_id:str}/payments"): ({"reference": "bank 2", "amount": "1"}, "payment.record"),
    ("POST", "/v1/payments/{payment_id:str}/reverse"): (REASON, "payment.reverse"),
    ("POST", "/v1/events/rerate"): (None, "events.rerate"),
    ("POST", "/v1/webhooks"): (URL, "webhook.create"),
    ("PATCH", "/v1/webhooks/{webhook_id:str}"): ({"disabled": True}, "webhook.change"),
    ("DELETE", "/v1/webhooks/{webhook_id:str}"): (None, "webhook.delete"),
    ("POST", "/v1/webhooks/{webhook_id:str}/rotate"): (None, "webhook.rotate"),
}


def writing(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """Every route that may change something, and whether it is for administrators alone."""
    for route in create_app(settings).routes:
        for handler in getattr(route, "route_handlers", []):
            scopes = [inspect.getclosurevars(guard).nonlocals.get("scopes") for guard in handler.guards or []]
            for method in handler.http_methods & WRITING:
                yield method, route.path, scopes == [("admin",)]


def test_every_act_is_known_here(settings: Settings) -> None:
    """Whoever adds a route says in this file what the audit log says of it."""
    found = list(writing(settings))
    assert {(method, path) for method, path, _ in found} == ACTS.keys() | NO_ACTS
    assert {(method, path) for method, path, of_admins in found if of_admins} <= ACTS.keys()


@pytest.fixture(scope="module")
def url(clone: Callable[[], str]) -> str:
    """A database of its own: the acts change prices, which are everybody's."""
    return clone()


@pytest.fixture
async def made(client: httpx.AsyncClient, conn: Connection) -> Made:
    account = await factories.account(conn)
    path = f"/v1/accounts/{account}"
    key = (await client.post(f"{path}/keys", json={})).json()["key"]["id"]
    plan = ids.new("p").lower().replace("_", "-")
    await client.post("/v1/plans", json={"id": plan})
    headers = {"Idempotency-Key": ids.new("x")}
    top_up = (await client.post(f"{path}/top-ups", json={"amount": "5"}, headers=headers)).json()
    headers = {"Idempotency-Key": ids.new("x")}
    asked = {"amount": "5", "category": "paid"}
    grant = (await client.post(f"{path}/grants", json=asked, headers=headers)).json()
    webhook = (await client.post("/v1/webhooks", json={**URL, "account": account})).json()["webhook"]["id"]
    invoice, payment = await _invoiced(client, await factories.account(conn))
    return Made(account, key, plan, top_up["transaction"], grant["id"], webhook, invoice, payment)


async def _invoiced(client: httpx.AsyncClient, account: str) -> tuple[str, str]:
    """An invoice of which something is due, and a payment of a part of it."""
    used = {"id": "e1", "source": "g", "time": "2026-09-05T08:00:00Z", "account": account, "model": "gpt-4"}
    await client.post("/v1/events", json={**used, "usage": {"prompt_tokens": 10**6}})
    closed = await client.post("/v1/periods/2026-09/close", params={"account": account})
    [invoice] = [result["invoice"] for result in closed.json()["results"]]
    headers = {"Idempotency-Key": ids.new("x")}
    paid = {"reference": "bank 1", "amount": "1"}
    payment = (await client.post(f"/v1/invoices/{invoice}/payments", json=paid, headers=headers)).json()["id"]
    return invoice, payment


@pytest.mark.parametrize(("method", "path"), ACTS)
async def test_an_act_is_recorded(client: httpx.AsyncClient, made: Made, method: str, path: str) -> None:
    body, action = ACTS[method, path]
    values = {
        "transaction": made.transaction,
        "id": ids.new("p").lower().replace("_", "-"),
        "account": made.account,
    }
    if body is not None:
        body = {name: values[name] if value is ... else value for name, value in body.items()}
    named = {"account_id": made.account, "key_id": made.key, "plan_id": made.plan, "grant_id": made.grant}
    named |= {"webhook_id": made.webhook, "invoice_id": made.invoice, "payment_id": made.payment}
    target = path.replace(":str", "").format(**named, period="2026-09")
    params = {"account": made.account} if path.endswith(("/{period:str}/close", "rerate")) else None
    before = (await client.get("/v1/audit-log", params={"limit": 1})).json()["data"][0]["id"]
    headers = {"Idempotency-Key": ids.new("x")}
    answer = await client.request(method, target, json=body, params=params, headers=headers)
    assert answer.status_code in (200, 201), answer.text
    acts = (await client.get("/v1/audit-log", params={"ending_before": before})).json()["data"]
    also = ["credit_note.issue"] if action == "invoice.replace" else []
    assert [act["action"] for act in acts] == [action, *also]
    assert acts[0]["actor"] == keys.BOOTSTRAP_ID
    assert acts[0]["request_id"] == answer.headers["X-Request-Id"]
    if "{account_id" in path or "{key_id" in path:
        assert acts[0]["account"] == made.account


async def test_what_is_refused_is_not_recorded(client: httpx.AsyncClient, made: Made) -> None:
    before = (await client.get("/v1/audit-log", params={"limit": 1})).json()["data"][0]["id"]
    answer = await client.post(
        f"/v1/accounts/{made.account}/refunds",
        json={"transaction": made.transaction, "amount": "9", "reason": "too much"},
        headers={"Idempotency-Key": ids.new("x")},
    )
    assert answer.status_code == 422
    repeated = {"Idempotency-Key": ids.new("x")}
    for _ in range(2):
        await client.post(f"/v1/accounts/{made.account}/top-ups", json={"amount": "1"}, headers=repeated)
    acts = (await client.get("/v1/audit-log", params={"ending_before": before})).json()["data"]
    assert [act["action"] for act in acts] == ["top_up"]


async def test_act_and_record_are_one_transaction(conn: Connection) -> None:
    account = ids.new("acct")
    async with conn.transaction(force_rollback=True):
        await store.create(conn, account_id=account, name="Ada", email=None, address=None, time_zone="UTC")
    found = await conn.execute("SELECT FROM audit_log WHERE account_id = %s", [account])
    assert found.rowcount == 0


async def test_acts_are_looked_for(client: httpx.AsyncClient, made: Made) -> None:
    async def found(**params: str) -> list[str]:
        answer = await client.get("/v1/audit-log", params={"account": made.account, **params})
        assert answer.status_code == 200, answer.text
        return [act["action"] for act in answer.json()["data"]]

    acts = ["webhook.create", "grant.give", "top_up", "key.create"]
    assert await found() == acts
    assert await found(action="top_up") == ["top_up"]
    assert await found(actor="key_of_nobody") == []
    assert await found(actor=keys.BOOTSTRAP_ID, **{"from": "2026-01-01"}) == acts
    assert await found(to="2026-01-01") == []
    pages = await client.get("/v1/audit-log", params={"account": made.account, "limit": 2})
    assert pages.json()["has_more"] is True
    last = pages.json()["data"][-1]["id"]
    assert await found(starting_after=last) == ["top_up", "key.create"]


async def test_no_secret_is_in_it(client: httpx.AsyncClient, made: Made, conn: Connection) -> None:
    answer = await client.post(f"/v1/accounts/{made.account}/keys", json={})
    secret = answer.json()["secret"]
    rows = await (await conn.execute("SELECT audit_log::text AS said FROM audit_log")).fetchall()
    assert not [row for row in rows if secret in row["said"]]


async def test_what_the_service_does_by_itself_says_so(conn: Connection) -> None:
    account = await factories.account(conn)
    token = log.actor.set(log.SERVICE)
    async with conn.transaction():
        await log.record(conn, "test", account=account)
    log.actor.reset(token)
    found = await (await conn.execute("SELECT * FROM audit_log WHERE account_id = %s", [account])).fetchall()
    assert [(row["actor"], row["request_id"]) for row in found] == [("service", None)]
