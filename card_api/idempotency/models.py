"""The answers of POSTs that were done once."""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import text

from card_api.metadata import metadata, moment

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("api_key_id", ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request", LargeBinary, nullable=False),  # hash of method, path and body
    Column("status", Integer),  # none: it is being done
    Column("headers", JSONB),
    Column("body", LargeBinary),
    Column("at", moment(), nullable=False, server_default=text("now()")),
    Index("idempotency_keys_at_idx", "at"),
)
