"""Names for things: a prefix that says what it is, and 24 characters that sort by when it was made.

    acct_01kb6v…  key_…  inv_…

Time first keeps new rows together in their indexes; 72 random bits keep the rest apart.
"""

import secrets
import time

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u


def new(prefix: str) -> str:
    """A new name, such as `acct_01kb6v2q8m5x3r7t9w1y4z6c`."""
    value = time.time_ns() // 1_000_000 << 72 | secrets.randbits(72)
    return prefix + "_" + _encode(value, BASE32, 24)


def base62(value: int, width: int) -> str:
    return _encode(value, BASE62, width)


def _encode(value: int, alphabet: str, width: int) -> str:
    digits = ""
    for _ in range(width):
        value, digit = divmod(value, len(alphabet))
        digits = alphabet[digit] + digits
    return digits
