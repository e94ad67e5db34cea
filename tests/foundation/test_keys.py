"""Keys are checked first, before anything that was sent is read."""

import msgspec
import pytest
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from billing.accounts.keys import Principal
from billing.app import create_app
from billing.http import requires
from tests import factories
from tests.serving import ADMIN_KEY


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    count: int


@post("/probe/admin", guards=[requires("admin")])
async def only_admins(data: JSONBody[Thing], principal: NamedDependency[Principal]) -> dict[str, str | None]:
    return {"key": principal.key_id, "scope": principal.scope, "account": principal.account_id}


@pytest.fixture
async def client(client):
    app = client._transport.app
    app.register(only_admins)
    return client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_the_handler_learns_who_asks(client):
    answer = await client.post("/probe/admin", json={"count": 1})
    assert answer.json() == {"key": "key_bootstrap", "scope": "admin", "account": None}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "missing_key"),
        ("", "malformed_authorization"),
        ("Bearer", "malformed_authorization"),
        ("Basic dTpw", "malformed_authorization"),
        ("Bearer " + "x" * 201, "malformed_authorization"),
        ("Bearer idr_nobody", "unknown_key"),
        ("Bearer \xff\xfe", "unknown_key"),
    ],
)
async def test_no_key_no_look_at_the_body(client, header, code):
    client.headers.pop("Authorization")
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = await client.post("/probe/admin", content=b"no json " * 3_000_000, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_the_scheme_may_be_written_in_any_case(client):
    answer = await client.post("/probe/admin", json={"count": 1}, headers={"Authorization": f"bearer {ADMIN_KEY}"})
    assert answer.status_code == 201


async def test_another_scope_is_forbidden(client, conn):
    customer = await factories.key(conn, "customer", await factories.account(conn))
    for token in (customer, await factories.key(conn, "gateway")):
        answer = await client.post("/probe/admin", content=b"no json", headers=bearer(token))
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_scope")
        assert "admin" in answer.json()["detail"]


def test_create_app_needs_a_database(settings):
    with pytest.raises(Exception, match="BILLING_DATABASE_URL"):
        create_app(msgspec.structs.replace(settings, database_url=None))
