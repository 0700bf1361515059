"""A PBX that says what a test wants it to, and its calls in a few words."""

from datetime import timedelta

from ami_listener.message import AmiMessage
from ami_listener.replay import final_calls
from ami_listener.tracker.tracker import Tracker
from shared.contracts.call import Call, CallUpdate, LegEndReason, TransferKind, TransferOutcome
from tests.ami_listener.tracker.recordings import START, rules

CLIENT, DID = "+79001112233", "+78000000003"


class Pbx:
    """Says what a PBX says. Channels are known by the number in their Uniqueid: 1 is 1795300000.1.

    step: how much later than the one before each event is; none on a PBX whose events are read all at once.
    """

    def __init__(self, step: timedelta = timedelta(milliseconds=100)) -> None:
        self.step = step
        self.tracker = Tracker("pbx", rules())
        self.updates: list[CallUpdate] = []
        self.at = START
        self.channels: dict[int, dict[str, str]] = {}

    def say(self, event: str, **headers: str) -> None:
        self.at += self.step
        self.updates += self.tracker.handle(AmiMessage(Event=event, **headers), self.at)
        assert self.tracker.last_problem is None

    def new(
        self,
        number: int,
        name: str,
        *,
        of: int | None = None,
        state: int = 0,
        cid: str = "<unknown>",
        context: str = "internal",
        exten: str = "s",
    ) -> None:
        head, half = (name[:-2], name[-2:]) if name.endswith((";1", ";2")) else (name, "")
        self.channels[number] = {
            "Channel": f"{head}-{number // 10 if half else number:08x}{half}",
            "ChannelState": str(state),
            "CallerIDNum": cid,
            "CallerIDName": "<unknown>",
            "Context": context,
            "Exten": exten,
            "Uniqueid": f"1795300000.{number}",
            "Linkedid": f"1795300000.{of if of is not None else number}",
        }
        self.say("Newchannel", **self.channels[number])

    def customer(self, number: int = 1, exten: str = DID, cid: str = CLIENT) -> None:
        self.new(number, "PJSIP/trunk", state=4, cid=cid, context="from-pstn", exten=exten)

    def agent_dials(self, number: int, agent: int, exten: str) -> None:
        self.new(number, f"PJSIP/agent{agent}", state=4, cid=str(agent), exten=exten)

    def phone(self, number: int, agent: int, of: int) -> None:
        self.new(number, f"PJSIP/agent{agent}", of=of, cid=str(agent))

    def trunk_leg(self, number: int, of: int) -> None:
        self.new(number, "PJSIP/trunk", of=of, context="from-pstn")

    def state(self, number: int, state: int) -> None:
        self.channels[number]["ChannelState"] = str(state)
        self.say("Newstate", **self.channels[number])

    def dest(self, number: int) -> dict[str, str]:
        return {f"Dest{key}": value for key, value in self.channels[number].items()}

    def dial(self, source: int | None, target: int, dial_string: str = "") -> None:
        head = self.channels[source] if source is not None else {}
        self.say("DialBegin", **head, **self.dest(target), DialString=dial_string)

    def dialled(self, source: int | None, target: int, status: str) -> None:
        head = self.channels[source] if source is not None else {}
        self.say("DialEnd", **head, **self.dest(target), DialStatus=status)

    def answer(self, source: int, target: int) -> None:
        self.state(target, 6)
        self.dialled(source, target, "ANSWER")
        self.bridge(source, target)

    def bridge(self, *numbers: int, to: str = "", swap: int | None = None) -> None:
        for number in numbers:
            more = {"SwapUniqueid": self.channels[swap]["Uniqueid"]} if swap is not None else {}
            bridge = to or f"bridge-{numbers[0]}"
            self.say("BridgeEnter", **self.channels[number], BridgeUniqueid=bridge, **more)

    def link(self, number: int, of: int) -> None:
        """From now on the channel's events carry another Linkedid."""
        self.channels[number]["Linkedid"] = self.channels[of]["Uniqueid"]

    def leave(self, number: int, bridge: str) -> None:
        self.say("BridgeLeave", **self.channels[number], BridgeUniqueid=bridge)

    def gives_up(self, number: int) -> None:
        self.say("HangupRequest", **self.channels[number])

    def hang_up(self, *numbers: int, cause: int = 16) -> None:
        for number in numbers:
            self.say("Hangup", **self.channels[number], Cause=str(cause))

    def queue(self, event: str, number: int, name: str, **more: str) -> None:
        self.say(event, **self.channels[number], Queue=name, **more)

    def blind(self, giver: int, given: int, exten: str) -> None:
        self.say(
            "BlindTransfer",
            Result="Success",
            TransfererChannel=self.channels[giver]["Channel"],
            TransfererUniqueid=self.channels[giver]["Uniqueid"],
            TransfereeUniqueid=self.channels[given]["Uniqueid"],
            Extension=exten,
        )

    def attended(self, first: int, second: int, given: int, target: int | None = None) -> None:
        more = {"TransferTargetUniqueid": self.channels[target]["Uniqueid"]} if target is not None else {}
        self.say(
            "AttendedTransfer",
            Result="Success",
            OrigTransfererChannel=self.channels[first]["Channel"],
            OrigTransfererUniqueid=self.channels[first]["Uniqueid"],
            SecondTransfererUniqueid=self.channels[second]["Uniqueid"],
            TransfereeUniqueid=self.channels[given]["Uniqueid"],
            **more,
        )

    def calls(self) -> list[Call]:
        return final_calls(self.updates)

    def over(self) -> list[Call]:
        assert not any(self.tracker.size().values())
        return self.calls()


def legs(call: Call) -> list[tuple[str | None, LegEndReason | None]]:
    return [(leg.agent or leg.endpoint, leg.end_reason) for leg in call.legs]


def transfers(call: Call) -> list[tuple[TransferKind, str | None, str | None, TransferOutcome | None]]:
    return [(t.kind, t.by, t.to, t.outcome) for t in call.transfers]
