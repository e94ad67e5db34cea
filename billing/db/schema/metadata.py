"""What all tables are declared with: how their constraints are called, and the types of money and time."""

from sqlalchemy import DateTime, MetaData, Numeric, func

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

Dollars = Numeric(38, 12)
Instant = DateTime(timezone=True)
NOW = func.now()
