"""Which of two numbers is billed when a report could be counted anew (rules.md Verification 3)."""

from typing import Literal

Policy = Literal["reported", "counted", "lower"]
"""`reported`: the report, capped at the upper bound of our count. `counted`: our count. `lower`: the lower of the two.

pricing/tokens/verify.py says exactly what each bills.
"""
