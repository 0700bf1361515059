"""How other commands find the embedded servers of a running `callcard run all` or `callcard demo`."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

_FILE = "running.json"


@contextlib.contextmanager
def announced(folder: Path, database_url: str, redis_url: str) -> Iterator[None]:
    """While inside, `running(folder)` tells the addresses. Loopback addresses without secrets."""
    file = folder / _FILE
    file.write_text(json.dumps({"pid": os.getpid(), "database_url": database_url, "redis_url": redis_url}))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def running(folder: Path) -> tuple[str, str] | None:
    """(database URL, Redis URL) of the process that uses this data folder now; None if there is none."""
    try:
        said = json.loads((folder / _FILE).read_text())
        os.kill(said["pid"], 0)
        return said["database_url"], said["redis_url"]
    except PermissionError:  # alive, another user's
        return said["database_url"], said["redis_url"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
