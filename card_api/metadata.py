"""The tables' common ground. Each domain declares its own tables in `models.py`; migrations make them."""

from sqlalchemy import MetaData
from sqlalchemy.dialects.postgresql import TIMESTAMP

metadata = MetaData()


def moment() -> TIMESTAMP:
    """`timestamptz`: every moment has a zone."""
    return TIMESTAMP(timezone=True)
