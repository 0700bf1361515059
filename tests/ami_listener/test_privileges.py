"""Which class carries which event: compared with what a real Asterisk said in every recorded packet."""

import re
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


def test_variables_are_named_in_the_filter_and_bring_no_other() -> None:
    names = frozenset({"CONTRACT", "CAMPAIGN"})
    *events, variables = filters(frozenset({"Hangup", "VarSet"}), names)
    assert events == ["^Event: (Hangup)"]
    # Asterisk's regular expressions are POSIX extended, matched against the whole packet.
    expression = re.compile(variables.replace("[[:cntrl:]]", r"[\x00-\x1f]"), re.DOTALL)
    for name, wanted in [
        ("CONTRACT", True),
        ("__CAMPAIGN", True),
        ("CONTRACT2", False),
        ("MY_CONTRACT", False),
    ]:
        packet = f"Event: VarSet\r\nPrivilege: dialplan,all\r\nVariable: {name}\r\nValue: 1\r\n\r\n"
        assert bool(expression.search(packet)) is wanted
    assert filters(frozenset({"VarSet"})) == ["^Event: (VarSet)"]


def test_many_variables_are_several_filters() -> None:
    names = frozenset(f"A_RATHER_LONG_NAME_OF_A_VARIABLE_{n}" for n in range(100))
    expressions = filters(frozenset({"VarSet"}), names)
    assert len(expressions) > 1
    assert all(len(f"Filter: {e}") < ACTION_LINE_MAX for e in expressions)
    assert sorted("|".join(e.partition("(")[2].partition(")")[0] for e in expressions).split("|")) == sorted(
        names
    )
