"""Agents and the phones they sit at."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.sql.expression import text

from card_api.metadata import metadata, moment

agents = Table(
    "agents",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("login", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("extension", Text),
    Column("role", Text, nullable=False, server_default="agent"),
    Column("password_hash", Text),
    Column("language", Text),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("tokens_from", moment()),  # older tokens are good for nothing
    Column("rights_from", moment()),  # older tokens say other rights than these
    Column("created_at", moment(), nullable=False, server_default=text("now()")),
    Column("updated_at", moment(), nullable=False, server_default=text("now()")),
)

agent_endpoints = Table(
    "agent_endpoints",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("pbx", Text),  # null: the endpoint is this agent's on every PBX
    UniqueConstraint(
        "endpoint", "pbx", name="agent_endpoints_endpoint_pbx_key", postgresql_nulls_not_distinct=True
    ),
    Index("agent_endpoints_agent_id_idx", "agent_id"),
)
