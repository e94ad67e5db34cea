"""Where webhooks may go: to public addresses over http or https, unless BILLING_WEBHOOK_PRIVATE allows others. Pure.

A name is looked up for every delivery, all of its addresses are looked at, and the connection goes to one of those that
were looked at: what a name stands for a moment later matters to nobody.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx

from billing.errors import Fault, Invalid

URL_CHARACTERS_MAX = 2000

NAT64 = IPv6Network("64:ff9b::/96")
"""IPv4 behind a translator: the last four bytes are what is reached."""

UNICAST = IPv6Network("2000::/3")
"""All of IPv6 that was ever given out to the public internet (RFC 4291, 2.4). What else there is stays in a network, as
site-local addresses and translators of its own (64:ff9b:1::/48) do, or holds an IPv4 address."""

PORT_MAX = 65_535

Address = IPv4Address | IPv6Address


class NotPublic(Exception):
    """A name stands for an address that is not public."""


def check_url(text: str, *, private: bool) -> None:
    """Raises Invalid for what is no URL of http or https, brings a password along, or names a private address."""
    try:
        url = httpx.URL(text)
        fine = url.scheme in ("http", "https") and url.host and len(text) <= URL_CHARACTERS_MAX and text.isprintable()
        fine = fine and (url.port is None or 0 < url.port <= PORT_MAX)
    except (httpx.InvalidURL, UnicodeError):  # the latter of a host that is no IDNA
        fine = False
    if not fine:
        detail = f"A webhook's url is an http or https URL of at most {URL_CHARACTERS_MAX} characters."
        raise Invalid("invalid_url", detail, (Fault("invalid_url", detail, "$.url"),))
    if url.userinfo or url.fragment:
        detail = "A webhook's url has no user, no password and no fragment."
        raise Invalid("invalid_url", detail, (Fault("invalid_url", detail, "$.url"),))
    address = _literal(url.host)
    if address is not None and not private and not is_public(address):
        detail = "Webhooks go to public addresses only, unless BILLING_WEBHOOK_PRIVATE allows others."
        raise Invalid("private_address", detail, (Fault("private_address", detail, "$.url"),))


def checked(addresses: Iterable[str], *, private: bool) -> list[str]:
    """The addresses that a name stands for. Raises NotPublic when one of them is not."""
    found = list(dict.fromkeys(addresses))
    if not private and not all(is_public(ip_address(address)) for address in found):
        raise NotPublic
    return found


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet, and so is any that is wrapped up in it."""
    if address.is_multicast or not address.is_global:
        return False
    if isinstance(address, IPv4Address):
        return True
    if address not in UNICAST and address not in NAT64:
        return False
    inner = [address.sixtofour, *(address.teredo or ())]
    if address in NAT64:
        inner.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return all(is_public(one) for one in inner if one is not None)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
