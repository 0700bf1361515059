"""Bytes into rows as they stand: lines of NDJSON, records of CSV. What is too long is an error, never a buffer."""

import re
from dataclasses import dataclass

MAX_ROW = 256 * 1024
"""Bytes of a row. A customer with two hundred orders has a tenth of it; beyond this a line end is missing."""

# From inside a quoted value to behind its closing quote; "" is a quote that belongs to the value. Possessive: a
# hostile row must not cost its square.
_CLOSED = re.compile(rb'(?:[^"]++|"")*+"')


@dataclass(frozen=True, slots=True)
class RawRow:
    """`line`: where it begins, counted from 1. `data`: without the line end. With `error` there is no data."""

    line: int
    data: bytes
    error: str | None = None


class Splitter:
    """Takes bytes as they come (`feed`), gives whole rows; `end` gives what is left. Empty lines are no rows.

    `delimiter` (one ASCII byte): these are CSV records, and a value in quotes may hold line ends. None: NDJSON. The
    bytes are in an encoding that has ASCII's line ends, quotes and delimiters (UTF-8, windows-1251).
    """

    def __init__(self, delimiter: bytes | None = None) -> None:
        self._delimiter = delimiter
        # Spreadsheets end a table with rows of nothing but delimiters.
        self._blank = b" \t\r" + (delimiter or b"")
        self._line = 1  # of what comes next
        self._part = bytearray()  # of a physical line
        self._too_long = False  # the rest of this physical line is thrown away
        self._record: list[bytes] = []  # physical lines of a record whose quote is open
        self._record_line = 0
        self._record_bytes = 0

    def feed(self, chunk: bytes) -> list[RawRow]:
        rows: list[RawRow] = []
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            if self._part:
                self._part += piece
                piece = bytes(self._part)
                self._part.clear()
            self._take(piece, rows)
        self._part += rest
        if len(self._part) > MAX_ROW:
            self._part.clear()
            self._too_long = True
        return rows

    def end(self) -> list[RawRow]:
        rows: list[RawRow] = []
        if self._part or self._too_long:
            last = bytes(self._part)
            self._part.clear()
            self._take(last, rows)
        if self._record:
            rows.append(self._unclosed())
        return rows

    def _take(self, line: bytes, rows: list[RawRow]) -> None:
        number, self._line = self._line, self._line + 1
        if self._too_long or len(line) > MAX_ROW:
            self._too_long = False
            begin = self._record_line if self._record else number
            self._forget()
            rows.append(RawRow(begin, b"", f"is longer than {MAX_ROW // 1024} kB: is a line end missing?"))
            return
        inside = bool(self._record)
        if self._delimiter is not None and _is_open(line, self._delimiter, inside):
            if not inside:
                self._record_line = number
            self._record.append(line)
            self._record_bytes += len(line) + 1
            if self._record_bytes > MAX_ROW:
                rows.append(self._unclosed())
            return
        if inside:
            whole, begin = b"\n".join([*self._record, line]), self._record_line
            self._forget()
            rows.append(RawRow(begin, whole.removesuffix(b"\r")))
        elif line.strip(self._blank):
            rows.append(RawRow(number, line.removesuffix(b"\r")))

    def _unclosed(self) -> RawRow:
        row = RawRow(
            self._record_line,
            b"",
            "a quote is opened here and not closed"
            + (
                f": lines {self._record_line} to {self._line - 1} were not read"
                if len(self._record) > 1
                else ""
            ),
        )
        self._forget()
        return row

    def _forget(self) -> None:
        self._record = []
        self._record_bytes = 0


def _is_open(line: bytes, delimiter: bytes, inside: bool) -> bool:
    """Does a quoted value go on behind this line? As the csv module reads it: a quote opens at the begin of a value
    only."""
    if not inside and b'"' not in line:
        return False
    at = 0
    while True:
        if not inside and line[at : at + 1] == b'"':
            inside = True
            at += 1
        if inside:
            closed = _CLOSED.match(line, at)
            if closed is None:
                return True
            inside = False
            at = closed.end()
        at = line.find(delimiter, at) + 1
        if at == 0:
            return False
