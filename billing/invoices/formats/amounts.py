"""Numbers as they are printed. Pure."""


def grouped(number: str) -> str:
    """`-1234567.25` as `−1,234,567.25`: every digit, a true minus sign."""
    whole, point, decimals = number.removeprefix("-").partition(".")
    sign = "−" if number.startswith("-") else ""
    return f"{sign}{int(whole):,}{point}{decimals}"


def amount(dollars: str) -> str:
    """With cents, and with every further digit there is."""
    whole, _, decimals = dollars.partition(".")
    return grouped(f"{whole}.{decimals:0<2}")


def negated(dollars: str) -> str:
    if dollars == "0":
        return dollars
    return dollars.removeprefix("-") if dollars.startswith("-") else f"-{dollars}"
