"""Which class carries which event: compared with what a real Asterisk said in every recorded packet."""

from pathlib import Path

from ami_listener.privileges import CLASS_OF, classes_for, events_header, filters
from ami_listener.tracker.events import WANTED
from ami_listener.wire import ACTION_LINE_MAX, AmiFramer

TRACES = Path(__file__).parent.parent / "traces" / "22"


def test_classes_are_those_of_the_recorded_events() -> None:
    compared = set()
    for path in TRACES.glob("*.ami"):
        for event in AmiFramer().feed(path.read_bytes()):
            if event.event in CLASS_OF and "Privilege" in event:
                assert event["Privilege"] == f"{CLASS_OF[event.event]},all"
                compared.add(event.event)
    assert len(compared) > 30


def test_every_event_the_tracker_wants_has_a_class() -> None:
    assert classes_for(WANTED) == {"agent", "call", "dtmf", "user"}


def test_an_unknown_event_asks_for_all() -> None:
    assert events_header(frozenset({"Hangup"})) == "call"
    assert events_header(frozenset({"Hangup", "NeverHeardOf"})) == "on"
    assert events_header(None) == "on"


def test_filters_stay_below_what_asterisk_reads_of_a_line() -> None:
    names = {f"SomeRatherLongEventName{n}" for n in range(200)}
    expressions = filters(names)
    assert len(expressions) > 1
    assert all(len(f"Filter: {e}") < ACTION_LINE_MAX for e in expressions)
    listed = [name for e in expressions for name in e.removeprefix("^Event: (").removesuffix(")").split("|")]
    assert sorted(listed) == sorted(names)
