"""Bytes into rows: the same whatever the chunks, what the csv module reads, and never more than a row in memory."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from card_api.customers.bulk.rows import csv_values
from card_api.customers.bulk.text import MAX_ROW, RawRow, Splitter

CHUNKS = st.lists(st.integers(1, 9), min_size=1, max_size=40)


def split(data: bytes, delimiter: bytes | None = None, sizes: list[int] | None = None) -> list[RawRow]:
    splitter, rows, at = Splitter(delimiter), [], 0
    for size in sizes or [len(data) or 1]:
        rows += splitter.feed(data[at : at + size])
        at += size
    rows += splitter.feed(data[at:])
    return rows + splitter.end()


def test_lines_have_their_numbers_and_empty_ones_are_none() -> None:
    assert split(b'{"a":1}\r\n\n  \n{"b":2}') == [RawRow(1, b'{"a":1}'), RawRow(4, b'{"b":2}')]


def test_a_value_in_quotes_may_hold_line_ends() -> None:
    data = b'1,"two\nlines ""quoted"" ",x\n2,b,y\n'
    assert split(data, b",") == [RawRow(1, b'1,"two\nlines ""quoted"" ",x'), RawRow(3, b"2,b,y")]


def test_a_quote_within_a_word_opens_nothing() -> None:
    rows = split('1;ООО "Ромашка;+7\n2;5" труба;\n'.encode(), b";")
    assert [row.line for row in rows] == [1, 2]


def test_rows_of_nothing_but_delimiters_are_none() -> None:
    assert split(b"1;a\n;;\n;\n", b";") == [RawRow(1, b"1;a")]


def test_a_row_without_end_is_one_error_and_the_next_row_is_read() -> None:
    rows = split(b"a\n" + b"x" * (3 * MAX_ROW) + b"\nb\n", sizes=[70_000] * 9)
    assert [(row.line, row.data, bool(row.error)) for row in rows] == [
        (1, b"a", False),
        (2, b"", True),
        (3, b"b", False),
    ]


def test_memory_stays_that_of_a_row() -> None:
    splitter = Splitter()
    for _ in range(100):
        assert splitter.feed(b"x" * 100_000) == []
    assert len(splitter._part) <= MAX_ROW + 100_000


def test_a_quote_that_nobody_closes_costs_the_lines_within_the_limit_and_says_which() -> None:
    line = b"2,b" + b"y" * 1000 + b"\n"
    rows = split(b'1,"a\n' + line * 400, b",")
    assert rows[0].error is not None and "lines 1 to 263 were not read" in rows[0].error
    assert [row.line for row in rows[1:]] == list(range(264, 402))


def test_the_last_row_may_have_an_open_quote() -> None:
    (row,) = split(b'1,"a', b",")
    assert row.error == "a quote is opened here and not closed"


@given(st.text('a",\n', max_size=60), CHUNKS)
def test_records_are_those_of_the_csv_module_whatever_the_chunks(text: str, sizes: list[int]) -> None:
    rows = split(text.encode(), b",", sizes)
    read = [csv_values(row.data.decode(), ",") for row in rows if row.error is None]
    whole = list(csv.reader(io.StringIO(text, newline="")))
    if any(row.error for row in rows):
        whole = whole[:-1]  # the csv module takes a value whose quote is open at the end
    assert [values for values in read if any(values)] == [values for values in whole if any(values)]
