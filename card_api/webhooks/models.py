"""Web hooks, and what is or was on its way to them."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import text

from card_api.metadata import metadata, moment

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),  # may carry a token: not for logs
    Column("format", Text, nullable=False, server_default="callcard"),
    Column("events", ARRAY(Text), nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("switched_off", Text),  # why, if the receiver asked for it
    Column("secret_version", Integer, nullable=False, server_default=text("1")),
    Column("secret_rotated_at", moment()),
    Column("created_at", moment(), nullable=False, server_default=text("now()")),
    Column("updated_at", moment(), nullable=False, server_default=text("now()")),
    Column("last_success_at", moment()),
    Column("failing_since", moment()),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),  # grows: the order of events
    Column("webhook_id", ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text),  # call_id, or the customer's id
    Column("number", Text),  # E.164 of the customer's end of a call
    Column("payload", JSONB(none_as_null=True)),  # null: erased
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("status_code", Integer),  # of the last answer; null: there was none
    Column("error", Text),
    Column("created_at", moment(), nullable=False, server_default=text("now()")),
    Column("next_at", moment(), server_default=text("now()")),  # of the next try; null: there is none
    Column("finished_at", moment()),
    UniqueConstraint("webhook_id", "event_id", name="webhook_deliveries_event_key"),
    Index(
        "webhook_deliveries_pending_idx",
        "webhook_id",
        "subject",
        "id",
        postgresql_where=text("state = 'pending'"),
    ),
    Index("webhook_deliveries_state_idx", "webhook_id", "state", "id"),
    Index("webhook_deliveries_next_at_idx", "next_at", postgresql_where=text("state = 'pending'")),
    Index("webhook_deliveries_finished_at_idx", "finished_at", postgresql_where=text("state <> 'pending'")),
    Index("webhook_deliveries_subject_idx", "subject"),
    Index("webhook_deliveries_number_idx", "number", postgresql_where=text("number is not null")),
)
