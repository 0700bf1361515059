"""Started, answered, ended, missed: each once a call, whatever is repeated, left out, reordered or found by two."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from card_api.calls.happened import Standing, happened
from card_api.calls.row import CallRow, call_row
from card_api.events.outbox import Event, EventType
from tests.card_api.makers import DIRECTORY, at, call, update

_STORY: tuple[dict[str, Any], ...] = (
    {"state": "new"},
    {"state": "queued"},
    {"state": "ringing"},
    {"state": "answered", "answered_at": at(5)},
    {"state": "held", "answered_at": at(5)},
    {"state": "ended", "answered_at": at(5), "ended_at": at(60), "end_reason": "completed"},
)
_MISSED: tuple[dict[str, Any], ...] = (
    *_STORY[:3],
    {"state": "ended", "ended_at": at(30), "end_reason": "unknown"},  # ended unseen, by the roster
    {"state": "ringing"},  # it was not over after all
    {"state": "ended", "ended_at": at(40), "end_reason": "abandoned", "missed": True},
)
NOW = at(61)


def row(version: int, **more: Any) -> CallRow:
    said = update(call(**more), version)
    return call_row(said, said.to_json(), DIRECTORY, lambda _: "RU")


class Record:
    """The table, as far as events are concerned: higher versions win; an event id is told once."""

    def __init__(self) -> None:
        self.stored: CallRow | None = None
        self.told: dict[UUID, EventType] = {}

    def store(self, new: CallRow) -> None:
        old = self.stored
        if old is not None and old.columns["version"] >= new.columns["version"]:
            return
        before = (
            None
            if old is None
            else Standing(old.columns["state"], old.columns["answered_at"], old.columns["missed"])
        )
        for found in happened(before, new, NOW):
            self.told.setdefault(found.id, found.type)
        self.stored = new


@example([3, 4, 5], _MISSED)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.sampled_from([_STORY, _MISSED]))
def test_each_once_whatever_is_repeated_left_out_or_late(
    order: Sequence[int], story: Sequence[dict[str, Any]]
) -> None:
    record = Record()
    for index in order:
        record.store(row(index + 1, **story[index]))
    newest = max(order)
    told = list(record.told.values())
    assert len(told) == len(set(told)), "none twice"
    assert told[0] is EventType.CALL_STARTED
    if story is _STORY:
        assert (EventType.CALL_ANSWERED in told) == (newest >= 3)
        assert (EventType.CALL_ENDED in told) == (newest == 5)
        assert EventType.CALL_MISSED not in told
    else:
        assert (EventType.CALL_MISSED in told) == (newest == 5)
        if newest == 5:
            assert EventType.CALL_ENDED in told


def types(events: list[Event]) -> list[str]:
    return [str(e.type) for e in events]


def test_a_call_first_seen_at_its_end_tells_all_of_it_in_order() -> None:
    found = happened(None, row(1, **_STORY[5]), NOW)
    assert types(found) == ["call.started", "call.answered", "call.ended"]
    assert [e.at for e in found] == [at(0), at(5), at(60)]


def test_history_is_nobodys_news() -> None:
    assert happened(None, row(1, **_STORY[5]), at(60) + timedelta(hours=25)) == []
    late = happened(Standing("answered", at(5), False), row(2, **_STORY[5]), at(60) + timedelta(days=9))
    assert types(late) == ["call.ended"], "it was known to go on: its end is news"


def test_an_end_that_turns_out_to_be_missed_says_so() -> None:
    found = happened(Standing("ended", None, False), row(9, **_MISSED[5]), NOW)
    assert types(found) == ["call.missed"]
