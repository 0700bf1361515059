"""Rings: what became of each on the agent's screen."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Table, Text
from sqlalchemy.sql.expression import text

from card_api.metadata import metadata, moment

rings = Table(
    "rings",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("agent", Text, primary_key=True),  # login
    Column("rang", moment(), primary_key=True),  # a phone may ring twice in one call
    Column("rev", BigInteger, nullable=False),  # of the card that was pushed first
    Column("arrived", moment(), nullable=False),
    Column("looked_up", moment()),
    Column("pushed", moment(), nullable=False),
    Column("shown", moment()),
    Column("opened", moment()),
    Column("unseen", Text),
    CheckConstraint("unseen in ('no_tab', 'disconnected', 'token_expired', 'slow', 'over', 'unknown')"),
    Index("rings_rang_idx", "rang"),
    Index("rings_agent_idx", "agent", "rang"),
    Index("rings_unseen_idx", "rang", postgresql_where=text("unseen is not null")),
)
