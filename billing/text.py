"""Texts, amounts and instants as requests may bring them: the one place that says what characters they are made of.

A control character is one of C0, DEL or C1, a line or paragraph separator, or half of a surrogate pair: none of them
can be printed, some end a line in a log or a table, and the last PostgreSQL cannot keep.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

# `$` alone also stands before a final newline in Python (not in JSON Schema): with this, nothing follows.
END = r"$(?!\n)"
CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
CONTROL_BUT_NEWLINE = CONTROL.replace(r"\x00-\x1f", r"\x00-\x09\x0b-\x1f")

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=f"^[^{CONTROL}]*{END}")]
Word = Annotated[str, Meta(max_length=200, pattern=f"^[^{CONTROL}]*{END}", description="May be empty.")]
Lines = Annotated[str, Meta(min_length=1, max_length=1000, pattern=f"^[^{CONTROL_BUT_NEWLINE}]*{END}")]

ACCOUNT_ID = f"^acct_[A-Za-z0-9_-]{{1,59}}{END}"
AccountId = Annotated[str, Meta(pattern=ACCOUNT_ID)]
PlanId = Annotated[str, Meta(pattern=f"^[a-z0-9][a-z0-9_-]{{0,59}}{END}")]
Sha256 = Annotated[str, Meta(pattern=f"^[0-9a-f]{{64}}{END}", description="In hex.")]

Price = Annotated[str, Meta(pattern=rf"^[0-9]{{1,9}}(\.[0-9]{{1,12}})?{END}", description="Exact dollars, from 0 on.")]
Dollars = Annotated[str, Meta(pattern=rf"^-?[0-9]{{1,9}}(\.[0-9]{{1,12}})?{END}", description="Such as 12.50 or -3.")]
Multiplier = Annotated[str, Meta(pattern=rf"^([0-9](\.[0-9]{{1,12}})?|10){END}", description="From 0 to 10: 0.45.")]

Instant = Annotated[datetime, Meta(tz=True)]
