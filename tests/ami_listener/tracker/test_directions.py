"""Inbound, outbound or internal: short calls as the usual systems make them, with nothing in the settings."""

from dataclasses import dataclass

import pytest

from ami_listener.message import AmiMessage
from ami_listener.tracker.endpoints import EndpointRules
from ami_listener.tracker.tracker import Tracker
from shared.contracts.call import Call, Direction
from shared.phone import normalise
from tests.ami_listener.tracker.recordings import START

INBOUND, OUTBOUND, INTERNAL = Direction.INBOUND, Direction.OUTBOUND, Direction.INTERNAL
CLIENT, OUT = "79001112233", "89001112233"


@dataclass(frozen=True)
class End:
    """A channel as its Newchannel shows it."""

    channel: str
    context: str
    number: str = ""


@dataclass(frozen=True)
class Platform:
    """A phone, a second one, and the line to the outside. hop: the dialplan rings phones through a Local channel.
    late_ring: the caller's channel is shown Down first (chan_sip)."""

    name: str
    phone: End
    other: End
    line: End
    hop: str | None = None
    late_ring: bool = False


PLATFORMS = [
    Platform(
        "plain pjsip",
        End("PJSIP/alice-00000001", "phones", "101"),
        End("PJSIP/bob-00000002", "phones", "102"),
        End("PJSIP/mango-00000003", "from-mango"),
    ),
    Platform(
        "FreePBX",
        End("PJSIP/101-00000001", "from-internal", "101"),
        End("PJSIP/102-00000002", "from-internal", "102"),
        End("PJSIP/MyTrunk-00000003", "from-pstn"),
        hop="Local/102@from-queue",
    ),
    Platform(
        "FreePBX, device and user",
        End("PJSIP/99101-00000001", "from-internal", "101"),
        End("PJSIP/99102-00000002", "from-internal", "102"),
        End("PJSIP/beeline-00000003", "from-pstn"),
    ),
    Platform(
        "MikoPBX",
        End("PJSIP/201-00000001", "all_peers", "201"),
        End("PJSIP/202-WS-00000002", "all_peers", "202"),
        End("PJSIP/SIP-1611151795-00000003", "SIP-1611151795-incoming"),
        hop="Local/202@internal-incoming",
    ),
    Platform(
        "Issabel, chan_sip",
        End("SIP/101-0000abcd", "from-internal", "101"),
        End("SIP/102-0000abce", "from-internal", "102"),
        End("SIP/beeline-0000abcf", "from-trunk-sip-beeline"),
        late_ring=True,
    ),
    Platform(
        "ISDN and analogue phones",
        End("DAHDI/3-1", "from-internal", "103"),
        End("DAHDI/4-1", "from-internal", "104"),
        End("DAHDI/i1/79001112233-1", "from-digital"),
    ),
    Platform(
        "Wazo",
        End("PJSIP/p4t8xo2k-00000001", "ctx-acme-internal-7d0c", "1001"),
        End("PJSIP/9dhfk3ls-00000002", "ctx-acme-internal-7d0c", "1002"),
        End("PJSIP/hf7c0sqa-00000003", "ctx-acme-incall-7d0c"),
    ),
]


def conversation(platform: Platform, caller: End, number: str, exten: str, called: End) -> Call:
    """`caller` dials `exten`, `called` is rung and answers, both hang up."""
    tracker = Tracker("pbx", EndpointRules(normalise=lambda raw: normalise(raw, "RU")))
    updates = []

    def say(event: str, **headers: str) -> None:
        updates.extend(tracker.handle(AmiMessage(Event=event, **headers), START))
        assert tracker.last_problem is None

    def shown(end: End, uniqueid: str, state: str, number: str, exten: str) -> dict[str, str]:
        return {
            "Channel": end.channel, "ChannelState": state, "CallerIDNum": number or "<unknown>",
            "CallerIDName": "<unknown>", "Context": end.context, "Exten": exten,
            "Uniqueid": uniqueid, "Linkedid": "1.1",
        }  # fmt: skip

    def dest(channel: dict[str, str]) -> dict[str, str]:
        return {f"Dest{name}": value for name, value in channel.items()}

    one = shown(caller, "1.1", "0" if platform.late_ring else "4", number, exten)
    say("Newchannel", **one)
    if platform.late_ring:
        one["ChannelState"] = "4"
        say("Newstate", **one)
    dialling = one
    helpers = []
    if platform.hop is not None and called is platform.other:
        for half in ("1", "2"):
            end = End(f"{platform.hop}-00000009;{half}", platform.hop.partition("@")[2], exten)
            helpers.append(shown(end, f"1.{half}0", "0" if half == "1" else "4", exten, exten))
            say("Newchannel", **helpers[-1])
        say("DialBegin", **one, **dest(helpers[0]))
        dialling = helpers[1]
    two = shown(called, "1.2", "0", called.number or exten, "s")
    say("Newchannel", **two)
    say("DialBegin", **dialling, **dest(two))
    two["ChannelState"] = "6"
    say("Newstate", **two)
    say("DialEnd", **dialling, **dest(two), DialStatus="ANSWER")
    for channel in (*helpers, two, one):
        say("Hangup", **channel, Cause="16")
    assert tracker.size()["calls"] == 0
    return updates[-1].call


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda p: p.name)
class TestEachPlatform:
    def test_a_customer_calls(self, platform: Platform) -> None:
        call = conversation(platform, platform.line, CLIENT, "78000000003", platform.other)
        assert (call.direction, call.caller.number) == (INBOUND, "+79001112233")
        assert [leg.agent for leg in call.legs] == [platform.other.number]

    def test_an_agent_calls_a_customer(self, platform: Platform) -> None:
        call = conversation(platform, platform.phone, platform.phone.number, OUT, platform.line)
        assert (call.direction, call.did) == (OUTBOUND, "+79001112233")
        assert call.caller.number == platform.phone.number

    def test_an_agent_dials_a_short_number_outside(self, platform: Platform) -> None:
        call = conversation(platform, platform.phone, platform.phone.number, "112", platform.line)
        assert call.direction is OUTBOUND

    def test_colleagues(self, platform: Platform) -> None:
        exten = platform.other.number
        call = conversation(platform, platform.phone, platform.phone.number, exten, platform.other)
        assert (call.direction, call.did, call.missed) == (INTERNAL, exten, False)

    def test_a_customer_who_hides_the_number(self, platform: Platform) -> None:
        call = conversation(platform, platform.line, "anonymous", "78000000003", platform.other)
        assert (call.direction, call.caller.number) == (INBOUND, None)
