"""PostgreSQL and Valkey as children of this process, for a laptop, a small office, the demo and the tests."""

from services.embedded.postgres import EmbeddedPostgres
from services.embedded.process import EmbeddedError
from services.embedded.valkey import EmbeddedValkey

__all__ = ["EmbeddedError", "EmbeddedPostgres", "EmbeddedValkey"]
