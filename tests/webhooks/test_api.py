"""Webhooks over HTTP and from the command line."""

import asyncio
import json
import subprocess
from pathlib import Path

import anyio.to_thread
import httpx
import msgspec
import psycopg
import pytest

from billing.accounts import keys
from billing.app import create_app
from billing.db.pool import Connection
from billing.settings import Settings
from billing.webhooks import store
from tests import factories
from tests.serving import ADMIN_KEY, billing, serving
from tests.webhooks.conftest import Post
from tests.webhooks.receiver import Got, Receiver, status

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: Settings, fresh_database: str) -> Settings:
    """The whole app, on a database of its own: its courier sends what other tests would leave behind."""
    return msgspec.structs.replace(settings, database_url=fresh_database, webhook_private=True, webhooks_max=3)


@pytest.fixture
def url(fresh_database: str) -> str:
    return fresh_database


def code(answer: httpx.Response) -> str:
    return answer.json()["code"]


async def test_the_life_of_a_webhook(client: httpx.AsyncClient, receiver: Receiver) -> None:
    answer = await client.post("/v1/webhooks", json={"url": receiver.url, "types": ["key.revoked"]})
    assert answer.status_code == 201
    made, secret = answer.json()["webhook"], answer.json()["secret"]
    assert secret.startswith("whsec_")
    assert (made["account"], made["types"], made["disabled_at"]) == (None, ["key.revoked"], None)
    path = f"/v1/webhooks/{made['id']}"
    shown = await client.get(path)
    assert shown.json() == made
    assert secret not in shown.text
    assert (await client.get("/v1/webhooks")).json()["data"] == [made]

    tested = (await client.post(f"{path}/test")).json()
    assert (tested["status"], tested["reason"]) == (204, None)
    account = (await client.post("/v1/accounts", json={"name": "Ada"})).json()["id"]
    key = (await client.post(f"/v1/accounts/{account}/keys", json={})).json()["key"]["id"]
    await client.delete(f"/v1/keys/{key}")
    [_, got] = await receiver.wait_for(2)  # by the service's own courier
    got.verify(secret)
    assert got.said["data"]["key"] == key

    rotated = (await client.post(f"{path}/rotate")).json()
    assert rotated["secret"] != secret
    assert (await client.post(f"{path}/replay", params={"message": got.id})).json() == {"messages": 1}
    again = (await receiver.wait_for(3))[2]
    assert again.id == got.id
    again.verify(rotated["secret"])
    again.verify(secret)

    changed = await client.patch(path, json={"disabled": True, "types": None, "url": receiver.url + "&new"})
    assert changed.json()["types"] is None
    assert changed.json()["disabled_because"] == "asked for"
    assert code(await client.post(f"{path}/replay", params={"since": "2026-11-01"})) == "webhook_disabled"
    listing = (await client.get(f"{path}/deliveries", params={"limit": 1})).json()
    assert listing["has_more"] is True
    assert [one["type"] for one in listing["data"]] == ["key.revoked"]
    assert (await client.delete(path)).status_code == 200
    assert code(await client.get(path)) == "unknown_webhook"
    acts = (await client.get("/v1/audit-log")).json()["data"]
    assert [act["action"] for act in acts if act["subject"] == made["id"]] == [
        "webhook.delete",
        "webhook.change",
        "webhook.replay",
        "webhook.rotate",
        "webhook.create",
    ]
    assert "token=t" not in json.dumps(acts)


async def test_refusals(client: httpx.AsyncClient, receiver: Receiver) -> None:
    refused = await client.post("/v1/webhooks", json={"url": "ftp://example.com"})
    assert (refused.status_code, code(refused)) == (400, "invalid_url")
    assert code(await client.post("/v1/webhooks", json={"url": receiver.url, "types": ["all"]})) == "invalid_body"
    assert code(await client.post("/v1/webhooks", json={"url": receiver.url, "types": []})) == "invalid_body"
    unknown = await client.post("/v1/webhooks", json={"url": receiver.url, "account": "acct_nobody"})
    assert (unknown.status_code, code(unknown)) == (404, "unknown_account")
    made = [await client.post("/v1/webhooks", json={"url": receiver.url}) for _ in range(4)]
    assert [answer.status_code for answer in made] == [201, 201, 201, 422]
    assert code(made[3]) == "too_many_webhooks"
    path = f"/v1/webhooks/{made[0].json()['webhook']['id']}"
    assert code(await client.post(f"{path}/replay")) == "missing_parameter"
    assert code(await client.post(f"{path}/replay", params={"message": "msg_1"})) == "unknown_message"
    assert code(await client.patch(path, json={"url": "http:///"})) == "invalid_url"


async def test_private_addresses_are_refused_unless_allowed(settings: Settings) -> None:
    app = create_app(msgspec.structs.replace(settings, webhook_private=False))
    transport = httpx.ASGITransport(app)
    async with (
        app.lifespan(),
        app.state.pool.connection() as conn,
        httpx.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        await keys.bootstrap(conn, ADMIN_KEY)
        client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        answer = await client.post("/v1/webhooks", json={"url": "http://127.0.0.1:1/"})
        assert (answer.status_code, code(answer)) == (400, "private_address")
        made = (await client.post("/v1/webhooks", json={"url": "http://localhost:1/"})).json()["webhook"]
        tested = (await client.post(f"/v1/webhooks/{made['id']}/test")).json()
        assert (tested["status"], tested["reason"]) == (None, "not a public address")


async def test_a_customer_sees_and_makes_only_their_own(client: httpx.AsyncClient, receiver: Receiver, conn) -> None:
    """Not what the operator made about them, either."""
    mine, other = await factories.account(conn), await factories.account(conn)
    customer = {"Authorization": f"Bearer {await factories.key(conn, 'customer', mine)}"}
    body = {"url": receiver.url}
    of_all = (await client.post("/v1/webhooks", json=body)).json()["webhook"]
    about_me = (await client.post("/v1/webhooks", json={**body, "account": mine})).json()["webhook"]
    own = (await client.post("/v1/webhooks", json=body, headers=customer)).json()["webhook"]
    whose = [(one["owner"], one["account"]) for one in (of_all, about_me, own)]
    assert whose == [(None, None), (None, mine), (mine, mine)]
    foreign = await client.post("/v1/webhooks", json={**body, "account": other}, headers=customer)
    assert code(foreign) == "unknown_account"
    listing = await client.get("/v1/webhooks", headers=customer)
    assert [one["id"] for one in listing.json()["data"]] == [own["id"]]
    listing = await client.get("/v1/webhooks", params={"account": mine})
    assert [one["id"] for one in listing.json()["data"]] == [own["id"], about_me["id"]]
    for operators in (of_all["id"], about_me["id"]):
        for method, path, change in (
            ("GET", "", None),
            ("PATCH", "", {"disabled": True}),
            ("DELETE", "", None),
            ("POST", "/rotate", None),
            ("POST", "/test", None),
            ("POST", "/replay?since=2026-11-01", None),
            ("GET", "/deliveries", None),
        ):
            answer = await client.request(method, f"/v1/webhooks/{operators}{path}", json=change, headers=customer)
            assert (answer.status_code, code(answer)) == (404, "unknown_webhook"), (method, path)
    assert receiver.got == []
    room = [await client.post("/v1/webhooks", json=body, headers=customer) for _ in range(3)]
    assert [answer.status_code for answer in room] == [201, 201, 422]  # the operator's take none of it
    assert (await client.delete(f"/v1/webhooks/{own['id']}")).status_code == 200
    gateway = {"Authorization": f"Bearer {await factories.key(conn, 'gateway')}"}
    assert code(await client.get("/v1/webhooks", headers=gateway)) == "wrong_scope"


async def test_tests_are_limited(client: httpx.AsyncClient, receiver: Receiver, conn) -> None:
    """By owner, however many webhooks they have, and though they ask all at once; a minute later they may again."""
    customer = {"Authorization": f"Bearer {await factories.key(conn, 'customer', await factories.account(conn))}"}

    async def new(headers: dict[str, str]) -> str:
        made = (await client.post("/v1/webhooks", json={"url": receiver.url}, headers=headers)).json()["webhook"]
        return f"/v1/webhooks/{made['id']}"

    operators, first, second = await new({}), await new(customer), await new(customer)
    asked = [client.post(f"{path}/test", headers=customer) for path in (first, second) for _ in range(8)]
    answers = await asyncio.gather(*asked)
    refused = [answer for answer in answers if answer.status_code != 200]
    assert (len(refused), len(receiver.got)) == (6, 10)
    assert {(answer.status_code, code(answer)) for answer in refused} == {(429, "too_many_tests")}
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in refused)
    await client.delete(first, headers=customer)
    third = await new(customer)
    assert code(await client.post(f"{third}/test", headers=customer)) == "too_many_tests"
    assert (await client.post(f"{operators}/test")).status_code == 200
    await conn.execute("UPDATE webhook_messages SET created_at = created_at - interval '1 minute'")
    assert (await client.post(f"{third}/test", headers=customer)).status_code == 200


async def test_replays_are_limited(client: httpx.AsyncClient, receiver: Receiver, conn) -> None:
    """By key, however many webhooks its customer has, though they are asked for all at once; the operator's are not."""
    account = await factories.account(conn)
    customer = {"Authorization": f"Bearer {await factories.key(conn, 'customer', account)}"}
    made = [(await client.post("/v1/webhooks", json={"url": receiver.url}, headers=customer)).json() for _ in range(2)]
    paths = [f"/v1/webhooks/{one['webhook']['id']}/replay?since=2026-11-01" for one in made]
    answers = await asyncio.gather(*(client.post(path, headers=customer) for path in paths for _ in range(8)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 6
    assert {(answer.status_code, code(answer)) for answer in refused} == {(429, "too_many_replays")}
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in refused)
    another = {"Authorization": f"Bearer {await factories.key(conn, 'customer', account)}"}
    assert (await client.post(paths[0], headers=another)).status_code == 200
    operators = [await client.post(path) for path in paths for _ in range(8)]
    assert {answer.status_code for answer in operators} == {200}
    for path in paths:
        assert code(await client.post(path, headers=customer)) == "too_many_replays"


async def test_a_webhook_that_is_being_deleted_is_not_tested(
    client: httpx.AsyncClient, receiver: Receiver, conn
) -> None:
    webhook = (await client.post("/v1/webhooks", json={"url": receiver.url})).json()["webhook"]["id"]
    async with conn.transaction():
        await store.delete(conn, webhook)
        testing = asyncio.create_task(client.post(f"/v1/webhooks/{webhook}/test"))
        await waits_for(conn)
    answer = await testing
    assert (answer.status_code, code(answer)) == (404, "unknown_webhook")
    assert receiver.got == []


@pytest.mark.parametrize("work", ["give out", "replay"])
async def test_a_webhook_that_is_being_deleted_gets_no_deliveries(mail: Post, work: str) -> None:
    """And stops nobody who makes them."""
    issued = await mail.endpoint("http://127.0.0.1:1/")
    await mail.say(None)
    if work == "replay":
        await mail.give_out()
    async with mail.pool.connection() as deleting, mail.pool.connection() as conn:
        async with deleting.transaction():
            await store.delete(deleting, issued.webhook.id)
            since = issued.webhook.created_at
            making = (
                store.give_out(conn, 9)
                if work == "give out"
                else store.replay(conn, issued.webhook, since=since, message=None)
            )
            task = asyncio.create_task(making)
            await waits_for(deleting)
        assert await task == (1 if work == "give out" else 0)


async def test_deleting_a_webhook_that_is_being_sent_to(mail: Post, receiver: Receiver) -> None:
    """Whoever notes what came of it waits for the deletion, which is in the middle of it, and that waits for nobody."""
    receiver.answer = status(410)
    issued = await mail.endpoint(receiver.url)
    await mail.say(None)
    await mail.give_out()
    async with mail.pool.connection() as deleting:
        target = await store.target(deleting, issued.webhook.id)
        async with deleting.transaction():
            await deleting.execute("SELECT FROM webhook_endpoints FOR UPDATE")
            serving = asyncio.create_task(mail.courier.serve(target))
            await waits_for(deleting)
            await store.delete(deleting, issued.webhook.id)
        assert not await serving
    assert len(receiver.got) == 1


async def waits_for(conn: Connection) -> None:
    """Until somebody waits for what this connection has locked."""
    waiting = 0
    async with asyncio.timeout(10):
        while not waiting:
            cursor = await conn.execute(
                "SELECT count(*) AS waiting FROM pg_locks"
                " WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            [waiting] = (await cursor.fetchone() or {}).values()


async def test_commands(fresh_database: str, receiver: Receiver, tmp_path: Path) -> None:
    """Beside a service that is there for a while, and again later."""
    settings = {"BILLING_DATABASE_URL": fresh_database, "BILLING_WEBHOOK_PRIVATE": "true"}

    async def run(*arguments: str, status: int = 0) -> str:
        with billing("webhooks", *arguments, settings=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
            out, err = await anyio.to_thread.run_sync(one.communicate)
            assert one.returncode == status, err
        return out

    assert "There are no webhooks." in await run()
    issued = json.loads(await run("add", receiver.url, "--type", "key.revoked", "--json"))
    webhook = issued["webhook"]["id"]
    assert webhook in await run("list")
    assert "delivered (HTTP 204)" in await run("test", webhook)
    assert "webhook.test" in await run("log", webhook)
    await run("disable", webhook)
    assert json.loads(await run("list", "--json"))[0]["disabled_because"] == "asked for"
    await run("enable", webhook)
    assert (await run("rotate", webhook)).startswith("whsec_")
    with serving(settings, tmp_path) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=server.headers) as client:
            made = (await client.post("/v1/keys", json={"scope": "gateway", "name": "g"})).json()
            await client.delete(f"/v1/keys/{made['key']['id']}")
        [_, got] = await receiver.wait_for(2)
        got.verify(issued["secret"])
    assert "1 message is on the way" in await run("replay", webhook, "--message", got.id)
    with serving(settings, tmp_path):
        assert (await receiver.wait_for(3))[2].id == got.id
    await run("remove", webhook)


async def test_a_service_that_is_killed_while_it_sends_sends_again(
    fresh_database: str, receiver: Receiver, tmp_path: Path
) -> None:
    settings = {"BILLING_DATABASE_URL": fresh_database, "BILLING_WEBHOOK_PRIVATE": "true"}
    never = asyncio.Event()
    receiver_answers, receiver.answer = receiver.answer, Never(never)
    with serving(settings, tmp_path) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=server.headers) as client:
            secret = (await client.post("/v1/webhooks", json={"url": receiver.url})).json()["secret"]
            made = (await client.post("/v1/keys", json={"scope": "gateway", "name": "g"})).json()
            await client.delete(f"/v1/keys/{made['key']['id']}")
        [first] = await receiver.wait_for(1)
        server.process.kill()
        server.process.wait()
    never.set()
    receiver.answer = receiver_answers
    async with await psycopg.AsyncConnection.connect(fresh_database, autocommit=True) as conn:
        await conn.execute("UPDATE webhook_deliveries SET due_at = now()")  # the dead one's claim has run out
    with serving(settings, tmp_path):
        again = (await receiver.wait_for(2))[1]
    assert (again.id, again.body) == (first.id, first.body)
    again.verify(secret)


class Never:
    """Answers nothing before it is told to."""

    def __init__(self, until: asyncio.Event) -> None:
        self.until = until

    async def __call__(self, _got: Got) -> bytes:
        await self.until.wait()
        return b""
