"""Keys of other systems. Only the hash is stored."""

from sqlalchemy import ARRAY, Column, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.sql.expression import text

from card_api.metadata import metadata, moment

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", moment(), nullable=False, server_default=text("now()")),
    Column("last_used_at", moment()),
    Column("revoked_at", moment()),
    Column("per_second", Integer),  # requests; none: the site's limit
    Column("expires_at", moment()),  # a rotated key works until then
)
