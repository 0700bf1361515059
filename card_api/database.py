"""Telling a database that is away from a row it will never take."""

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

DATABASE_ERRORS = (
    DBAPIError,
    PoolTimeout,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
"""What a statement may raise when PostgreSQL is away, slow, not migrated, or refuses a value."""

# SQLSTATE classes that speak about the value and not about the server: data exception, constraint violation,
# limit exceeded (a key too long for its index), untranslatable JSON.
_ABOUT_THE_VALUE = ("22", "23", "54")


def refuses_value(error: BaseException) -> bool:
    """Would the same statement fail again for ever, because of what it carries?"""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(state, str) and state.startswith(_ABOUT_THE_VALUE)


def sentence(error: BaseException) -> str:
    """The error in one line without statement and parameters: those hold numbers and names."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = str(cause).strip().splitlines()
    return (lines[0] if lines else type(cause).__name__)[:200]
