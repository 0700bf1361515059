"""Alembic's migrations: `versions/NNNN_what.py`, in a straight line."""

from pathlib import Path

FOLDER = Path(__file__).parent


def newest() -> str:
    """The revision the schema should be at: the highest number among the files (a test asks Alembic the same).

    Every start of a process asks this; importing Alembic for it would cost a second of it.
    """
    return max(path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*_*.py"))
