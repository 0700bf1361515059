"""Customers and what belongs to them. `source` + `external_id` name a row in the system it came from."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import text

from card_api.metadata import metadata, moment


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _customer() -> Column[object]:
    return Column("customer_id", ForeignKey("customers.id", ondelete="CASCADE"), nullable=False)


categories = Table(
    "categories",
    metadata,
    Column("code", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("colour", Text),
    Column("priority", Integer, nullable=False, server_default="0"),  # higher ranks first
)

customers = Table(
    "customers",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default="person"),
    Column("name", Text, nullable=False),
    Column("greet_as", Text),  # how the person wants to be called, if it is not plain from the name
    Column("category", ForeignKey("categories.code", onupdate="CASCADE")),
    Column("manager", Text),  # personal manager: an agent's login, or a name
    Column("tags", ARRAY(Text), nullable=False, server_default="{}"),
    Column("url", Text),  # the customer's page in the system it came from
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'")),
    Column("created_at", moment(), nullable=False, server_default=text("now()")),
    Column("updated_at", moment(), nullable=False, server_default=text("now()")),
    UniqueConstraint("source", "external_id", name="customers_source_external_id_key"),
)

customer_names = Table(
    "customer_names",
    metadata,
    _id(),
    _customer(),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("said_at", moment(), nullable=False, server_default=text("now()")),
    UniqueConstraint("customer_id", "name", "source", name="customer_names_customer_id_name_source_key"),
)

customer_people = Table(
    "customer_people",
    metadata,
    _id(),
    _customer(),
    Column("name", Text, nullable=False),
    Column("role", Text),
    Column("source", Text, nullable=False),
    UniqueConstraint("customer_id", "name", "source", name="customer_people_customer_id_name_source_key"),
)

customer_phones = Table(
    "customer_phones",
    metadata,
    _id(),
    _customer(),
    Column("e164", Text, nullable=False),
    Column("as_typed", Text, nullable=False),
    Column("purpose", Text, nullable=False, server_default="contact"),  # contact, mobile, sms, fax …
    UniqueConstraint("customer_id", "e164", name="customer_phones_customer_id_e164_key"),
    Index("customer_phones_e164_idx", "e164", postgresql_include=["customer_id", "purpose"]),
)

accounts = Table(
    "accounts",
    metadata,
    _id(),
    _customer(),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("status", Text),
    Column("product", Text),
    UniqueConstraint("source", "external_id", name="accounts_source_external_id_key"),
    Index("accounts_customer_id_idx", "customer_id"),
    Index("accounts_number_idx", "number"),
)

orders = Table(
    "orders",
    metadata,
    _id(),
    _customer(),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("status", Text),
    Column("amount", Numeric(14, 2)),
    Column("currency", Text),
    Column("ordered_at", moment()),
    Column("url", Text),
    UniqueConstraint("source", "external_id", name="orders_source_external_id_key"),
    Index("orders_customer_id_idx", "customer_id", "ordered_at"),
)

tickets = Table(
    "tickets",
    metadata,
    _id(),
    _customer(),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("opened_at", moment()),
    Column("closed_at", moment()),
    Column("url", Text),
    UniqueConstraint("source", "external_id", name="tickets_source_external_id_key"),
    Index("tickets_customer_id_idx", "customer_id"),
    Index("tickets_open_idx", "customer_id", postgresql_where=text("closed_at is null")),
)
