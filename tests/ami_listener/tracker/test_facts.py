"""What the dialplan says by UserEvent and by channel variables becomes facts of the call, and nothing else does."""

from datetime import timedelta

import pytest

from ami_listener.message import AmiMessage
from ami_listener.tracker.endpoints import EndpointRules
from ami_listener.tracker.facts import clean
from ami_listener.tracker.tracker import Tracker
from shared.contracts.call import Call, CallEndReason, CallUpdate, LegEndReason, LegState, Presentation
from tests.ami_listener.tracker.recordings import START

CLIENT = "+79001112233"
VARIABLES = frozenset({"MIXMONITOR_FILENAME", "CAMPAIGN", "CALLCARD_CONTRACT", "CALLCARD_PRESENTATION"})


class Caller:
    """A customer in an IVR of a PBX whose dialplan talks to us."""

    def __init__(self, variables: frozenset[str] = VARIABLES) -> None:
        self.tracker = Tracker("pbx", EndpointRules(agents={"PJSIP/phone-a": "anna"}, variables=variables))
        self.at = START
        self.updates: list[CallUpdate] = []
        self.channel = {
            "Channel": "PJSIP/trunk-00000001",
            "ChannelState": "4",
            "CallerIDNum": CLIENT,
            "CallerIDName": "Ivan",
            "Context": "from-pstn",
            "Exten": "+78000000003",
            "Uniqueid": "1.1",
            "Linkedid": "1.1",
        }
        self.say("Newchannel")

    @property
    def call(self) -> Call:
        return self.updates[-1].call

    def say(self, event: str, **headers: str) -> None:
        self.at += timedelta(milliseconds=100)
        self.updates += self.tracker.handle(AmiMessage(Event=event, **{**self.channel, **headers}), self.at)
        assert self.tracker.last_problem is None

    def user_event(self, **facts: str) -> Call:
        self.say("UserEvent", UserEvent="Callcard", **facts)
        return self.call

    def varset(self, name: str, value: str, **channel: str) -> Call:
        self.say("VarSet", Variable=name, Value=value, **channel)
        return self.call


class TestUserEvent:
    def test_a_contract_typed_in_the_menu(self) -> None:
        pbx = Caller()
        assert pbx.user_event(Contract="77-123", Line="2").variables == {"Contract": "77-123"}
        assert pbx.updates[-1].change == "facts"

    def test_names_of_well_known_facts_in_any_case(self) -> None:
        call = Caller().user_event(CONTRACT="1", agent="102", recording="a.wav", Campaign="spring")
        assert call.variables == {"Contract": "1", "Agent": "102", "Campaign": "spring"}
        assert call.recording == "a.wav"

    def test_out_of_hours_both_ways(self) -> None:
        for facts in ({"UserEvent": "OutOfHours"}, {"UserEvent": "Callcard", "Closed": "yes"}):
            pbx = Caller()
            pbx.say("UserEvent", **facts)
            pbx.say("Hangup", Cause="16")
            assert (pbx.call.end_reason, pbx.call.missed) == (CallEndReason.CLOSED, True)

    def test_open_again_is_not_closed(self) -> None:
        pbx = Caller()
        pbx.user_event(Closed="yes")
        pbx.user_event(Closed="no")
        pbx.say("Hangup", Cause="17")
        assert pbx.call.end_reason is CallEndReason.BUSY

    def test_what_is_known_already_is_no_update(self) -> None:
        pbx = Caller()
        pbx.user_event(Contract="1")
        before = len(pbx.updates)
        pbx.user_event(Presentation="allowed_not_screened", Contract="1")
        assert len(pbx.updates) == before

    def test_events_of_others_are_not_ours(self) -> None:
        pbx = Caller()
        pbx.say("UserEvent", UserEvent="Billing", Contract="1")
        assert pbx.call.variables == {}

    def test_without_a_known_channel_it_says_nothing(self) -> None:
        pbx = Caller()
        before = len(pbx.updates)
        pbx.user_event(Uniqueid="9.9", Contract="1")
        assert len(pbx.updates) == before


class TestUnreachablePhone:
    def test_it_is_a_leg_that_failed_and_the_call_is_missed(self) -> None:
        pbx = Caller()
        (leg,) = pbx.user_event(Unreachable="PJSIP/phone-a").legs
        assert (leg.endpoint, leg.agent, leg.state) == ("PJSIP/phone-a", "anna", LegState.ENDED)
        assert (leg.end_reason, leg.ringing_at) == (LegEndReason.FAILED, None)
        pbx.say("Hangup", Cause="20")
        assert (pbx.call.end_reason, pbx.call.missed) == (CallEndReason.FAILED, True)

    def test_a_dial_string_of_several_and_said_twice(self) -> None:
        pbx = Caller()
        pbx.user_event(Unreachable="PJSIP/101&PJSIP/102&rubbish")
        call = pbx.user_event(Unreachable="PJSIP/101")
        assert [(leg.endpoint, leg.agent) for leg in call.legs] == [
            ("PJSIP/101", "101"),
            ("PJSIP/102", "102"),
        ]

    def test_it_is_bounded(self) -> None:
        pbx = Caller()
        for page in range(40):
            pbx.user_event(Unreachable="&".join(f"PJSIP/{page * 50 + n}" for n in range(50)))
        assert len(pbx.call.legs) == 20


class TestWithheldNumber:
    @pytest.mark.parametrize("value", ["prohib_passed_screen", "prohib", "withheld"])
    def test_hidden_from_now_on_and_in_what_was_written(self, value: str) -> None:
        pbx = Caller()
        told = pbx.call
        call = pbx.user_event(Presentation=value)
        assert (call.caller.number, call.caller.name) == (None, None)
        assert call.caller.presentation is Presentation.WITHHELD
        assert CLIENT not in call.to_json().decode()
        assert told.timeline[0].who == CLIENT, "what was told before is not changed behind its reader's back"

    def test_a_number_that_is_set_later_does_not_show_it_again(self) -> None:
        pbx = Caller()
        pbx.user_event(Presentation="prohib")
        pbx.say(
            "NewCallerid", CallerIDNum=CLIENT, **{"CID-CallingPres": "0 (Presentation Allowed, Not Screened)"}
        )
        assert pbx.call.caller.number is None

    def test_allowed_changes_nothing(self) -> None:
        assert Caller().user_event(Presentation="allowed_not_screened").caller.number == CLIENT

    def test_an_agents_phone_does_not_hide_the_customer(self) -> None:
        pbx = Caller()
        agent = {"Channel": "PJSIP/101-2", "Uniqueid": "1.2", "CallerIDNum": "101", "Context": "internal"}
        pbx.say("Newchannel", **{**agent, "ChannelState": "0", "Exten": "s"})
        pbx.user_event(Presentation="prohib", **agent)
        assert pbx.call.caller.number == CLIENT


class TestVariables:
    def test_only_those_that_the_settings_list(self) -> None:
        pbx = Caller()
        pbx.varset("DIALSTATUS", "ANSWER")
        assert pbx.varset("CAMPAIGN", "spring").variables == {"CAMPAIGN": "spring"}
        assert Caller(frozenset()).varset("CAMPAIGN", "spring").variables == {}

    def test_callcard_variables_say_what_user_events_say(self) -> None:
        assert Caller().varset("CALLCARD_CONTRACT", "77-123").variables == {"Contract": "77-123"}
        assert Caller().varset("CALLCARD_PRESENTATION", "prohib").caller.number is None

    def test_what_channels_inherit_is_no_news(self) -> None:
        pbx = Caller()
        pbx.varset("__CAMPAIGN", "spring")
        before = len(pbx.updates)
        pbx.varset("_CAMPAIGN", "spring")
        assert len(pbx.updates) == before

    def test_emptied_it_is_forgotten(self) -> None:
        pbx = Caller()
        pbx.varset("CAMPAIGN", "spring")
        assert pbx.varset("CAMPAIGN", "").variables == {}

    def test_the_recording_is_the_first_file_unless_the_dialplan_says(self) -> None:
        pbx = Caller()
        pbx.varset("MIXMONITOR_FILENAME", "/spool/1.wav")
        assert pbx.varset("MIXMONITOR_FILENAME", "/spool/2.wav").recording == "/spool/1.wav"
        call = pbx.user_event(Recording="archive/1.mp3")
        assert (call.recording, call.variables) == ("archive/1.mp3", {})

    def test_a_global_variable_belongs_to_no_call(self) -> None:
        pbx = Caller()
        pbx.varset("CAMPAIGN", "spring", Channel="none", Uniqueid="none")
        assert pbx.call.variables == {}


class TestHostileValues:
    def test_control_characters_length_and_count(self) -> None:
        pbx = Caller()
        call = pbx.user_event(
            Contract="1\r\nEvent: Hangup\x00\u202e2",
            Long="x" * 70_000,
            **{f"Key{n}": "v" for n in range(100)},
        )
        assert len(call.variables) == 32
        assert call.variables["Contract"] == "1  Event: Hangup  2"
        assert len(call.variables["Long"]) == 500

    def test_names_that_are_none(self) -> None:
        call = Caller().user_event(**{"a b": "1", "<script>": "1", "x" * 65: "1", "Ключ": "1", "-": "1"})
        assert call.variables == {}

    def test_a_full_call_still_takes_news_of_what_it_has(self) -> None:
        pbx = Caller()
        pbx.user_event(**{f"Key{n}": "v" for n in range(32)})
        call = pbx.user_event(Key5="new", Another="x")
        assert (call.variables["Key5"], len(call.variables)) == ("new", 32)

    @pytest.mark.parametrize(("value", "shown"), [(" a\tb ", "a b"), ("Иванов", "Иванов"), ("\n", "")])
    def test_clean(self, value: str, shown: str) -> None:
        assert clean(value) == shown
