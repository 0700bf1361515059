"""A queue as app_queue keeps it: members, waiting callers, and whom to ring next."""

import math
from collections.abc import Callable

from services.simulator.channel import Channel
from services.simulator.config import SimQueue
from services.simulator.packets import headers

MEMBER_STATUS = {"NOT_INUSE": 1, "INUSE": 2, "BUSY": 3, "RINGING": 6, "RINGINUSE": 7, "ONHOLD": 8}
"""Device state → `Status` of queue member events."""


class Member:
    """An agent's place in one queue. Times are whole Unix seconds, 0 for never."""

    __slots__ = (
        "calls_taken",
        "dynamic",
        "in_call",
        "interface",
        "last_call",
        "last_pause",
        "login_time",
        "name",
        "paused",
        "penalty",
        "reason",
        "state_interface",
        "status",
    )

    def __init__(
        self, interface: str, state_interface: str, name: str, login_time: int, *, dynamic: bool = False
    ) -> None:
        self.interface = interface
        self.state_interface = state_interface
        self.name = name
        self.login_time = login_time
        self.dynamic = dynamic
        self.penalty = 0
        self.calls_taken = 0
        self.last_call = 0
        self.last_pause = 0
        self.in_call = 0
        self.status = 1
        self.paused = False
        self.reason = ""

    @property
    def _numbers(self) -> str:
        return (
            f"StateInterface: {self.state_interface}\r\nMembership: {'dynamic' if self.dynamic else 'static'}\r\n"
            f"Penalty: {self.penalty}\r\nCallsTaken: {self.calls_taken}\r\nLastCall: {self.last_call}\r\n"
            f"LastPause: {self.last_pause}\r\nLoginTime: {self.login_time}\r\nInCall: {self.in_call}\r\n"
            f"Status: {self.status}\r\nPaused: {int(self.paused)}\r\nPausedReason: {self.reason}\r\n"
        )

    def event_block(self, queue: str) -> str:
        """The body of QueueMemberStatus and its sisters."""
        return (
            f"Queue: {queue}\r\nMemberName: {self.name}\r\nInterface: {self.interface}\r\n"
            f"{self._numbers}Ringinuse: 0\r\nWrapuptime: 0\r\n"
        )

    def answer_block(self, queue: str) -> str:
        """The body of QueueMember in the answer to QueueStatus: the same facts under other names."""
        return (
            f"Queue: {queue}\r\nName: {self.name}\r\nLocation: {self.interface}\r\n"
            f"{self._numbers}Wrapuptime: 0\r\n"
        )


class QueueEntry:
    """A waiting caller. position: the one at joining. next_member: where a linear queue goes on."""

    __slots__ = ("channel", "joined", "next_member", "position")

    def __init__(self, channel: Channel, joined: float, position: int) -> None:
        self.channel = channel
        self.joined = joined
        self.position = position
        self.next_member = 0


class Queue:
    """One queue."""

    def __init__(self, config: SimQueue, members: list[Member]) -> None:
        self.config = config
        self.name = config.name
        self.members = members
        self.waiting: list[QueueEntry] = []
        self.state = "NOT_INUSE"
        self.completed = 0
        self.abandoned = 0
        self.hold_time = 0.0
        self.talk_time = 0.0

    def pick(self, entry: QueueEntry, is_free: Callable[[str], bool], now: float) -> list[Member]:
        """Whom to ring for a caller now; empty if nobody can be rung (busy phones are not: ringinuse=no)."""

        def can_ring(member: Member) -> bool:
            return not member.paused and now >= self.rested(member) and is_free(member.state_interface)

        if self.config.strategy == "linear":
            return self._next(entry, can_ring)
        able = [m for m in self.members if can_ring(m)]
        if not able:
            return []
        lowest = min(m.penalty for m in able)
        able = [m for m in able if m.penalty == lowest]
        if self.config.strategy == "ringall":
            return able[::-1]  # app_queue dials them from the last to the first
        return [min(able, key=lambda m: m.last_call)]

    def rested(self, member: Member) -> float:
        """When the wrap-up after the agent's last call is over (`wrapuptime`)."""
        return member.last_call + self.config.wrap_up if member.last_call else 0.0

    def next_rested(self, now: float) -> float:
        """When the next agent's wrap-up is over; infinity if nobody is in one."""
        return min((at for at in map(self.rested, self.members) if at > now), default=math.inf)

    def _next(self, entry: QueueEntry, can_ring: Callable[[Member], bool]) -> list[Member]:
        """The next one in the list who can be rung, after whom was tried last; lower penalties first."""
        count = len(self.members)
        best: int | None = None
        for step in range(count):
            place = (entry.next_member + step) % count
            member = self.members[place]
            if not can_ring(member):
                continue
            if best is None or member.penalty < self.members[best].penalty:
                best = place
            if member.penalty == 0:
                break
        if best is None:
            return []
        entry.next_member = best + 1
        return [self.members[best]]

    def count_answer(self, waited: float) -> None:
        """Asterisk's moving average of the time callers waited."""
        self.hold_time += (waited - self.hold_time) / 4

    def count_talk(self, seconds: float) -> None:
        """A queue call was completed."""
        self.completed += 1
        self.talk_time += (seconds - self.talk_time) / 4

    def params_block(self) -> str:
        """The body of QueueParams."""
        return headers(
            ("Queue", self.name),
            ("Max", 0),
            ("Strategy", self.config.strategy),
            ("Calls", len(self.waiting)),
            ("Holdtime", int(self.hold_time)),
            ("TalkTime", int(self.talk_time)),
            ("Completed", self.completed),
            ("Abandoned", self.abandoned),
            ("ServiceLevel", 20),
            ("ServicelevelPerf", "100.0"),
            ("ServicelevelPerf2", "100.0"),
            ("Weight", 0),
        )
