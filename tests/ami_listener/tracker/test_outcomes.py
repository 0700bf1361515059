"""What comes of transfers and of phones that rang is told by the order of the events, also where all bear one time: on
a quick PBX, or when a listener reads many at once."""

from datetime import timedelta

import pytest

from shared.contracts.call import Call, LegEndReason, QueueOutcome, TransferKind, TransferOutcome
from tests.ami_listener.tracker.pbx import Pbx, legs, transfers

STEPS = pytest.mark.parametrize("step", [timedelta(0), timedelta(seconds=2)], ids=["one moment", "in time"])


def talking(step: timedelta) -> Pbx:
    """101 talks with a customer whom a queue has brought."""
    pbx = Pbx(step)
    pbx.customer()
    pbx.queue("QueueCallerJoin", 1, "support", Position="1")
    rings(pbx, 2, 101)
    pbx.answer(1, 2)
    pbx.queue("QueueCallerLeave", 1, "support")
    return pbx


def rings(pbx: Pbx, number: int, agent: int) -> None:
    pbx.phone(number, agent, of=1)
    pbx.dial(1, number)


def passed_on(pbx: Pbx, giver: int, exten: str) -> None:
    pbx.blind(giver, 1, exten)
    pbx.hang_up(giver)


def given_back(pbx: Pbx, number: int, status: str, cause: int = 16) -> None:
    pbx.dialled(1, number, status)
    pbx.hang_up(number, cause=cause)


def time_is_over(pbx: Pbx, name: str) -> None:
    """The PBX says "abandon" of a time limit too."""
    pbx.queue("QueueCallerAbandon", 1, name)
    pbx.queue("QueueCallerLeave", 1, name)


def outcomes(call: Call) -> list[TransferOutcome | None]:
    return [transfer.outcome for transfer in call.transfers]


@STEPS
class TestTransferToAQueue:
    def test_its_time_ends_while_a_phone_rings(self, step: timedelta) -> None:
        pbx = talking(step)
        passed_on(pbx, 2, "803")
        pbx.queue("QueueCallerJoin", 1, "sales", Position="1")
        rings(pbx, 3, 102)
        given_back(pbx, 3, "CANCEL")
        time_is_over(pbx, "sales")
        pbx.hang_up(1)
        (call,) = pbx.over()
        assert outcomes(call) == [TransferOutcome.NO_ANSWER]
        assert legs(call) == [("101", LegEndReason.TRANSFERRED), ("102", LegEndReason.CANCELLED)]

    def test_one_declines_and_the_caller_waits_on_and_gives_up(self, step: timedelta) -> None:
        pbx = talking(step)
        passed_on(pbx, 2, "803")
        pbx.queue("QueueCallerJoin", 1, "sales", Position="1")
        rings(pbx, 3, 102)
        given_back(pbx, 3, "NOANSWER", cause=21)
        pbx.gives_up(1)
        time_is_over(pbx, "sales")
        pbx.hang_up(1)
        (call,) = pbx.over()
        assert outcomes(call) == [TransferOutcome.CANCELLED]
        assert legs(call)[-1] == ("102", LegEndReason.REJECTED)

    def test_after_it_the_dialplan_tries_a_phone(self, step: timedelta) -> None:
        pbx = talking(step)
        passed_on(pbx, 2, "803")
        pbx.queue("QueueCallerJoin", 1, "sales", Position="1")
        time_is_over(pbx, "sales")
        rings(pbx, 3, 102)
        given_back(pbx, 3, "BUSY", cause=17)
        pbx.hang_up(1)
        assert outcomes(pbx.over()[0]) == [TransferOutcome.BUSY]

    def test_he_is_in_it_before_the_transfer_is_told(self, step: timedelta) -> None:
        """Two threads of the PBX. The agent has not hung up yet, but it is not he who answers the queue."""
        pbx = talking(step)
        pbx.queue("QueueCallerJoin", 1, "sales", Position="1")
        passed_on(pbx, 2, "803")
        time_is_over(pbx, "sales")
        pbx.hang_up(1)
        (call,) = pbx.over()
        assert outcomes(call) == [TransferOutcome.NO_ANSWER]
        assert call.queue is not None and call.queue.outcome is QueueOutcome.TIMEOUT

    def test_the_queue_before_it_has_no_say(self, step: timedelta) -> None:
        pbx = talking(step)
        passed_on(pbx, 2, "999")
        pbx.hang_up(1)
        assert outcomes(pbx.over()[0]) == [TransferOutcome.FAILED]


@STEPS
def test_to_and_fro_and_to_the_same_once_more(step: timedelta) -> None:
    pbx = talking(step)
    for giver, agent in ((2, 102), (3, 101), (4, 102)):
        passed_on(pbx, giver, str(agent))
        rings(pbx, giver + 1, agent)
        pbx.answer(1, giver + 1)
    pbx.hang_up(5, 1)
    assert transfers(pbx.over()[0]) == [
        (TransferKind.BLIND, "PJSIP/agent101", "102", TransferOutcome.ANSWERED),
        (TransferKind.BLIND, "PJSIP/agent102", "101", TransferOutcome.ANSWERED),
        (TransferKind.BLIND, "PJSIP/agent101", "102", TransferOutcome.ANSWERED),
    ]


@STEPS
def test_who_talked_before_a_phone_rang_has_not_answered_elsewhere(step: timedelta) -> None:
    """A consultation by feature code is given up; the agent talks with the customer all the time."""
    pbx = talking(step)
    rings(pbx, 3, 102)
    given_back(pbx, 3, "CANCEL")
    assert legs(pbx.calls()[0]) == [("101", None), ("102", LegEndReason.CANCELLED)]


@STEPS
def test_who_answers_while_another_phone_rings_has(step: timedelta) -> None:
    pbx = Pbx(step)
    pbx.customer()
    rings(pbx, 2, 101)
    rings(pbx, 3, 102)
    pbx.answer(1, 3)
    given_back(pbx, 2, "CANCEL")
    assert legs(pbx.calls()[0]) == [("101", LegEndReason.ANSWERED_ELSEWHERE), ("102", None)]
