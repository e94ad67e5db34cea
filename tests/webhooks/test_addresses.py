"""Nothing is sent where it could do harm: only to public addresses, and to those that were looked at."""

import socket
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from billing.errors import Invalid
from billing.webhooks.addresses import NotPublic, check_url, checked, is_public
from billing.webhooks.messages import Message, Target
from billing.webhooks.sending import Sender
from tests.webhooks.receiver import Receiver

PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.1.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:db8::1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::7f00:1",
    "fec0::1",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "203.1.2.3", "2606:4700::1111", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_one_private_address_among_public_ones_is_enough() -> None:
    assert checked(["8.8.8.8", "8.8.8.8", "1.1.1.1"], private=False) == ["8.8.8.8", "1.1.1.1"]
    with pytest.raises(NotPublic):
        checked(["8.8.8.8", "127.0.0.1"], private=False)
    assert checked(["127.0.0.1"], private=True) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://example.com/", "invalid_url"),
        ("file:///etc/passwd", "invalid_url"),
        ("example.com/hook", "invalid_url"),
        ("http://", "invalid_url"),
        ("http://user:secret@example.com/", "invalid_url"),
        ("http://example.com/#part", "invalid_url"),
        ("http://exa mple.com:port/", "invalid_url"),
        ("https://example.com/" + "x" * 2000, "invalid_url"),
        ("http://example.com:0/", "invalid_url"),
        ("http://example.com:-1/", "invalid_url"),
        ("http://example.com:65536/", "invalid_url"),
        ("http://xn--a/", "invalid_url"),
        ("http://①②⑦.0.0.1/", "invalid_url"),
        ("http://example.com@127.0.0.1/", "invalid_url"),
        ("http://127。0。0。1/", "private_address"),
        ("http://[fe80::1%25eth0]/", "private_address"),
        ("http://127.0.0.1/", "private_address"),
        ("http://[::1]:8080/", "private_address"),
        ("http://169.254.169.254/latest", "private_address"),
        ("http://[::ffff:10.0.0.1]/", "private_address"),
    ],
)
def test_urls_that_are_refused(url: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_url(url, private=False)
    assert refused.value.code == code
    assert refused.value.errors[0].path == "$.url"


def test_urls_that_are_taken() -> None:
    for url in (
        "https://example.com/hook?token=1",
        "http://xn--bcher-kva.example:8080",
        "https://8.8.8.8/",
        "http://例.cn",
    ):
        check_url(url, private=False)
    check_url("http://127.0.0.1:1/", private=True)


MESSAGE = Message(id="msg_1", type="webhook.test", created_at=datetime(2026, 11, 1, tzinfo=UTC), data={})


@pytest.mark.anyio
async def test_names_and_other_spellings_of_private_addresses_are_not_reached(receiver: Receiver) -> None:
    async with Sender.opened(5.0, private=False) as sender:
        for host in ("localhost", "127.1", "2130706433", "0x7f.1", "127.0.0.1"):
            url = f"http://{host}:{receiver.port}/"
            attempt = await sender.send(Target("we_1", url, (b"secret",)), MESSAGE)
            assert attempt.reason in ("not a public address", "no such host"), host
    assert receiver.got == []


@pytest.mark.anyio
async def test_the_address_that_was_looked_at_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name whose address changes with every look is looked up once, and keeps its name in the request."""
    looks = []

    def getaddrinfo(name: str, *_arguments: object, **_options: object) -> list[tuple[object, ...]]:
        looks.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    url = f"http://rebinding.example:{receiver.port}/hook"
    async with Sender.opened(5.0, private=True) as sender:
        attempt = await sender.send(Target("we_1", url, (b"secret",)), MESSAGE)
    assert attempt.delivered, attempt
    assert looks[0] == "rebinding.example"
    assert "rebinding.example" not in looks[1:]
    assert receiver.got[0].headers["host"] == f"rebinding.example:{receiver.port}"
