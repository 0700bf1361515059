"""Who did what to whom."""

from sqlalchemy import BigInteger, Column, Identity, Index, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import text

from card_api.metadata import metadata, moment

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", moment(), nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
    Index("audit_log_at_idx", "at"),
    Index("audit_log_subject_idx", "subject", "at", postgresql_where=text("subject is not null")),
)
