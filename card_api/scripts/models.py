"""What to say: texts by line, queue and category."""

from sqlalchemy import Column, ForeignKey, Table, Text, UniqueConstraint, Uuid
from sqlalchemy.sql.expression import text

from card_api.metadata import metadata, moment

scripts = Table(
    "scripts",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("did", Text),  # none: any line; so with the next three
    Column("queue", Text),
    Column("category", ForeignKey("categories.code", onupdate="CASCADE", ondelete="CASCADE")),
    Column("language", Text),
    Column("text", Text, nullable=False),
    Column("updated_at", moment(), nullable=False, server_default=text("now()")),
    UniqueConstraint(
        "did", "queue", "category", "language", name="scripts_place_key", postgresql_nulls_not_distinct=True
    ),
)
