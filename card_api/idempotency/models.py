"""The answers of POSTs that were done once."""

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import text

from card_api.metadata import metadata, moment

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column(
        "caller", Text, primary_key=True
    ),  # whose key it is: an API key's id or an agent's login, with its kind
    Column("key", Text, primary_key=True),
    Column("request", LargeBinary, nullable=False),  # hash of method, path and body
    Column("status", Integer, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", moment(), nullable=False, server_default=text("now()")),
    Index("idempotency_keys_at_idx", "at"),
)
