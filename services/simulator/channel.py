"""A channel and a bridge of the PBX, and the blocks of headers that describe them in events."""

from dataclasses import dataclass, field
from typing import NamedTuple

STATE_NAMES = {0: "Down", 4: "Ring", 5: "Ringing", 6: "Up", 7: "Busy"}

UNKNOWN = "<unknown>"
"""What AMI writes for a number or name that nobody sent."""


class Channel:
    """One leg. Change it only through `update`: its block of headers is rendered once per change.

    number/name: the party at this end; connected_*: the party it is told it talks to; both None if unknown.
    created: Unix seconds. dnid: what was dialled to reach the PBX on this channel, "" for legs the PBX dials.
    """

    __slots__ = (
        "_block",
        "_dest",
        "app",
        "app_data",
        "bridge",
        "connected_name",
        "connected_number",
        "context",
        "created",
        "dnid",
        "endpoint",
        "exten",
        "held",
        "linkedid",
        "name",
        "number",
        "party",
        "priority",
        "state",
        "uniqueid",
    )

    def __init__(self, name: str, endpoint: str, uniqueid: str, linkedid: str, created: float) -> None:
        self.name = name
        self.endpoint = endpoint
        self.uniqueid = uniqueid
        self.linkedid = linkedid
        self.created = created
        self.state = 0
        self.number: str | None = None
        self.party: str | None = None
        self.connected_number: str | None = None
        self.connected_name: str | None = None
        self.context = ""
        self.exten = ""
        self.priority = 1
        self.app = ""
        self.app_data = ""
        self.dnid = ""
        self.held = False
        self.bridge: Bridge | None = None
        self._block: str | None = None
        self._dest: str | None = None

    def update(
        self,
        *,
        state: int | None = None,
        context: str | None = None,
        exten: str | None = None,
        priority: int | None = None,
    ) -> None:
        """Change what events show of this channel."""
        if state is not None:
            self.state = state
        if context is not None:
            self.context = context
        if exten is not None:
            self.exten = exten
        if priority is not None:
            self.priority = priority
        self._block = self._dest = None

    def relink(self, linkedid: str) -> None:
        """The channel joins another conversation."""
        self.linkedid = linkedid
        self._block = self._dest = None

    def identify(self, number: str | None, party: str | None) -> None:
        """Set the party at this end."""
        self.number, self.party = number, party
        self._block = self._dest = None

    def connect(self, number: str | None, party: str | None) -> None:
        """Set the party this end is told it talks to."""
        self.connected_number, self.connected_name = number, party
        self._block = self._dest = None

    @property
    def block(self) -> str:
        """The 14 headers that describe the channel in nearly every event."""
        if self._block is None:
            self._block = self.render("")
        return self._block

    @property
    def dest(self) -> str:
        """The same with `Dest` before each name: the called side of dial and queue events."""
        if self._dest is None:
            self._dest = self.render("Dest")
        return self._dest

    def render(self, prefix: str) -> str:
        """The block with any prefix (`Transferer`, `Transferee`)."""
        p = prefix
        return (
            f"{p}Channel: {self.name}\r\n{p}ChannelState: {self.state}\r\n"
            f"{p}ChannelStateDesc: {STATE_NAMES[self.state]}\r\n{p}CallerIDNum: {self.number or UNKNOWN}\r\n"
            f"{p}CallerIDName: {self.party or UNKNOWN}\r\n"
            f"{p}ConnectedLineNum: {self.connected_number or UNKNOWN}\r\n"
            f"{p}ConnectedLineName: {self.connected_name or UNKNOWN}\r\n{p}Language: en\r\n{p}AccountCode: \r\n"
            f"{p}Context: {self.context}\r\n{p}Exten: {self.exten}\r\n{p}Priority: {self.priority}\r\n"
            f"{p}Uniqueid: {self.uniqueid}\r\n{p}Linkedid: {self.linkedid}\r\n"
        )


class BridgeKind(NamedTuple):
    """What a bridge is for."""

    type: str
    technology: str
    creator: str
    name: str


PLAIN = BridgeKind("basic", "simple_bridge", UNKNOWN, UNKNOWN)


@dataclass(slots=True, eq=False)
class Bridge:
    """A conversation of channels that hear each other."""

    uniqueid: str
    kind: BridgeKind = PLAIN
    channels: list[Channel] = field(default_factory=list)
    announcer: int = 0  # 1 in a conference room: a channel of the PBX's own, which no event shows

    @property
    def block(self) -> str:
        return self.render("")

    def render(self, prefix: str) -> str:
        """The headers that describe the bridge, with any prefix (`Orig`, `Second`, `To`, `From`)."""
        p = f"{prefix}Bridge"
        count = len(self.channels) + self.announcer
        return (
            f"{p}Uniqueid: {self.uniqueid}\r\n{p}Type: {self.kind.type}\r\n{p}Technology: {self.kind.technology}\r\n"
            f"{p}Creator: {self.kind.creator}\r\n{p}Name: {self.kind.name}\r\n{p}NumChannels: {count}\r\n"
            f"{p}VideoSourceMode: none\r\n"
        )
