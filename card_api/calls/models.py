"""Calls: the record."""

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import text

from card_api.metadata import metadata, moment

calls = Table(
    "calls",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("pbx", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("direction", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("caller_number", Text),
    Column("caller_name", Text),
    Column("did", Text),
    Column("customer_number", Text),  # E.164 of the customer's end, whoever called whom
    Column("queue", Text),
    Column(
        "agents", ARRAY(Text), nullable=False, server_default="{}"
    ),  # logins of those who talked, in order
    Column("started_at", moment(), nullable=False),
    Column("answered_at", moment()),
    Column("ended_at", moment()),
    Column("end_reason", Text),
    Column("talk_seconds", Integer),
    Column("missed", Boolean, nullable=False, server_default=text("false")),
    Column("document", JSONB, nullable=False),
    Column("stored_at", moment(), nullable=False, server_default=text("now()")),
    Index(
        "calls_customer_number_idx",
        "customer_number",
        "started_at",
        postgresql_where=text("customer_number is not null"),
    ),
    Index("calls_started_at_idx", "started_at"),
    Index("calls_agents_idx", "agents", postgresql_using="gin"),
    Index("calls_queue_idx", "queue", "started_at", postgresql_where=text("queue is not null")),
    Index("calls_did_idx", "did", "started_at", postgresql_where=text("did is not null")),
    Index("calls_missed_idx", "started_at", postgresql_where=text("missed")),
    Index("calls_open_idx", "started_at", postgresql_where=text("state <> 'ended'")),
)
