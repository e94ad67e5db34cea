"""Money at the database's edge: `numeric(38,12)` dollars there, an int of picodollars here (docs/decisions/0001)."""

from decimal import Context, Decimal, Inexact

# Wide enough for any numeric(38,12); a digit lost would raise, never round.
_EXACT = Context(prec=60, traps=[Inexact])


def picos(dollars: Decimal) -> int:
    """Decimal dollars as whole picodollars; raises decimal.Inexact for anything finer."""
    scaled = dollars.scaleb(12, _EXACT)
    return int(scaled.to_integral_exact(context=_EXACT))


def dollars(picos: int) -> Decimal:
    """Picodollars as Decimal dollars, with exactly 12 decimals."""
    return Decimal(picos).scaleb(-12, _EXACT)
