"""A stream of bytes as a stream of rows. An empty chunk is a pause of whoever sends, and comes out as empty rows."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from card_api.customers.bulk.rows import csv_values
from card_api.customers.bulk.text import MAX_ROW, RawRow, Splitter

Chunks = AsyncIterator[bytes]
Rows = AsyncIterator[list[RawRow]]

# What parts the columns of a spreadsheet's file: a semicolon where the comma is in numbers, a tab from the clipboard.
_DELIMITERS = (";", ",", "\t", "|")
_BOM = b"\xef\xbb\xbf"


class NoHeader(ValueError):
    """Why there is no first line that names the columns: a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Csv:
    header: list[str]
    delimiter: str
    rows: Rows


async def ndjson(chunks: Chunks) -> Rows:
    """Lines that are to be JSON objects."""
    async for rows in _split(Splitter(), chunks):
        yield rows


async def csv_file(chunks: Chunks, encoding: str, delimiter: str | None = None) -> Csv:
    """The records after the first, and what the first says. `delimiter`: none is found out from the first line."""
    begin = b""
    async for chunk in chunks:
        begin += chunk
        if b"\n" in begin or len(begin) > MAX_ROW:
            break
    begin = begin.removeprefix(_BOM)
    delimiter = delimiter or _delimiter_of(begin.partition(b"\n")[0].decode(encoding, "replace"))
    splitter = Splitter(delimiter.encode())
    first = splitter.feed(begin)
    if not first:
        async for chunk in chunks:
            if first := splitter.feed(chunk):
                break
        else:
            first = splitter.end()
    if not first:
        raise NoHeader(
            "There is nothing in it. The first line must name the columns, like external_id;name;phone."
        )
    if first[0].error is not None:
        raise NoHeader(f"The first line must name the columns, but it {first[0].error}.")
    try:
        header = csv_values(first[0].data.decode(encoding), delimiter)
    except UnicodeDecodeError:
        raise NoHeader(f"The first line is not {encoding} text: say which encoding it is.") from None
    return Csv(header, delimiter, _rest(splitter, chunks, first[1:]))


async def _rest(splitter: Splitter, chunks: Chunks, first: list[RawRow]) -> Rows:
    if first:
        yield first
    async for rows in _split(splitter, chunks):
        yield rows


async def _split(splitter: Splitter, chunks: Chunks) -> Rows:
    async for chunk in chunks:
        rows = splitter.feed(chunk)
        if rows or not chunk:
            yield rows
    if rows := splitter.end():
        yield rows


def _delimiter_of(line: str) -> str:
    # A value in quotes may hold any of them; names of columns hardly do.
    return max(_DELIMITERS, key=line.count)
