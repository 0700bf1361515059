"""Who it was, as somebody said during the call."""

from sqlalchemy import Column, ForeignKey, Index, Table, Text
from sqlalchemy.sql.expression import text

from card_api.metadata import metadata, moment

VERSION = "cast(extract(epoch from i.at) * 1000000 as bigint)"
"""SQL, of a row `i`: another number each time somebody says who it is."""

call_identities = Table(
    "call_identities",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("customer_id", ForeignKey("customers.id", ondelete="SET NULL")),
    Column("person", Text),  # name of the person who speaks, among the customer's people
    Column("account", Text),  # the number they gave, if that is how they were found
    Column("by_kind", Text, nullable=False),  # agent, or system (the IVR)
    Column("by", Text, nullable=False),
    Column("at", moment(), nullable=False, server_default=text("now()")),
    Index(
        "call_identities_customer_id_idx",
        "customer_id",
        "at",
        postgresql_where=text("customer_id is not null"),
    ),
)
