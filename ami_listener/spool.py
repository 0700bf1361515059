"""Ended calls on disk while Redis is away: the one thing that must not be lost with this process."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

# A week without Redis at 10,000 calls a day; some 5 kB each.
MAX_CALLS = 100_000
# Beyond this a full disk would stop other things of the machine.
MAX_BYTES = 1 << 30


class Spool:
    """Lines in one file, bounded in number and bytes. What is in the file when a process starts is still to deliver.

    count, size: lines and bytes in it. refused: calls that found it full since the start.
    A line is flushed to the operating system at once, so it survives kill -9; it is not fsynced, because that would
    block the reader of the PBX for milliseconds and only a power cut at that very moment asks for it.
    """

    def __init__(self, path: Path, *, max_calls: int = MAX_CALLS, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self.refused = 0
        self.count = 0
        self.size = 0
        if path.exists():
            self.size = path.stat().st_size
            with path.open("rb") as file:
                self.count = sum(1 for _ in file)
            if self.size and not self._ends_with_newline():
                self._append(b"\n")  # a line torn by a crash; alone on its line it harms nobody

    def add(self, line: bytes) -> bool:
        """Keep one ended call (JSON without a line break). False if it is full or the disk does not take it."""
        if self.count >= self._max_calls or self.size + len(line) + 1 > self._max_bytes:
            self.refused += 1
            return False
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._append(line + b"\n")
        except OSError:
            self.refused += 1
            return False
        self.count += 1
        return True

    def batches(self, size: int, skip: int = 0) -> Iterator[list[bytes]]:
        """Its lines after the first `skip`, oldest first, at most `size` at a time."""
        if self.count <= skip:
            return
        with self._path.open("rb") as file:
            lines = (line.rstrip(b"\n") for line in islice(file, skip, None))
            while batch := list(islice(lines, size)):
                yield batch

    def clear(self) -> None:
        """Everything in it has been delivered."""
        self._path.unlink(missing_ok=True)
        self.count = self.size = 0

    def _append(self, data: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(data)
        self.size += len(data)

    def _ends_with_newline(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) == b"\n"
