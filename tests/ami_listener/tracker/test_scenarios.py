"""Calls that the recordings do not hold, in the events a PBX sends for them."""

from datetime import timedelta

import pytest

from shared.contracts.call import (
    CallEndReason,
    CallState,
    Direction,
    LegEndReason,
    Presentation,
    QueueOutcome,
    TransferKind,
    TransferOutcome,
)
from tests.ami_listener.tracker.pbx import CLIENT, Pbx, legs, transfers


class TestArrivals:
    def test_chan_sip_shows_a_caller_as_down_first(self) -> None:
        pbx = Pbx()
        pbx.new(1, "SIP/provider", cid=CLIENT, context="from-trunk", exten="s")
        assert pbx.updates == []
        pbx.state(1, 4)
        (call,) = pbx.calls()
        assert (call.direction, call.caller.number, call.did) == (Direction.INBOUND, CLIENT, None)

    def test_number_that_comes_late(self) -> None:
        pbx = Pbx()
        pbx.customer(cid="<unknown>")
        pbx.say("NewCallerid", **{**pbx.channels[1], "CallerIDNum": CLIENT, "CallerIDName": "Анна"})
        (call,) = pbx.calls()
        assert (call.caller.number, call.caller.name) == (CLIENT, "Анна")

    def test_rewritten_number_is_not_the_callers(self) -> None:
        pbx = Pbx()
        pbx.customer()
        pbx.say("NewCallerid", **{**pbx.channels[1], "CallerIDNum": "+78430000000"})
        assert pbx.calls()[0].caller.number == CLIENT

    def test_prohibited_number_stays_withheld(self) -> None:
        pbx = Pbx()
        pbx.customer()
        pres = {"CID-CallingPres": "35 (Presentation Prohibited, Network Number)"}
        pbx.say("NewCallerid", **pbx.channels[1], **pres)
        caller = pbx.calls()[0].caller
        assert (caller.number, caller.presentation) == (None, Presentation.WITHHELD)

    def test_message_channel_is_no_call(self) -> None:
        pbx = Pbx()
        pbx.new(1, "Message/ast_msg_queue", exten="101", state=6)
        assert not any(pbx.tracker.size().values())

    def test_facts_from_the_dialplan(self) -> None:
        pbx = Pbx()
        pbx.customer()
        pbx.say("UserEvent", **pbx.channels[1], UserEvent="Callcard", Contract="77-123", Recording="a.wav")
        (call,) = pbx.calls()
        assert (call.variables, call.recording) == ({"Contract": "77-123"}, "a.wav")

    def test_keys_are_the_callers_and_counted_once(self) -> None:
        """A Local half repeats what went in at its other end; the agent's keys are feature codes."""
        pbx = Pbx()
        pbx.customer()
        pbx.state(1, 6)
        pbx.new(10, "Local/101@agents;1", of=1, exten="101")
        pbx.phone(2, 101, of=1)
        pbx.dial(1, 2)
        for number in (1, 10, 2):
            pbx.say("DTMFEnd", **pbx.channels[number], Digit="5", Direction="Received")
        pbx.say("DTMFEnd", **pbx.channels[1], Digit="7", Direction="Received")
        pbx.answer(1, 2)
        pbx.say("DTMFEnd", **pbx.channels[1], Digit="9", Direction="Received")
        assert [(pressed.menu, pressed.digits) for pressed in pbx.calls()[0].digits] == [("from-pstn", "57")]


class TestEnds:
    def test_no_other_state_flickers_up_at_the_end(self) -> None:
        pbx = TestTransfers().talking()
        pbx.gives_up(1)
        pbx.hang_up(2)
        assert pbx.calls()[0].state is CallState.ANSWERED
        pbx.hang_up(1)
        assert pbx.over()[0].state is CallState.ENDED

    def test_voice_mail_is_nobody(self) -> None:
        """The direct number rang out and the voice mail took over: nobody of ours talked."""
        pbx = Pbx()
        pbx.customer()
        pbx.phone(2, 101, of=1)
        pbx.dial(1, 2)
        pbx.dialled(1, 2, "NOANSWER")
        pbx.hang_up(2)
        pbx.state(1, 6)
        assert pbx.calls()[0].state is CallState.IVR
        pbx.gives_up(1)
        pbx.hang_up(1)
        (call,) = pbx.over()
        assert (call.end_reason, call.missed, call.answered_at) == (CallEndReason.NO_ANSWER, True, None)

    def test_forwarded_to_a_mobile_and_answered_is_not_missed(self) -> None:
        pbx = Pbx()
        pbx.customer()
        pbx.trunk_leg(2, of=1)
        pbx.dial(1, 2, "+79005550000@trunk")
        pbx.answer(1, 2)
        pbx.hang_up(2, 1)
        (call,) = pbx.over()
        assert (call.direction, call.missed) == (Direction.INBOUND, False)
        assert call.end_reason is CallEndReason.COMPLETED

    def test_caller_who_left_without_a_hangup_request(self) -> None:
        """The event was lost, or the channel driver sends none."""
        pbx = Pbx()
        pbx.customer()
        pbx.phone(2, 101, of=1)
        pbx.dial(1, 2)
        pbx.hang_up(1, 2)
        (call,) = pbx.over()
        assert (call.end_reason, legs(call)) == (CallEndReason.ABANDONED, [("101", LegEndReason.CANCELLED)])

    def test_overflow_from_one_queue_to_another(self) -> None:
        pbx = Pbx()
        pbx.customer()
        pbx.state(1, 6)
        pbx.queue("QueueCallerJoin", 1, "support", Position="1")
        pbx.queue("QueueCallerAbandon", 1, "support")
        pbx.queue("QueueCallerLeave", 1, "support")
        assert pbx.calls()[0].queue.outcome is QueueOutcome.TIMEOUT  # type: ignore[union-attr]
        pbx.queue("QueueCallerJoin", 1, "billing", Position="3")
        assert pbx.calls()[0].state is CallState.QUEUED
        pbx.phone(2, 104, of=1)
        pbx.dial(1, 2)
        pbx.state(2, 6)
        pbx.dialled(1, 2, "ANSWER")
        pbx.queue("QueueCallerLeave", 1, "billing")
        pbx.queue("AgentConnect", 1, "billing", **pbx.dest(2))
        pbx.bridge(2, 1)
        pbx.hang_up(1, 2)
        (call,) = pbx.over()
        assert call.queue is not None
        assert (call.queue.name, call.queue.outcome) == ("billing", QueueOutcome.ANSWERED)
        assert (call.end_reason, call.missed) == (CallEndReason.COMPLETED, False)

    @pytest.mark.parametrize(
        ("answered", "cause", "reason"),
        [
            (True, 16, CallEndReason.CLOSED),  # a message was played
            (False, 16, CallEndReason.CLOSED),
            (False, 19, CallEndReason.NO_ANSWER),  # Dial() of a phone that is not registered, then Hangup(19)
            (False, 17, CallEndReason.BUSY),
            (False, 21, CallEndReason.REJECTED),  # a black list
            (False, 20, CallEndReason.FAILED),
        ],
    )
    def test_dialplan_lets_a_caller_go_without_ringing_anybody(
        self, answered: bool, cause: int, reason: CallEndReason
    ) -> None:
        pbx = Pbx()
        pbx.customer()
        if answered:
            pbx.state(1, 6)
        pbx.hang_up(1, cause=cause)
        (call,) = pbx.over()
        assert (call.end_reason, call.missed) == (reason, True)

    def test_an_hour_in_the_queue_keeps_the_call_small(self) -> None:
        pbx = Pbx()
        pbx.customer()
        pbx.queue("QueueCallerJoin", 1, "support", Position="1")
        for number in range(2, 302):
            pbx.phone(number, 101, of=1)
            pbx.dial(1, number)
            pbx.dialled(1, number, "NOANSWER")
            pbx.hang_up(number)
        pbx.gives_up(1)
        pbx.hang_up(1)
        (call,) = pbx.over()
        assert len(call.legs) == 200
        assert len(call.timeline) == 400
        assert (call.timeline[0].what, call.timeline[-1].what) == ("arrived", "ended")

    def test_gave_up_after_the_queue_had_given_up(self) -> None:
        """While "nobody is available" plays: the queue failed the caller, not the other way round."""
        pbx = Pbx()
        pbx.customer()
        pbx.state(1, 6)
        pbx.queue("QueueCallerJoin", 1, "support", Position="1")
        pbx.queue("QueueCallerAbandon", 1, "support")
        pbx.queue("QueueCallerLeave", 1, "support")
        pbx.gives_up(1)
        pbx.hang_up(1)
        assert pbx.over()[0].end_reason is CallEndReason.NO_ANSWER


class TestOutbound:
    def outbound(self) -> Pbx:
        pbx = Pbx()
        pbx.agent_dials(1, 101, "+79003334455")
        pbx.trunk_leg(2, of=1)
        pbx.dial(1, 2, "+79003334455@trunk")
        pbx.answer(1, 2)
        assert pbx.calls()[0].talking_to == "PJSIP/trunk"
        return pbx

    def test_customer_is_passed_on_blind(self) -> None:
        pbx = self.outbound()
        pbx.blind(1, 2, "102")
        pbx.hang_up(1)
        pbx.phone(3, 102, of=1)
        pbx.dial(2, 3)
        assert pbx.calls()[0].state is CallState.RINGING
        pbx.answer(2, 3)
        (call,) = pbx.calls()
        assert (call.state, call.talking_to) == (CallState.ANSWERED, "PJSIP/agent102")
        pbx.hang_up(3, 2)
        (call,) = pbx.over()
        assert (call.direction, call.did, call.caller.number) == (Direction.OUTBOUND, "+79003334455", "101")
        assert transfers(call) == [(TransferKind.BLIND, "PJSIP/agent101", "102", TransferOutcome.ANSWERED)]
        assert call.end_reason is CallEndReason.COMPLETED

    def test_customer_is_passed_on_attended(self) -> None:
        pbx = self.outbound()
        pbx.agent_dials(3, 101, "102")
        pbx.phone(4, 102, of=3)
        pbx.dial(3, 4)
        pbx.answer(3, 4)
        pbx.leave(1, "bridge-1")
        pbx.link(4, 1)
        pbx.bridge(4, to="bridge-1", swap=1)
        pbx.attended(1, 3, 2, 4)
        pbx.hang_up(1, 3)
        outbound, consultation = pbx.calls()
        assert (outbound.state, outbound.talking_to) == (CallState.ANSWERED, "PJSIP/agent102")
        assert consultation.end_reason is CallEndReason.COMPLETED
        pbx.hang_up(2, 4)
        assert len(pbx.over()) == 2

    def test_dialer_calls_the_customer_first(self) -> None:
        pbx = Pbx()
        pbx.trunk_leg(1, of=1)
        pbx.dial(None, 1, "+79003334455@trunk")
        (call,) = pbx.calls()
        assert (call.direction, call.did, call.state) == (
            Direction.OUTBOUND,
            "+79003334455",
            CallState.RINGING,
        )
        pbx.dialled(None, 1, "ANSWER")
        pbx.phone(2, 101, of=1)
        pbx.dial(1, 2)
        pbx.answer(1, 2)
        (call,) = pbx.calls()
        assert (call.state, call.talking_to) == (CallState.ANSWERED, "PJSIP/agent101")
        pbx.hang_up(1, 2)
        assert pbx.over()[0].end_reason is CallEndReason.COMPLETED

    def test_click_to_call_of_a_colleague_is_internal(self) -> None:
        pbx = Pbx()
        pbx.phone(1, 101, of=1)
        pbx.dial(None, 1)
        pbx.dialled(None, 1, "ANSWER")
        pbx.phone(2, 102, of=1)
        pbx.dial(1, 2)
        pbx.answer(1, 2)
        (call,) = pbx.calls()
        assert (call.direction, call.did, call.caller.number) == (Direction.INTERNAL, "102", "101")


class TestTransfers:
    def talking(self) -> Pbx:
        pbx = Pbx()
        pbx.customer()
        pbx.phone(2, 101, of=1)
        pbx.dial(1, 2)
        pbx.answer(1, 2)
        return pbx

    def test_several_in_a_row(self) -> None:
        pbx = self.talking()
        pbx.blind(2, 1, "102")
        pbx.hang_up(2)
        pbx.phone(3, 102, of=1)
        pbx.dial(1, 3)
        pbx.answer(1, 3)
        pbx.blind(3, 1, "103")
        pbx.hang_up(3)
        pbx.phone(4, 103, of=1)
        pbx.dial(1, 4)
        pbx.dialled(1, 4, "BUSY")
        pbx.hang_up(4, cause=17)
        pbx.hang_up(1)
        (call,) = pbx.over()
        assert transfers(call) == [
            (TransferKind.BLIND, "PJSIP/agent101", "102", TransferOutcome.ANSWERED),
            (TransferKind.BLIND, "PJSIP/agent102", "103", TransferOutcome.BUSY),
        ]
        assert legs(call) == [
            ("101", LegEndReason.TRANSFERRED),
            ("102", LegEndReason.TRANSFERRED),
            ("103", LegEndReason.BUSY),
        ]
        assert (call.end_reason, call.missed) == (CallEndReason.COMPLETED, False)

    def test_the_same_transfer_told_twice_is_one(self) -> None:
        pbx = self.talking()
        pbx.blind(2, 1, "102")
        pbx.blind(2, 1, "102")
        assert len(pbx.calls()[0].transfers) == 1

    def test_given_to_nobody(self) -> None:
        pbx = self.talking()
        pbx.blind(2, 1, "199")
        pbx.hang_up(2, 1)
        assert transfers(pbx.over()[0]) == [
            (TransferKind.BLIND, "PJSIP/agent101", "199", TransferOutcome.FAILED)
        ]

    def test_told_when_the_next_phone_has_refused_already(self) -> None:
        pbx = self.talking()
        pbx.phone(3, 102, of=1)
        pbx.dial(1, 3)
        pbx.dialled(1, 3, "BUSY")
        pbx.hang_up(3, cause=17)
        pbx.hang_up(2)
        pbx.blind(2, 1, "102")
        pbx.hang_up(1)
        (call,) = pbx.over()
        assert transfers(call) == [(TransferKind.BLIND, "PJSIP/agent101", "102", TransferOutcome.BUSY)]
        assert legs(call) == [("101", LegEndReason.TRANSFERRED), ("102", LegEndReason.BUSY)]

    def test_told_when_it_was_answered_already(self) -> None:
        pbx = self.talking()
        pbx.hang_up(2)
        pbx.phone(3, 102, of=1)
        pbx.dial(1, 3)
        pbx.answer(1, 3)
        pbx.blind(2, 1, "102")
        (call,) = pbx.calls()
        assert transfers(call) == [(TransferKind.BLIND, "PJSIP/agent101", "102", TransferOutcome.ANSWERED)]
        assert legs(call) == [("101", LegEndReason.TRANSFERRED), ("102", None)]
        assert call.talking_to == "PJSIP/agent102"

    @pytest.mark.parametrize("answered", [False, True])
    def test_told_when_the_caller_is_in_the_next_queue_already(self, answered: bool) -> None:
        """He waits there, or has been answered there."""
        pbx = self.talking()
        pbx.queue("QueueCallerJoin", 1, "sales", Position="1")
        pbx.phone(3, 102, of=1)
        pbx.dial(1, 3)
        if answered:
            pbx.answer(1, 3)
            pbx.queue("QueueCallerLeave", 1, "sales")
        pbx.blind(2, 1, "802")
        pbx.hang_up(2)
        if not answered:
            pbx.answer(1, 3)
            pbx.queue("QueueCallerLeave", 1, "sales")
        pbx.hang_up(3, 1)
        (call,) = pbx.over()
        assert transfers(call) == [(TransferKind.BLIND, "PJSIP/agent101", "802", TransferOutcome.ANSWERED)]
        assert legs(call)[0] == ("101", LegEndReason.TRANSFERRED)

    def test_told_when_the_next_phone_rings_but_before_who_has_dialled_it(self) -> None:
        pbx = self.talking()
        pbx.phone(3, 102, of=1)
        pbx.state(3, 5)
        pbx.blind(2, 1, "102")
        pbx.dial(1, 3)
        pbx.dialled(1, 3, "BUSY")
        pbx.hang_up(3, 2, 1, cause=17)
        assert transfers(pbx.over()[0]) == [
            (TransferKind.BLIND, "PJSIP/agent101", "102", TransferOutcome.BUSY)
        ]

    def test_who_was_tried_before_the_transfer_was_not_tried_for_it(self) -> None:
        """A colleague whose phone rang along, and one who was consulted and busy; then the call goes to a number that
        nobody has."""
        pbx = Pbx()
        pbx.customer()
        pbx.phone(2, 101, of=1)
        pbx.phone(3, 103, of=1)
        pbx.dial(1, 2)
        pbx.dial(1, 3)
        pbx.answer(1, 2)
        pbx.dialled(1, 3, "CANCEL")
        pbx.hang_up(3, cause=26)
        pbx.phone(4, 104, of=1)
        pbx.dial(2, 4)
        pbx.dialled(2, 4, "BUSY")
        pbx.hang_up(4, cause=17)
        pbx.blind(2, 1, "199")
        pbx.hang_up(2, 1)
        assert transfers(pbx.over()[0]) == [
            (TransferKind.BLIND, "PJSIP/agent101", "199", TransferOutcome.FAILED)
        ]

    def test_an_agent_who_was_asked_a_while_ago_hung_up(self) -> None:
        """Only a moment later than his end can it be told that he had passed the call on."""
        pbx = self.talking()
        pbx.hang_up(2)
        pbx.at += timedelta(seconds=5)
        pbx.blind(2, 1, "102")
        (call,) = pbx.calls()
        assert legs(call) == [("101", LegEndReason.HANGUP)]
        assert transfers(call) == [(TransferKind.BLIND, "PJSIP/agent101", "102", None)]

    def test_told_when_one_of_several_phones_was_answered(self) -> None:
        """Not the one that was called last."""
        pbx = self.talking()
        pbx.step = timedelta(milliseconds=20)
        pbx.hang_up(2)
        pbx.phone(3, 102, of=1)
        pbx.phone(4, 103, of=1)
        pbx.dial(1, 3)
        pbx.dial(1, 4)
        pbx.answer(1, 3)
        pbx.blind(2, 1, "600")
        pbx.dialled(1, 4, "CANCEL")
        pbx.hang_up(4, 3, 1)
        assert transfers(pbx.over()[0]) == [
            (TransferKind.BLIND, "PJSIP/agent101", "600", TransferOutcome.ANSWERED)
        ]

    def test_who_answered_before_the_link_was_lost_did_not_answer_a_transfer_after_it(self) -> None:
        """Unseen the customer has come to a colleague, who passes him on before the PBX has said who is where."""
        pbx = self.talking()
        pbx.updates += pbx.tracker.lose_sight(pbx.at)
        pbx.tracker.begin_resync(pbx.at)
        pbx.phone(3, 103, of=1)
        pbx.blind(3, 1, "102")
        pbx.hang_up(3, 1)
        assert [t.outcome for t in pbx.calls()[0].transfers] in ([None], [TransferOutcome.UNKNOWN])

    def test_a_phone_that_is_told_to_be_called_when_another_has_answered(self) -> None:
        """From another thread. It has nothing to do with a transfer a minute later."""
        pbx = self.talking()
        pbx.phone(3, 103, of=1)
        pbx.dial(1, 3)
        pbx.dialled(1, 3, "CANCEL")
        pbx.hang_up(3, cause=26)
        pbx.at += timedelta(minutes=1)
        pbx.blind(2, 1, "199")
        pbx.hang_up(2, 1)
        assert transfers(pbx.over()[0]) == [
            (TransferKind.BLIND, "PJSIP/agent101", "199", TransferOutcome.FAILED)
        ]

    @pytest.mark.parametrize("kind", ["a trunk", "a queue"])
    def test_who_is_passed_on_by_the_agent_that_had_called_him_over_a_local_channel(self, kind: str) -> None:
        """The channel that is passed on is the half that the agent has dialled: he is not his own customer."""
        pbx = Pbx()
        pbx.agent_dials(1, 101, "89003334455")
        pbx.new(10, "Local/x@out;1", of=1, exten="x")
        pbx.new(11, "Local/x@out;2", of=1, state=4, exten="x")
        if kind == "a queue":
            pbx.queue("QueueCallerJoin", 1, "support", Position="1")
        pbx.dial(1, 10)
        pbx.trunk_leg(2, of=1)
        pbx.dial(11, 2)
        pbx.state(2, 6)
        pbx.dialled(11, 2, "ANSWER")
        pbx.bridge(2, 11, to="far")
        pbx.dialled(1, 10, "ANSWER")
        if kind == "a queue":
            pbx.queue("QueueCallerLeave", 1, "support")
            pbx.queue("AgentConnect", 1, "support", **pbx.dest(10))
        pbx.bridge(10, 1, to="near")
        pbx.at += timedelta(seconds=60)
        pbx.leave(1, "near")
        pbx.blind(1, 10, "102")
        pbx.hang_up(1)
        pbx.phone(3, 102, of=1)
        pbx.dial(10, 3)
        pbx.dialled(10, 3, "BUSY")
        pbx.hang_up(3, cause=17)
        pbx.hang_up(10, 11, 2)
        assert transfers(pbx.over()[0]) == [
            (TransferKind.BLIND, "PJSIP/agent101", "102", TransferOutcome.BUSY)
        ]

    def test_blonde_by_refer(self) -> None:
        """The consulted phone still rings when the agent hands over: its channel comes with the second call."""
        pbx = self.talking()
        pbx.agent_dials(3, 101, "102")
        pbx.phone(4, 102, of=3)
        pbx.dial(3, 4)
        pbx.attended(2, 3, 1)
        inbound, consultation = pbx.calls()
        assert inbound.state is CallState.RINGING
        assert legs(inbound) == [("101", LegEndReason.TRANSFERRED), ("102", None)]
        pbx.hang_up(2, 3)
        pbx.answer(1, 4)
        inbound, consultation = pbx.calls()
        assert (inbound.state, inbound.talking_to) == (CallState.ANSWERED, "PJSIP/agent102")
        assert transfers(inbound) == [
            (TransferKind.BLONDE, "PJSIP/agent101", "102", TransferOutcome.ANSWERED)
        ]
        assert consultation.state is CallState.ENDED
        pbx.hang_up(1, 4)
        pbx.over()

    def test_customer_swapped_into_the_consultation(self) -> None:
        """The other way round: the customer's channel moves to the bridge of the consultation."""
        pbx = self.talking()
        pbx.agent_dials(3, 101, "102")
        pbx.phone(4, 102, of=3)
        pbx.dial(3, 4)
        pbx.answer(3, 4)
        pbx.leave(3, "bridge-3")
        pbx.leave(1, "bridge-1")
        pbx.bridge(1, to="bridge-3", swap=3)
        pbx.attended(2, 3, 1, 4)
        pbx.hang_up(2, 3)
        inbound, _ = pbx.calls()
        assert (inbound.caller.number, inbound.talking_to) == (CLIENT, "PJSIP/agent102")
        assert legs(inbound) == [("101", LegEndReason.TRANSFERRED), ("102", None)]
        pbx.hang_up(1, 4)
        assert [call.end_reason for call in pbx.over()] == [CallEndReason.COMPLETED] * 2

    def test_channel_that_changes_its_conversation_takes_its_call(self) -> None:
        """A new Linkedid is enough, before the two meet in a bridge."""
        pbx = self.talking()
        pbx.agent_dials(3, 101, "102")
        pbx.phone(4, 102, of=3)
        pbx.dial(3, 4)
        pbx.answer(3, 4)
        pbx.link(4, 1)
        pbx.bridge(4, to="elsewhere")
        inbound, consultation = pbx.calls()
        assert legs(inbound) == [("101", None), ("102", None)]
        assert legs(consultation) == [("102", LegEndReason.TRANSFERRED)]
        assert (consultation.timeline[-1].what, consultation.timeline[-1].detail) == (
            "joined",
            inbound.call_id,
        )

    def test_who_talks_is_seen_through_local_channels(self) -> None:
        """A queue member behind a Local channel that stays (/n); the colleague he consulted is swapped in for him."""
        pbx = Pbx()
        pbx.customer()
        pbx.new(10, "Local/101@agents;1", of=1, exten="101")
        pbx.new(11, "Local/101@agents;2", of=1, state=4, exten="101")
        pbx.dial(1, 10)
        pbx.phone(2, 101, of=1)
        pbx.dial(11, 2)
        pbx.dialled(11, 2, "ANSWER")
        pbx.bridge(2, 11, to="far")
        pbx.bridge(1, 10, to="near")
        assert pbx.calls()[0].talking_to == "PJSIP/agent101"
        pbx.phone(3, 102, of=1)
        pbx.leave(2, "far")
        pbx.bridge(3, to="far", swap=2)
        assert pbx.calls()[0].talking_to == "PJSIP/agent102"

    def test_two_customers_in_a_conference_stay_two_calls(self) -> None:
        pbx = Pbx()
        pbx.customer(1)
        pbx.customer(2, cid="+79004445566")
        pbx.bridge(1, 2, to="conference")
        pbx.link(2, 1)
        pbx.leave(2, "conference")
        assert [call.state for call in pbx.calls()] == [CallState.NEW, CallState.NEW]
        pbx.hang_up(2, 1)
        assert [call.caller.number for call in pbx.over()] == [CLIENT, "+79004445566"]


class TestHolds:
    def test_hold_shows_on_call_and_leg(self) -> None:
        pbx = TestTransfers().talking()
        pbx.say("Unhold", **pbx.channels[2])  # comes also where nobody held
        pbx.say("Hold", **pbx.channels[2])
        (call,) = pbx.calls()
        assert (call.state, call.legs[0].state, call.holds[0].by) == ("held", "held", "PJSIP/agent101")
        pbx.say("Unhold", **pbx.channels[2])
        (call,) = pbx.calls()
        assert (call.state, call.legs[0].state) == ("answered", "answered")
        assert call.holds[0].ended_at is not None
        assert len(call.holds) == 1
