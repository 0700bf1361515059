"""What a soak found: calls that are told otherwise than they were, figures, complaints."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console

from services.simulator.compare import Difference

SHOWN = 12
"""Differences printed whole; the others are only counted."""


@dataclass
class Verdict:
    """What a soak found. differing: calls by scenario; shown: the first of them, whole; lines: figures; complaints:
    what else is wrong."""

    compared: int = 0
    differing: Counter[str] = field(default_factory=Counter)
    shown: list[Difference] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def add(self, found: Iterable[Difference]) -> None:
        for one in found:
            self.differing[one.scenario] += 1
            # One of a kind says more than twelve of the same.
            if self.differing[one.scenario] == 1 and len(self.shown) < SHOWN:
                self.shown.append(one)

    def wrong(self, sentence: str) -> None:
        """Something else than a call is not as it should be."""
        self.complaints.append(sentence)

    @property
    def good(self) -> bool:
        return not self.differing and not self.complaints


def report(verdict: Verdict) -> int:
    """Say what was found; the exit code."""
    out = Console(highlight=False, soft_wrap=True)
    for one in verdict.shown:
        out.print(str(one), markup=False)
    for line in verdict.lines:
        out.print(line, markup=False)
    for line in verdict.complaints:
        out.print(line, markup=False)
    if verdict.differing:
        out.print(
            f"{verdict.differing.total()} of {verdict.compared} calls are told otherwise than they were:"
        )
        for scenario, count in verdict.differing.most_common():
            out.print(f"  {count:6} {scenario}", markup=False)
    elif verdict.compared:
        out.print("Every call is told as it was.")
    return 0 if verdict.good else 1
