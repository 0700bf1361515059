"""The PBX's state and its verbs. Each verb changes the state and writes the events Asterisk 22 writes for it."""

import itertools
import random
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from services.simulator.channel import PLAIN, STATE_NAMES, Bridge, BridgeKind, Channel
from services.simulator.config import SimAgent, SimulatorConfig
from services.simulator.packets import (
    AGENT,
    CALL,
    CDR,
    DIALPLAN,
    DTMF,
    REPORTING,
    Packet,
    headers,
    packet,
)
from services.simulator.queues import MEMBER_STATUS, Member, Queue, QueueEntry

CAUSES = {
    0: "Unknown",
    16: "Normal Clearing",
    17: "User busy",
    19: "User alerting, no answer",
    21: "Call Rejected",
    23: "Redirected to new destination",
    26: "Answered elsewhere",
    34: "Circuit/channel congestion",
    127: "Interworking, unspecified",
}

HINT_STATUS = {
    "NOT_INUSE": (0, "Idle"),
    "INUSE": (1, "InUse"),
    "BUSY": (2, "Busy"),
    "RINGING": (8, "Ringing"),
    "RINGINUSE": (9, "InUse&Ringing"),
    "ONHOLD": (16, "Hold"),
}
"""Device state → `Status` and `StatusText` of ExtensionStatus."""

DIAL_RESETS = (
    "DIALSTATUS",
    "DIALEDPEERNUMBER",
    "DIALEDPEERNAME",
    "ANSWEREDTIME",
    "ANSWEREDTIME_MS",
    "DIALEDTIME",
    "DIALEDTIME_MS",
    "RINGTIME",
    "RINGTIME_MS",
    "PROGRESSTIME",
    "PROGRESSTIME_MS",
)
"""Variables app_dial clears before it dials, in its order."""

QUEUE_RESETS = (
    "ANSWEREDTIME",
    "ANSWEREDTIME_MS",
    "DIALEDTIME",
    "DIALEDTIME_MS",
    "QUEUEWAIT",
    "QUEUEWAIT_MS",
)
"""Variables app_queue clears when a caller joins."""

QOS = (
    ("", "ssrc=1784506278;themssrc=1590411846;lp=0;rxjitter=0.000000;rxcount=126;txjitter=0.000125;txcount=125;"
     "rlp=0;rtt=0.000000;rxmes=0.000000;txmes=0.000000"),
    ("JITTER", "minrxjitter=000.000000;maxrxjitter=000.000625;avgrxjitter=000.000311;stdevrxjitter=000.000155;"
     "mintxjitter=000.000000;maxtxjitter=000.000000;avgtxjitter=000.000000;stdevtxjitter=000.000000;"),
    ("LOSS", "  minrxlost=000.000000;  maxrxlost=000.000000;  avgrxlost=000.000000;  stdevrxlost=000.000000;"
     "  mintxlost=000.000000;  maxtxlost=000.000000;  avgtxlost=000.000000;  stdevtxlost=000.000000;"),
    ("RTT", "     minrtt=000.000000;     maxrtt=000.000000;     avgrtt=000.000000;     stdevrtt=000.000000;"),
    ("MES", "   minrxmes=000.000000;   maxrxmes=000.000000;   avgrxmes=000.000000;   stdevrxmes=000.000000;"
     "   mintxmes=000.000000;   maxtxmes=000.000000;   avgtxmes=000.000000;   stdevtxmes=000.000000;"),
)  # fmt: skip
"""RTP statistics that every channel leaves behind as variables: the longest lines of the noise."""


class Device:
    """A phone or trunk: how many of its channels are in which state."""

    __slots__ = ("agent", "channels", "counts", "endpoint", "held", "state")

    def __init__(self, endpoint: str, agent: SimAgent | None) -> None:
        self.endpoint = endpoint
        self.agent = agent
        self.counts: dict[int, int] = dict.fromkeys(STATE_NAMES, 0)
        self.channels = 0
        self.held = 0
        self.state = "NOT_INUSE"

    def current(self) -> str:
        """The device state Asterisk derives from the channels."""
        counts = self.counts
        talking = counts[6] + counts[4]
        if counts[7] and not counts[5]:
            return "BUSY"
        if counts[5] and talking:
            return "RINGINUSE"
        if talking:
            return "ONHOLD" if self.held == talking else "INUSE"
        return "RINGING" if counts[5] else "NOT_INUSE"


class Pbx:
    """Channels, bridges, queues and devices at a moment.

    now: Unix seconds of the PBX's clock; whoever steps it sets it. out: packets written since it was last emptied.
    freed: agents' endpoints that became free since it was last emptied (waiting callers want to know).
    """

    def __init__(self, config: SimulatorConfig, rng: random.Random, started: float) -> None:
        self.config = config
        self.rng = rng
        self.started = started
        self.now = started
        self.out: list[Packet] = []
        self.freed: list[str] = []
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self.parked: dict[int, Channel] = {}  # by space
        self._lot: Bridge | None = None
        self.variables: dict[str, str] = {}
        self.processed_calls = 0
        self._counter = 0
        self._locals = itertools.count()
        self._optimizations = itertools.count()
        self._agents = {agent.endpoint: agent for agent in config.agents}
        self.devices = {
            endpoint: Device(endpoint, self._agents.get(endpoint))
            for endpoint in (*self._agents, config.trunk)
        }
        self.queues = {
            queue.name: Queue(
                queue,
                [self._member(interface, int(started)) for interface in queue.members],
            )
            for queue in config.queues
        }
        self._places: dict[str, list[tuple[Queue, Member]]] = {}
        for queue in self.queues.values():
            for member in queue.members:
                self._places.setdefault(member.state_interface, []).append((queue, member))

    def _member(self, interface: str, at: int) -> Member:
        """A member of queues.conf; one called over a Local channel has the phone's state."""
        if interface.startswith("Local/"):
            extension = interface.removeprefix("Local/").partition("@")[0]
            agent = self.config.agent(extension)
        else:
            agent = self._agents[interface]
        return Member(interface, agent.endpoint, agent.name, at)

    # ---- channels ------------------------------------------------------------------------------------------------

    def new_channel(
        self,
        endpoint: str,
        state: int,
        *,
        number: str | None,
        party: str | None,
        context: str,
        exten: str,
        linked_to: Channel | None = None,
        uniqueid: str | None = None,
        name: str | None = None,
    ) -> Channel:
        """A leg appears. Its Linkedid is that of `linked_to`, else its own Uniqueid. name: of half a Local channel."""
        count = self._counter
        self._counter += 1
        uniqueid = uniqueid or f"{int(self.now)}.{count}"
        channel = Channel(
            name or f"{endpoint}-{count:08x}",
            endpoint,
            uniqueid,
            linked_to.linkedid if linked_to else uniqueid,
            self.now,
        )
        channel.identify(number, party)
        channel.update(state=state, context=context, exten=exten, priority=1)
        self.channels[channel.name] = channel
        device = self.devices.get(endpoint)
        if device is None:  # a Local channel: one device for each extension dialled through one
            device = self.devices[endpoint] = Device(endpoint, None)
        device.counts[state] += 1
        device.channels += 1
        self.tell("Newchannel", channel)
        if device.agent:
            self.var(channel, "TRANSFER_CONTEXT", "internal")
        return channel

    def next_local(self) -> int:
        """The serial number of a Local channel, in its name."""
        return next(self._locals)

    def next_optimization(self) -> int:
        """The serial number that ties the two events of an optimization together."""
        return next(self._optimizations)

    def tell(self, event: str, channel: Channel, extra: str = "", category: int = CALL) -> None:
        """An event about one channel."""
        self.out.append(packet(event, category, channel.block + extra, channel.uniqueid))

    def var(self, channel: Channel, name: str, value: object) -> None:
        """A channel variable; noise, unless somebody wants it (then use `tell` itself)."""
        if self.config.noise:
            self.tell("VarSet", channel, f"Variable: {name}\r\nValue: {value}\r\n", DIALPLAN)

    def clear(self, channel: Channel, names: Iterable[str]) -> None:
        """Empty variables, as applications do before they start."""
        if self.config.noise:
            for name in names:
                self.var(channel, name, "")

    def set_global(self, name: str, value: str) -> None:
        """A global variable, set by AMI."""
        self.variables[name] = value
        body = headers(("Channel", "none"), ("Uniqueid", "none"), ("Variable", name), ("Value", value))
        self.out.append(packet("VarSet", DIALPLAN, body))

    def run(
        self,
        channel: Channel,
        app: str,
        data: str = "",
        *,
        context: str | None = None,
        exten: str | None = None,
        priority: int | None = None,
    ) -> None:
        """The dialplan goes on at a channel: one step with the application it runs."""
        channel.update(context=context, exten=exten, priority=priority)
        channel.app, channel.app_data = app, data
        if self.config.noise:
            extra = headers(("Extension", channel.exten), ("Application", app), ("AppData", data))
            self.tell("Newexten", channel, extra, DIALPLAN)

    def record(self, channel: Channel, priority: int, context: str | None = None) -> None:
        """MixMonitor: the recording's name is told even without noise, the product keeps it."""
        file = f"{channel.uniqueid}.wav"
        exten = "s" if context else None
        self.run(channel, "MixMonitor", f"{file},b", context=context, exten=exten, priority=priority)
        extra = f"Variable: MIXMONITOR_FILENAME\r\nValue: /var/spool/asterisk/monitor/{file}\r\n"
        self.tell("VarSet", channel, extra, DIALPLAN)
        self.tell("MixMonitorStart", channel)

    def set_state(self, channel: Channel, state: int) -> None:
        """Ringing, Up, Busy."""
        counts = self.devices[channel.endpoint].counts
        counts[channel.state] -= 1
        counts[state] += 1
        channel.update(state=state)
        self.tell("Newstate", channel)

    def connect(self, channel: Channel, other: Channel) -> None:
        """Tell an end whom it talks to; without a number there is nothing to tell."""
        channel.connect(other.number, other.party)
        if other.number is not None:
            self.tell("NewConnectedLine", channel)

    def identify(self, channel: Channel, number: str | None, party: str | None) -> None:
        """The dialplan changes the party at a channel."""
        channel.identify(number, party)
        pres = "CID-CallingPres: 0 (Presentation Allowed, Not Screened)\r\n"
        self.tell("NewCallerid", channel, pres)

    def digit(self, channel: Channel, digit: str) -> None:
        """A key pressed and released."""
        self.tell("DTMFBegin", channel, f"Digit: {digit}\r\nDirection: Received\r\n", DTMF)
        self.tell("DTMFEnd", channel, f"Digit: {digit}\r\nDurationMs: 120\r\nDirection: Received\r\n", DTMF)

    def hold(self, channel: Channel, other: Channel, *, by_feature: bool = False) -> None:
        """The end `channel` puts `other` on hold; a feature code names no music class."""
        self.tell("Hold", channel, "" if by_feature else "MusicClass: default\r\n")
        self.tell("MusicOnHoldStart", other, "Class: default\r\n")
        other.held = True
        self.devices[other.endpoint].held += 1
        self.refresh(other.endpoint)

    def unhold(self, channel: Channel, other: Channel) -> None:
        """Back from hold."""
        self.tell("Unhold", channel)
        if other.held:
            self.tell("MusicOnHoldStop", other)
            other.held = False
            self.devices[other.endpoint].held -= 1
            self.refresh(other.endpoint)

    def statistics(self, channel: Channel, peer: Channel | None = None) -> None:
        """RTP statistics of a channel that ends; its peer in the bridge gets them too."""
        if self.config.noise:
            for suffix, value in QOS:
                self.var(channel, f"RTPAUDIOQOS{suffix}", value)
                if peer is not None:
                    self.var(peer, f"RTPAUDIOQOS{suffix}BRIDGED", value)

    def rtcp(self, channel: Channel) -> None:
        """A sender report, every five seconds on a real channel."""
        if self.config.noise:
            extra = headers(
                ("To", "127.0.0.1:57616"),
                ("From", "127.0.0.1:17273"),
                ("MES", "88.1"),
                ("SSRC", "0x242d558a"),
                ("PT", "200(SR)"),
                ("ReportCount", 1),
                ("SentNTP", f"{self.now:.6f}"),
                ("SentRTP", 39840),
                ("SentPackets", 249),
                ("SentOctets", 39840),
                ("Report0SourceSSRC", "0x675f9e59"),
                ("Report0FractionLost", 0),
                ("Report0CumulativeLost", 0),
                ("Report0HighestSequence", 21016),
                ("Report0SequenceNumberCycles", 0),
                ("Report0IAJitter", 0),
                ("Report0LSR", 0),
                ("Report0DLSR", "0.0000"),
            )
            self.tell("RTCPSent", channel, extra, REPORTING)

    def request_hangup(self, channel: Channel, cause: int | None = None, tech: int | None = None) -> None:
        """The far end of a channel hangs up (BYE, CANCEL, a refusal)."""
        self.tell("HangupRequest", channel, cause_lines(cause, tech))

    def soft_hangup(self, channel: Channel, tech: int | None = None) -> None:
        """The PBX decides to end a channel."""
        self.tell("SoftHangupRequest", channel, cause_lines(16, tech))

    def hangup(self, channel: Channel, cause: int, tech: int | None = None) -> None:
        """The channel is gone."""
        tail = f"TechCause: {tech}\r\n" if tech is not None else ""
        self.tell("Hangup", channel, f"Cause: {cause}\r\nCause-txt: {CAUSES[cause]}\r\n{tail}")
        del self.channels[channel.name]
        device = self.devices[channel.endpoint]
        device.counts[channel.state] -= 1
        device.channels -= 1
        if channel.held:
            device.held -= 1

    def cdr(self, channel: Channel, peer: Channel | None, answered: float | None, disposition: str) -> None:
        """The accounting record of one leg."""
        body = (
            f"AccountCode: \r\nSource: {channel.number or ''}\r\nDestination: {channel.exten}\r\n"
            f"DestinationContext: {channel.context}\r\n"
            f'CallerID: "{channel.party or ""}" <{channel.number or ""}>\r\n'
            f"Channel: {channel.name}\r\nDestinationChannel: {peer.name if peer else ''}\r\n"
            f"LastApplication: {channel.app}\r\nLastData: {channel.app_data}\r\n"
            f"StartTime: {wall_clock(channel.created)}\r\n"
            f"AnswerTime: {wall_clock(answered) if answered else ''}\r\nEndTime: {wall_clock(self.now)}\r\n"
            f"Duration: {int(self.now - channel.created)}\r\n"
            f"BillableSeconds: {int(self.now - answered) if answered else 0}\r\n"
            f"Disposition: {disposition}\r\nAMAFlags: DOCUMENTATION\r\nUniqueID: {channel.uniqueid}\r\n"
            "UserField: \r\n"
        )
        self.out.append(packet("Cdr", CDR, body))

    # ---- dialling ------------------------------------------------------------------------------------------------

    def dial(self, event: str, caller: Channel | None, leg: Channel, extra: str) -> None:
        """DialBegin, DialState, DialEnd. Without a caller (an originate) there is only the called side."""
        body = (caller.block if caller else "") + leg.dest + extra
        uniqueid = caller.uniqueid if caller else leg.uniqueid
        self.out.append(packet(event, CALL, body, uniqueid))

    def dial_end(self, caller: Channel | None, leg: Channel, status: str) -> None:
        self.dial("DialEnd", caller, leg, f"DialStatus: {status}\r\n")

    # ---- bridges -------------------------------------------------------------------------------------------------

    def bridge(self, *channels: Channel) -> Bridge:
        """Put channels into a new bridge, in this order."""
        bridge = self.new_bridge()
        for channel in channels:
            if channel.app == "AppDial":
                self.run(channel, "AppDial", "(Outgoing Line)", exten="")
            self.enter(channel, bridge)
        if self.config.noise:
            self._name_peers(bridge)
        return bridge

    def new_bridge(self, kind: BridgeKind = PLAIN) -> Bridge:
        """An empty bridge."""
        text = f"{self.rng.getrandbits(128):032x}"
        uniqueid = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
        bridge = Bridge(uniqueid, kind)
        self.bridges[uniqueid] = bridge
        self.out.append(packet("BridgeCreate", CALL, bridge.block))
        return bridge

    @property
    def lot(self) -> Bridge:
        """The bridge of the parked callers: made for the first one, it stays for ever."""
        if self._lot is None:
            self._lot = self.new_bridge(BridgeKind("parking", "holding_bridge", "Parking", "default"))
        return self._lot

    def enter(self, channel: Channel, bridge: Bridge, swap: Channel | None = None) -> None:
        """A channel comes into a bridge; with `swap` it takes that one's place, which leaves without a further word."""
        bridge.channels.append(channel)
        channel.bridge = bridge
        extra = f"SwapUniqueid: {swap.uniqueid}\r\n" if swap else ""
        self.out.append(packet("BridgeEnter", CALL, bridge.block + channel.block + extra, channel.uniqueid))

    def leave(self, channel: Channel, *, stays: bool = False) -> None:
        """A channel leaves its bridge; the last one takes the bridge with it, unless it `stays` for somebody else."""
        bridge = channel.bridge
        if bridge is None:
            return
        bridge.channels.remove(channel)
        channel.bridge = None
        self.out.append(packet("BridgeLeave", CALL, bridge.block + channel.block, channel.uniqueid))
        if not bridge.channels and not stays:
            self.destroy(bridge)

    def destroy(self, bridge: Bridge) -> None:
        """An empty bridge is gone."""
        del self.bridges[bridge.uniqueid]
        self.out.append(packet("BridgeDestroy", CALL, bridge.block))

    def forget_peers(self, *channels: Channel) -> None:
        """The variables that named the other end become empty before a bridge is left."""
        for channel in channels:
            self.var(channel, "BRIDGEPEER", "")
            self.var(channel, "BRIDGEPVTCALLID", "")

    def _name_peers(self, bridge: Bridge) -> None:
        first, second = bridge.channels[0], bridge.channels[1]
        for channel, other in ((first, second), (second, first)):
            self.var(channel, "BRIDGEPEER", other.name)
            self.var(channel, "BRIDGEPVTCALLID", f"{other.uniqueid}@127.0.0.1")

    # ---- devices -------------------------------------------------------------------------------------------------

    def refresh(self, endpoint: str) -> None:
        """Tell the new state of a device, if it has one."""
        device = self.devices[endpoint]
        state = device.current()
        if state == device.state:
            return
        device.state = state
        agent = device.agent
        if agent:
            status, text = HINT_STATUS[state]
            body = (
                f"Exten: {agent.extension}\r\nContext: internal\r\nHint: {endpoint}\r\n"
                f"Status: {status}\r\nStatusText: {text}\r\n"
            )
            self.out.append(packet("ExtensionStatus", CALL, body))
        self.device_state(endpoint, state)
        if agent:
            for queue, member in self.places(endpoint):
                member.status = MEMBER_STATUS[state]
                self.member_event("QueueMemberStatus", queue, member)
            if state == "NOT_INUSE":
                self.freed.append(endpoint)

    def device_state(self, device: str, state: str) -> None:
        """DeviceStateChange of anything that has a state, queues too."""
        self.out.append(packet("DeviceStateChange", CALL, f"Device: {device}\r\nState: {state}\r\n"))

    def is_free(self, endpoint: str) -> bool:
        """Could this phone be rung now?"""
        return self.devices[endpoint].channels == 0

    def free_agents(self) -> list[SimAgent]:
        """Phones without any channel, in the order of the configuration."""
        return [agent for agent in self.config.agents if self.is_free(agent.endpoint)]

    # ---- queues --------------------------------------------------------------------------------------------------

    def join(self, name: str, channel: Channel) -> QueueEntry:
        """A caller starts to wait."""
        queue = self.queues[name]
        entry = QueueEntry(channel, self.now, len(queue.waiting) + 1)
        queue.waiting.append(entry)
        self._queue_state(queue)
        count = len(queue.waiting)
        extra = f"Queue: {name}\r\nPosition: {count}\r\nCount: {count}\r\n"
        self.tell("QueueCallerJoin", channel, extra, AGENT)
        return entry

    def leave_queue(self, queue: Queue, entry: QueueEntry) -> None:
        """A caller waits no longer, for whatever reason; the others move up (Asterisk has no event for that)."""
        position = queue.waiting.index(entry) + 1
        queue.waiting.remove(entry)
        self._queue_state(queue)
        extra = f"Queue: {queue.name}\r\nPosition: {position}\r\nCount: {len(queue.waiting)}\r\n"
        self.tell("QueueCallerLeave", entry.channel, extra, AGENT)
        self.var(entry.channel, "QUEUEPOSITION", position)

    def abandon(self, queue: Queue, entry: QueueEntry) -> None:
        """QueueCallerAbandon: the caller gave up, or the queue's time limit ran out."""
        queue.abandoned += 1
        self.var(entry.channel, "ABANDONED", "TRUE")
        position = queue.waiting.index(entry) + 1
        extra = headers(
            ("Queue", queue.name),
            ("Position", position),
            ("OriginalPosition", entry.position),
            ("HoldTime", int(self.now - entry.joined)),
        )
        self.tell("QueueCallerAbandon", entry.channel, extra, AGENT)

    def agent_event(
        self, event: str, queue: Queue, member: Member, caller: Channel, leg: Channel, extra: str = ""
    ) -> None:
        """AgentCalled, AgentConnect, AgentComplete, AgentRingNoAnswer."""
        body = (
            f"{caller.block}{leg.dest}Queue: {queue.name}\r\nInterface: {member.interface}\r\n"
            f"MemberName: {member.name}\r\n{extra}"
        )
        self.out.append(packet(event, AGENT, body, caller.uniqueid))

    def member_event(self, event: str, queue: Queue, member: Member) -> None:
        """QueueMemberStatus, QueueMemberPause, QueueMemberAdded, QueueMemberRemoved, QueueMemberPenalty."""
        self.out.append(packet(event, AGENT, member.event_block(queue.name)))

    def completed(self, interface: str) -> None:
        """An agent's queue call is over: counted in each queue (shared_lastcall=yes)."""
        for _, member in self.places(interface):
            member.calls_taken += 1
            member.last_call = int(self.now)

    def places(self, endpoint: str) -> list[tuple[Queue, Member]]:
        """The memberships of a phone."""
        return self._places.get(endpoint, [])

    def add_member(self, queue: Queue, member: Member) -> None:
        """A phone joins a queue (QueueAdd)."""
        queue.members.append(member)
        self._places.setdefault(member.state_interface, []).append((queue, member))
        device = self.devices.get(member.state_interface)
        if device is not None:
            member.status = MEMBER_STATUS[device.state]
        self.member_event("QueueMemberAdded", queue, member)

    def remove_member(self, queue: Queue, member: Member) -> None:
        """A phone leaves a queue (QueueRemove)."""
        queue.members.remove(member)
        self._places[member.state_interface].remove((queue, member))
        self.member_event("QueueMemberRemoved", queue, member)

    def pause(self, queue: Queue, member: Member, paused: bool, reason: str) -> None:
        """An agent takes a break from a queue, or is back."""
        member.paused = paused
        member.reason = reason if paused else ""
        if paused:
            member.last_pause = int(self.now)
        state = "INUSE" if paused else "NOT_INUSE"
        self.device_state(f"Queue:{queue.name}_pause_{member.interface}", state)
        self.member_event("QueueMemberPause", queue, member)
        if not paused and self.is_free(member.state_interface):
            self.freed.append(member.state_interface)

    def _queue_state(self, queue: Queue) -> None:
        state = "RINGING" if queue.waiting else "NOT_INUSE"
        if state != queue.state:
            queue.state = state
            self.device_state(f"Queue:{queue.name}", state)


def wall_clock(at: float) -> str:
    """A moment as CDRs write it."""
    return _second(int(at))


@lru_cache(maxsize=1024)  # many calls begin and end in one second
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def cause_lines(cause: int | None, tech: int | None) -> str:
    """`Cause` and `TechCause`, each only where it is known."""
    lines = "" if cause is None else f"Cause: {cause}\r\n"
    return lines if tech is None else f"{lines}TechCause: {tech}\r\n"
