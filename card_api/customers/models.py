"""Customers and what belongs to them. `source` + `external_id` name a row in the system it came from."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
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
    Column("preferences", JSONB, nullable=False, server_default=text("'{}'")),
    Column("country", Text),  # of numbers without a country code, if not the site's
    # The record that stands for this one: both are one customer. Never a chain: a survivor is merged into nobody.
    Column("merged_into", ForeignKey("customers.id", ondelete="SET NULL")),
    Column("revision", BigInteger, nullable=False, server_default="1"),
    # Hash of what its source said last: the same again changes nothing. None: somebody else has changed it since.
    Column("said", LargeBinary),
    Column("created_at", moment(), nullable=False, server_default=text("now()")),
    Column("updated_at", moment(), nullable=False, server_default=text("now()")),
    UniqueConstraint("source", "external_id", name="customers_source_external_id_key"),
    Index("customers_merged_into_idx", "merged_into", postgresql_where=text("merged_into is not null")),
    Index("customers_updated_at_idx", "updated_at", "id"),
    Index(
        "customers_name_idx",
        func.lower(text("name")).label("name"),
        postgresql_ops={"name": "text_pattern_ops"},
    ),
    Index("customers_category_idx", "category", postgresql_where=text("category is not null")),
    Index("customers_tags_idx", "tags", postgresql_using="gin"),
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
    Column("e164", Text),  # none: no phone number of the world; kept as typed, never found
    Column("as_typed", Text, nullable=False),
    Column("purpose", Text, nullable=False, server_default="contact"),  # contact, mobile, sms, fax …
    Column("kind", Text, nullable=False, server_default="phone"),  # shared.phone.NumberKind
    Column("extension", Text),
    Column("remark", Text),
    Column("source", Text, nullable=False, server_default="callcard"),
    Index(
        "customer_phones_number_key",
        "customer_id",
        "source",
        text("coalesce(e164, as_typed)"),
        text("coalesce(extension, '')"),
        unique=True,
    ),
    Index(
        "customer_phones_e164_idx",
        "e164",
        postgresql_include=["customer_id", "purpose"],
        postgresql_where=text("e164 is not null"),
    ),
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
    UniqueConstraint(
        "customer_id", "source", "external_id", name="accounts_customer_id_source_external_id_key"
    ),
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
    UniqueConstraint(
        "customer_id", "source", "external_id", name="orders_customer_id_source_external_id_key"
    ),
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
    UniqueConstraint(
        "customer_id", "source", "external_id", name="tickets_customer_id_source_external_id_key"
    ),
    Index("tickets_open_idx", "customer_id", postgresql_where=text("closed_at is null")),
)

do_not_call = Table(
    "do_not_call",
    metadata,
    Column("e164", Text, primary_key=True),
    Column("reason", Text, nullable=False),  # hung_up, asked, wrong_number, foreign_number
    Column("comment", Text),
    Column("by_kind", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", moment(), nullable=False, server_default=text("now()")),
)

black_list = Table(
    "black_list",
    metadata,
    Column("e164", Text, primary_key=True),
    Column("reason", Text),
    Column("until", moment()),
    Column("by_kind", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", moment(), nullable=False, server_default=text("now()")),
)

notes = Table(
    "notes",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("customer_id", ForeignKey("customers.id", ondelete="CASCADE")),
    Column("call_id", Text),
    Column("text", Text, nullable=False),
    Column("author_kind", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at", moment(), nullable=False, server_default=text("now()")),
    Index("notes_customer_id_idx", "customer_id", "at", postgresql_where=text("customer_id is not null")),
    Index("notes_call_id_idx", "call_id", postgresql_where=text("call_id is not null")),
)
