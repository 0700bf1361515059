"""Whom a call concerns, and how their cards close."""

import pytest

from card_api.agents.directory import Agent, Directory
from card_api.cards.places import places
from shared.contracts.call import Call, Caller, Leg, Transfer, TransferKind, TransferOutcome
from tests.card_api.makers import DIRECTORY, at, call, leg

AGENT_101 = Caller(number="101", endpoint="PJSIP/agent101")


def shown(of: Call) -> dict[str, str]:
    return {
        p.agent.login: p.close_reason.value if p.close_reason else p.state.value
        for p in places(of, DIRECTORY)
    }


@pytest.mark.parametrize(
    ("state", "end", "answered", "expected"),
    [
        ("ringing", None, None, "ringing"),
        ("answered", None, 2, "answered"),
        ("held", None, 2, "held"),
        ("ended", "hangup", 2, "ended"),
        ("ended", "transferred", 2, "transferred"),
        ("ended", "answered_elsewhere", None, "answered_elsewhere"),
        ("ended", "no_answer", None, "no_answer"),
        ("ended", "busy", None, "rejected"),
        ("ended", "rejected", None, "rejected"),
        ("ended", "cancelled", None, "caller_gave_up"),
        ("ended", "failed", None, "no_answer"),
        ("ended", "unknown", None, "no_answer"),
        ("ended", "unknown", 2, "ended"),
    ],
)
def test_the_card_of_a_leg(state: str, end: str | None, answered: float | None, expected: str) -> None:
    assert shown(call(legs=(leg("101", state, end, answered=answered),))) == {"101": expected}


@pytest.mark.parametrize(
    ("end_reason", "expected"), [("abandoned", "caller_gave_up"), ("unknown", "no_answer")]
)
def test_a_leg_left_open_by_an_ended_call_closes_with_it(end_reason: str, expected: str) -> None:
    assert shown(call(state="ended", legs=(leg("101"),), end_reason=end_reason)) == {"101": expected}


def test_ring_all_has_a_card_each() -> None:
    legs = (leg("101", "ended", "answered_elsewhere"), leg("102", "answered", answered=2), leg("104"))
    assert shown(call(legs=legs)) == {"101": "answered_elsewhere", "102": "answered", "104": "ringing"}


def test_a_phone_that_rings_again_opens_the_same_card_again() -> None:
    assert shown(call(legs=(leg("101", "ended", "no_answer"), leg("101", ringing=20)))) == {"101": "ringing"}


def test_a_living_leg_goes_before_a_later_dead_one() -> None:
    legs = (leg("101", "answered", answered=2), leg("101", "ended", "busy", ringing=20))
    assert shown(call(legs=legs)) == {"101": "answered"}


def test_an_endpoint_of_nobody_concerns_nobody() -> None:
    assert shown(call(legs=(leg("999"),))) == {}


def test_a_listener_may_know_the_agent_better_than_the_endpoint() -> None:
    other = Leg(endpoint="SIP/desk-7", agent="102", channel="SIP/desk-7-1")
    assert shown(call(legs=(other,))) == {"102": "ringing"}


def test_an_endpoint_of_this_pbx_goes_before_one_of_any() -> None:
    here = Agent("here", "H", endpoints=(("PJSIP/1", "main"),))
    anywhere = Agent("anywhere", "A", endpoints=(("PJSIP/1", None),))
    directory = Directory.of([anywhere, here])
    assert directory.at("main", "PJSIP/1") == here
    assert directory.at("branch", "PJSIP/1") == anywhere


def test_an_agent_who_was_switched_off_gets_no_cards() -> None:
    gone = Agent("101", "Gone", active=False, endpoints=(("PJSIP/agent101", None),))
    assert places(call(legs=(leg("101"),)), Directory.of([gone])) == []


@pytest.mark.parametrize(
    ("state", "end_reason", "answered", "expected"),
    [
        ("ringing", None, None, "ringing"),
        ("answered", None, 2, "answered"),
        ("held", None, 2, "held"),
        ("ended", "completed", 2, "ended"),
        ("ended", "no_answer", None, "no_answer"),
        ("ended", "abandoned", None, "no_answer"),
        ("ended", "busy", None, "rejected"),
        ("ended", "failed", None, "ended"),
    ],
)
def test_the_card_of_the_agent_who_dials(
    state: str, end_reason: str | None, answered: float | None, expected: str
) -> None:
    dialled = call(
        state=state,
        direction="outbound",
        caller=AGENT_101,
        did="+79003334455",
        end_reason=end_reason,
        answered_at=None if answered is None else at(answered),
        legs=(Leg(endpoint="PJSIP/trunk", channel="PJSIP/trunk-1"),),
    )
    assert shown(dialled) == {"101": expected}


def test_an_outbound_call_passed_on_leaves_the_first_agent() -> None:
    passed = Transfer(
        kind=TransferKind.BLIND,
        by="PJSIP/agent101",
        to="102",
        at=at(9),
        outcome=TransferOutcome.ANSWERED,
    )
    of = call(
        state="answered",
        direction="outbound",
        caller=AGENT_101,
        answered_at=at(2),
        transfers=[passed],
        legs=(leg("102", "answered", answered=9),),
    )
    assert shown(of) == {"101": "transferred", "102": "answered"}


def test_an_internal_call_shows_at_the_called_colleague_only() -> None:
    assert shown(call(direction="internal", caller=AGENT_101, did="102", legs=(leg("102"),))) == {
        "102": "ringing"
    }
