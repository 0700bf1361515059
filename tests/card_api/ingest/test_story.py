"""The events of a call as the call they tell: examples, and any order and number of the same events."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ami_listener.invariants import of_call
from card_api.ingest.known import KEPT_AFTER_END, Known, give_up, take
from card_api.ingest.schemas import CallEvent
from card_api.ingest.story import story
from shared.contracts.call import Call
from tests.card_api.makers import NOON, at

ID = "kazan-7"


def event(type_: str, seconds: float = 0, **more: Any) -> CallEvent:
    return CallEvent.model_validate(
        {"pbx": "kazan", "call_id": "7", "type": type_, "at": at(seconds), **more}
    )


def told(*events: CallEvent) -> Call:
    call = story(ID, events, "RU")
    assert of_call(call) == []
    return call


CALLER: dict[str, Any] = {"from": "8 (900) 111-22-33", "to": "8 843 200-00-00", "name": "IVANOV"}


class TestInbound:
    def test_from_the_ring_to_the_end(self) -> None:
        call = told(
            event("started", 0, **CALLER, direction="inbound", variables={"LANG": "tt"}),
            event("digits", 2, digits="1", menu="main"),
            event("queued", 3, queue="support", position=2),
            event("ringing", 5, agent="101", endpoint="SIP/101"),
            event("ringing", 5, agent="102"),
            event("answered", 9, agent="102"),
            event("held", 20, agent="102"),
            event("resumed", 30),
            event("ended", 60),
        )
        assert (call.call_id, call.pbx, call.direction, call.state) == (ID, "kazan", "inbound", "ended")
        assert (call.caller.number, call.caller.name, call.did) == ("+79001112233", "IVANOV", "+78432000000")
        assert call.queue is not None
        assert (call.queue.outcome, call.queue.left_at) == ("answered", at(9))
        assert [(leg.endpoint, leg.agent, leg.end_reason) for leg in call.legs] == [
            ("SIP/101", "101", "answered_elsewhere"),
            ("102", "102", "hangup"),
        ]
        assert (call.started_at, call.answered_at, call.ended_at) == (at(0), at(9), at(60))
        assert (call.end_reason, call.missed, call.gap) == ("completed", False, False)
        assert [(h.by, h.started_at, h.ended_at) for h in call.holds] == [("102", at(20), at(30))]
        assert [d.digits for d in call.digits] == ["1"]
        assert call.variables == {"LANG": "tt"}
        assert [entry.what for entry in call.timeline] == [
            *("arrived", "digits", "queued", "ringing", "ringing", "answered", "held", "resumed", "ended")
        ]

    def test_each_state_on_the_way(self) -> None:
        events = [
            event("started", 0, **CALLER),
            event("digits", 1, digits="1"),
            event("queued", 2, queue="q"),
            event("ringing", 3, agent="101"),
            event("answered", 4, agent="101"),
            event("held", 5),
            event("resumed", 6),
            event("ended", 7),
        ]
        states = [told(*events[: n + 1]).state for n in range(len(events))]
        assert states == ["new", "ivr", "queued", "ringing", "answered", "held", "answered", "ended"]
        assert [told(*events[: n + 1]).talking_to for n in (3, 4, 7)] == [None, "101", None]

    @pytest.mark.parametrize(
        ("reason", "is_", "leg", "queue"),
        [
            (None, "abandoned", "cancelled", "abandoned"),
            ("abandoned", "abandoned", "cancelled", "abandoned"),
            ("cancelled", "abandoned", "cancelled", "abandoned"),
            ("no_answer", "no_answer", "no_answer", "timeout"),
            ("busy", "busy", "busy", "left"),
            ("rejected", "rejected", "rejected", "left"),
            ("failed", "failed", "failed", "left"),
            ("closed", "closed", "cancelled", "left"),
        ],
    )
    def test_missed_for_each_reason(self, reason: str | None, is_: str, leg: str, queue: str) -> None:
        call = told(
            event("started", **CALLER),
            event("queued", 1, queue="q"),
            event("ringing", 2, agent="101"),
            event("ended", 9, reason=reason),
        )
        assert call.queue is not None
        assert (call.end_reason, call.legs[0].end_reason, call.queue.outcome) == (is_, leg, queue)
        assert call.missed

    def test_a_phone_that_stops_ringing_ends_nothing_else(self) -> None:
        call = told(
            event("started", **CALLER),
            event("ringing", 1, agent="101"),
            event("stopped", 9, agent="101", reason="rejected"),
            event("ringing", 9, agent="102"),
        )
        assert (call.state, [leg.end_reason for leg in call.legs]) == ("ringing", ["rejected", None])

    def test_a_transfer_and_what_came_of_it(self) -> None:
        begin = (event("started", **CALLER), event("answered", 1, agent="101"))
        passed = event("transferred", 10, agent="101", to="102", kind="attended")
        rings = event("ringing", 11, agent="102")
        taken = told(*begin, passed, rings, event("answered", 12, agent="102"), event("ended", 20))
        assert [(t.kind, t.by, t.to, t.outcome) for t in taken.transfers] == [
            ("attended", "101", "102", "answered")
        ]
        assert [leg.end_reason for leg in taken.legs] == ["transferred", "hangup"]
        gone = told(*begin, passed, rings, event("ended", 15))
        assert (gone.transfers[0].outcome, gone.end_reason, gone.missed) == ("cancelled", "completed", False)
        assert told(*begin, passed, rings).state == "ringing"

    @pytest.mark.parametrize(
        ("said", "number", "presentation"),
        [
            ("anonymous", None, "withheld"),
            (None, None, "unavailable"),
            ("", None, "unavailable"),
            ("493055571600", "+493055571600", "allowed"),
            ("101", "101", "allowed"),
            ("'; drop table calls; --\0\u202e", "'; drop table calls; --", "allowed"),
        ],
    )
    def test_who_calls(self, said: str | None, number: str | None, presentation: str) -> None:
        caller = told(event("started", 0, **{"from": said})).caller
        assert (caller.number, caller.presentation) == (number, presentation)

    def test_what_was_not_told_is_filled_by_the_least(self) -> None:
        assert told(event("answered", 5, agent="101", **CALLER)).legs[0].answered_at == at(5)
        unnamed = told(
            event("started", **CALLER), event("ringing", 1), event("answered", 2), event("ended", 3)
        )
        assert [(leg.endpoint, leg.end_reason) for leg in unnamed.legs] == [("+78432000000", "hangup")]
        assert told(event("ended", 3, **CALLER)).missed

    def test_completed_without_an_answer_is_not_known(self) -> None:
        call = told(event("started", **CALLER), event("ended", 9, reason="completed"))
        assert (call.end_reason, call.missed, call.gap) == ("unknown", False, True)

    def test_what_comes_after_the_end_changes_nothing(self) -> None:
        events = (event("started", **CALLER), event("ended", 5))
        assert told(*events, event("answered", 6, agent="101"), event("ended", 9)) == told(*events)


class TestOutbound:
    def test_the_agent_is_the_caller_the_customer_the_leg(self) -> None:
        call = told(
            event(
                "started", 0, **{"from": "+78432000000"}, to="89001112233", direction="outbound", agent="101"
            ),
            event("ringing", 2),
            event("answered", 6, agent="101"),
            event("ended", 60, agent="101"),
        )
        assert (call.caller.number, call.did) == ("101", "+79001112233")
        assert [(leg.endpoint, leg.agent, leg.end_reason) for leg in call.legs] == [
            ("+79001112233", None, "hangup")
        ]
        assert (call.answered_at, call.end_reason, call.missed) == (at(6), "completed", False)

    def test_nobody_there(self) -> None:
        begin = event("started", to="89001112233", direction="outbound", agent="101")
        given_up = told(begin, event("ringing", 2), event("ended", 9, reason="abandoned"))
        assert (given_up.end_reason, given_up.missed) == ("no_answer", False)
        assert told(begin, event("ended", 9, reason="busy")).end_reason == "busy"

    def test_passed_on_to_a_colleague(self) -> None:
        call = told(
            event("started", to="89001112233", direction="outbound", agent="101"),
            event("answered", 2),
            event("transferred", 9, agent="101", to="102"),
            event("ringing", 10, agent="102"),
            event("answered", 11, agent="102"),
        )
        assert [(leg.endpoint, leg.state) for leg in call.legs] == [
            ("+79001112233", "answered"),
            ("102", "answered"),
        ]
        assert [(t.by, t.outcome) for t in call.transfers] == [("101", "answered")]


# --- any order, any number --------------------------------------------------------------------------------------

_NAMES = st.sampled_from(["101", "102", None])
_MORE: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "started": st.fixed_dictionaries({"from": st.sampled_from(["+79001112233", "anonymous"])}),
    "queued": st.fixed_dictionaries({"queue": st.sampled_from(["a", "b"])}),
    "digits": st.fixed_dictionaries({"digits": st.sampled_from(["1", "2#"])}),
    "transferred": st.fixed_dictionaries({"to": st.sampled_from(["102", "b"])}),
    "ended": st.fixed_dictionaries({"reason": st.sampled_from([None, "completed", "busy", "no_answer"])}),
}
_KINDS = [
    "started",
    "digits",
    "queued",
    "ringing",
    "answered",
    "held",
    "resumed",
    "transferred",
    "stopped",
    "ended",
]


@st.composite
def _events(draw: st.DrawFn) -> list[CallEvent]:
    direction = draw(st.sampled_from(["inbound", "outbound", "internal"]))
    found = []
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(_KINDS))
        more = draw(_MORE.get(kind, st.just({})))
        found.append(event(kind, draw(st.integers(0, 9)), agent=draw(_NAMES), direction=direction, **more))
    return found


def _all_taken(events: Sequence[CallEvent], bites: int) -> Known:
    known = Known(call_id=ID, pbx="kazan", touched=NOON)
    version = 0
    for start in range(0, len(events), bites):
        taken = take(known, events[start : start + bites], "RU", at(10))
        if taken.update is not None:
            assert taken.update.version > version
            version = taken.update.version
            assert of_call(taken.update.call) == []
        known = Known.model_validate_json(taken.known.to_json())
    return known


@given(_events(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(
    events: list[CallEvent], bites: int, chance: random.Random
) -> None:
    in_order = story(ID, _all_taken(events, len(events)).events, "RU")
    shuffled = events + [chance.choice(events) for _ in range(3)]
    chance.shuffle(shuffled)
    assert story(ID, _all_taken(shuffled, bites).events, "RU") == in_order


class TestKnown:
    def known(self, *events: CallEvent, now: datetime = NOON) -> Known:
        return take(Known(call_id=ID, pbx="kazan", touched=now), events, "RU", now).known

    def test_what_becomes_of_each_event(self) -> None:
        ring = event("ringing", 1, agent="101")
        known = self.known(event("started", **CALLER), ring)
        taken = take(known, [ring, event("ended", 5), event("answered", 9)], "RU", at(9))
        assert taken.statuses == ["repeated", "accepted", "accepted"]
        assert taken.update is not None
        again = take(taken.known, [event("held", 10), event("ended", 5)], "RU", at(11))
        assert (again.statuses, again.update) == (["late", "repeated"], None)

    def test_an_id_is_taken_once_whatever_it_says(self) -> None:
        known = self.known(event("started", id="a", **CALLER))
        taken = take(known, [event("ended", 9, id="a")], "RU", at(9))
        assert (taken.statuses, taken.update) == (["repeated"], None)

    def test_a_call_that_never_stops_talking_is_refused(self) -> None:
        known = self.known(*(event("digits", n / 100, digits="1") for n in range(500)))
        assert take(known, [event("digits", 9, digits="2")], "RU", at(9)).statuses == ["refused"]
        assert take(known, [event("ended", 9)], "RU", at(9)).statuses == ["accepted"]

    def test_silence_ends_it_and_the_true_end_corrects_that(self) -> None:
        known = self.known(event("started", **CALLER), event("answered", 5, agent="101"))
        late = at(5) + timedelta(hours=4)
        given = give_up(known, "RU", late)
        assert given is not None
        assert given.update is not None
        call = given.update.call
        assert (call.end_reason, call.ended_at, call.gap, call.missed) == ("unknown", at(5), True, False)
        assert of_call(call) == []
        assert give_up(given.known, "RU", late) is None, "from then on it may be forgotten"
        assert given.due == late + KEPT_AFTER_END
        held = take(given.known, [event("held", 60)], "RU", late)
        assert held.statuses == ["accepted"]
        true = take(given.known, [event("ended", 90)], "RU", late)
        assert true.update is not None
        assert (true.update.call.end_reason, true.update.call.ended_at) == ("completed", at(90))
        assert true.update.version > given.update.version

    def test_history_that_comes_late_does_not_ring(self) -> None:
        known = Known(call_id=ID, pbx="kazan", touched=NOON)
        taken = take(known, [event("ringing", 0, agent="101", **CALLER)], "RU", at(86400))
        assert taken.update is not None
        assert taken.update.call.state == "ended"

    def test_it_goes_on_from_what_the_record_has(self) -> None:
        before = told(
            event("started", **CALLER), event("digits", 1, digits="1"), event("ringing", 2, agent="101")
        )
        known = Known(call_id=ID, pbx="kazan", base=before, version=77, touched=NOON)
        taken = take(known, [event("digits", 1, digits="1"), event("answered", 5, agent="101")], "RU", at(5))
        assert taken.update is not None
        assert taken.update.version > 77
        call = taken.update.call
        assert (call.state, call.caller.number, len(call.digits), len(call.legs)) == (
            "answered",
            "+79001112233",
            1,
            1,
        )
