"""The rows of an import that failed: what a person is shown, and the file to correct."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from card_api.customers.bulk.load import Report
from card_api.customers.bulk.rows import csv_values

# A screenful. The others are in the file.
_SHOWN = 20
_KINDS = 10
_PLACE = re.compile(r"\.\d+(?=\.|$)")


class FailedRows:
    """`add` what failed; `show` at the end. Values are never shown: they are names and numbers; the file has them, as
    the rows themselves do."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[Report] = []
        self._kinds: Counter[str] = Counter()

    def add(self, report: Report) -> None:
        self.count += 1
        if len(self._first) < _SHOWN:
            self._first.append(report)
        for error in report.errors:
            field, what = _parts(error)
            self._kinds[f"{_PLACE.sub('', field)}: {what}" if field else what] += 1

    def show(self, out: Console) -> None:
        if not self.count:
            return
        table = Table("line", "customer", "field", "what is wrong", title_justify="left")
        for report in self._first:
            for error in report.errors[:3]:
                table.add_row(str(report.line), report.external_id or "", *_parts(error))
        out.print(table)
        if self.count > len(self._first):
            out.print(f"… and {self.count - len(self._first):,} more. All of them by kind:")
            for kind, times in self._kinds.most_common(_KINDS):
                out.print(f"  {times:>9,}  {kind}", markup=False)


class ErrorFile:
    """The failed rows as CSV: `line`, `reason`, then the row's own columns, so that it can be corrected and loaded. To
    be used in a `with` block; without a path it writes nothing. Raises OSError."""

    def __init__(
        self, path: Path | None, header: Sequence[str] | None, delimiter: str, encoding: str
    ) -> None:
        self._path = path
        self._header = header
        self._delimiter = delimiter
        self._encoding = encoding
        self._stack = ExitStack()

    def __enter__(self) -> "ErrorFile":
        if self._path is not None:
            file = self._stack.enter_context(
                self._path.open("w", newline="", encoding="utf-8-sig")
            )  # for Excel
            self._writer = csv.writer(file, delimiter=self._delimiter)
            self._writer.writerow(["line", "reason", *(self._header or ["row"])])
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, report: Report, row: bytes) -> None:
        if self._path is None:
            return
        text = row.decode(self._encoding, "replace")
        try:
            values = [text] if self._header is None else csv_values(text, self._delimiter)
        except csv.Error:
            values = [text]
        self._writer.writerow([report.line, "; ".join(report.errors), *values])


def _parts(error: str) -> tuple[str, str]:
    """`phones.0.number: is empty` → its field and what."""
    field, colon, what = error.partition(": ")
    return (field, what) if colon and " " not in field else ("", error)
