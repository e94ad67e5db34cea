"""Addresses and networks of the internet, as requests bring them."""

from ipaddress import ip_address, ip_network

from billing.errors import Fault, Invalid


def address(text: str, path: str) -> str:
    """The same, if it is an IP address. Raises Invalid at its place."""
    try:
        ip_address(text)
    except ValueError:
        detail = "An address looks like 192.0.2.1 or 2001:db8::1."
        raise Invalid("invalid_address", detail, (Fault("invalid_address", detail, path),)) from None
    return text


def network(text: str, path: str) -> str:
    """A network in its one spelling: `192.0.2.0/24`; an address is a network of one. Raises Invalid at its place."""
    try:
        return str(ip_network(text))
    except ValueError:
        detail = "A network looks like 192.0.2.0/24 or 2001:db8::/32, or is an address."
        raise Invalid("invalid_address", detail, (Fault("invalid_address", detail, path),)) from None
