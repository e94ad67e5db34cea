"""Signatures of Standard Webhooks (its specification, "Signature scheme"): HMAC-SHA256 over id, time and body. Pure.

webhook-signature: v1,<base64 of the HMAC of "id.timestamp.body"> v1,<the same with another secret>
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32  # of 24 to 64


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """As receivers' libraries take it: `whsec_` and base64."""
    return PREFIX + base64.b64encode(secret).decode()


def headers(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What goes with a body: its id, which is the same in every attempt, the attempt's time in unix seconds, and a
    signature for each secret that is valid."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(secret, signed) for secret in secrets),
    }


def _signature(secret: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
