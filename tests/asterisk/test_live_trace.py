"""What a real Asterisk says in a call, through the tracker: every call is there once, and none is left open."""

import pytest

from ami_listener.replay import final_calls, replay
from ami_listener.tracker.endpoints import EndpointRules
from shared.contracts.call import CallEndReason, CallState, Direction
from shared.phone import normalise
from tests.asterisk.calls import scenarios
from tests.asterisk.calls.ami import Ami
from tests.asterisk.calls.world import World

pytestmark = pytest.mark.asterisk

RULES = EndpointRules(normalise=lambda raw: normalise(raw, "RU"))

INBOUND, OUTBOUND, INTERNAL = Direction.INBOUND, Direction.OUTBOUND, Direction.INTERNAL
COMPLETED, ABANDONED = CallEndReason.COMPLETED, CallEndReason.ABANDONED


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("answered_agent_hangup", [(INBOUND, COMPLETED)]),
        ("direct_did_busy", [(INBOUND, CallEndReason.BUSY)]),
        ("outbound_busy", [(OUTBOUND, CallEndReason.BUSY)]),
        # Dialling *8 is a call of the agent's own; the customer's goes on under its first name.
        ("call_pickup", [(INBOUND, COMPLETED), (INTERNAL, COMPLETED)]),
        ("blind_transfer_refer", [(INBOUND, COMPLETED)]),
        # The consultation of the two agents is a call of its own until it becomes the customer's.
        ("attended_transfer_refer", [(INBOUND, COMPLETED), (INTERNAL, COMPLETED)]),
        ("declined_agent", [(INBOUND, COMPLETED)]),
        ("callback_originate", [(OUTBOUND, COMPLETED)]),
        ("ivr_caller_hangup", [(INBOUND, ABANDONED)]),
    ],
)
async def test_every_call_is_there_once_and_ends(
    scenario: str, expected: list[tuple[Direction, CallEndReason]], world: World, ami: Ami
) -> None:
    await scenarios.ALL[scenario](world)
    await every_channel_hung_up(ami)

    problems: list[str] = []
    calls = final_calls(replay(bytes(ami.raw), rules=RULES, problems=problems))

    assert [(c.direction, c.end_reason) for c in calls] == expected
    assert all(c.state is CallState.ENDED and not c.gap for c in calls)
    assert problems == []


async def every_channel_hung_up(ami: Ami) -> None:
    """Wait until AMI has told the end of each channel it told the beginning of."""

    def uniqueids(event: str) -> set[str]:
        return {packet["Uniqueid"] for packet in ami.seen(event)}

    await ami.wait(lambda _: uniqueids("Newchannel") <= uniqueids("Hangup"), since=len(ami.events) - 1)
