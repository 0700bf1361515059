"""What a benchmark says: figures of one run, beside what they are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. `ratio` is the figure that counts; `good` says whether it meets `target` (a sentence)."""

    what: str
    ours: str
    beside: str
    ratio: float
    target: str
    good: bool


def show(rows: Sequence[Row]) -> bool:
    """Print the table on stdout; True if every target is met."""
    table = Table("what", "ours", "beside", "ratio", "target", "")
    for row in rows:
        table.add_row(
            row.what, row.ours, row.beside, f"{row.ratio:.2f}×", row.target, "ok" if row.good else "MISSED"
        )
    Console(width=150, highlight=False).print(table)
    return all(row.good for row in rows)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0–1) of them lie. Raises ValueError when there is none."""
    if not values:
        raise ValueError("no values were measured")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
