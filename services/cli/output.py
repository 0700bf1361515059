"""How the command speaks: results on stdout, everything else on stderr."""

import sys
from typing import NoReturn

from rich.console import Console


def console() -> Console:
    """For people, on stderr: stdout stays clean for pipes."""
    return Console(stderr=True, highlight=False)


def fail(text: str, code: int = 2) -> NoReturn:
    """Say what is wrong and end. 2: something the caller can correct; 1: something went wrong."""
    for line in text.splitlines():
        sys.stderr.write(f"callcard: {line}\n")
    sys.exit(code)
