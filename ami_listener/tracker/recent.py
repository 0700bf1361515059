"""What ended lately, so that a late event or an old answer of the PBX does not bring it back to life."""

import re
from dataclasses import dataclass
from datetime import datetime

# A few seconds of hang-ups on a busy PBX; late events come within milliseconds. At least these many are kept, at
# most twice as many.
_KEPT = 2048
# Asterisk's own ids hold the start time and a counter and never repeat. One that a client chose (ChannelId of
# Originate) may: there a new channel is a new channel.
_OWN_ID = re.compile(r"\d{9,}\.\d+$")


class RecentIds:
    """Bounded; between `hold` and `release` (a resync, whose answers may be seconds old) nothing is dropped.

    Two generations, the older one dropped whole: dropping one by one searches for the oldest each time.
    """

    def __init__(self) -> None:
        self._young: set[str] = set()
        self._old: set[str] = set()
        self._held = False

    def add(self, uniqueid: str) -> None:
        self._young.add(uniqueid)
        if len(self._young) >= _KEPT and not self._held:
            self._old, self._young = self._young, set()

    def discard(self, uniqueid: str) -> None:
        self._young.discard(uniqueid)
        self._old.discard(uniqueid)

    def holds(self, uniqueid: str, late: bool) -> bool:
        """Was it hung up? `late`: not from its Newchannel, so even a client's own id is believed to be the old one."""
        if uniqueid not in self._young and uniqueid not in self._old:
            return False
        return late or _OWN_ID.search(uniqueid) is not None

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        self._held = False


@dataclass(slots=True)
class LeftQueue:
    """A caller left a queue. answered: to an agent, as QueueCallerLeave alone does not say."""

    name: str
    at: datetime
    answered: bool = False


class LeftQueues:
    """Who left which queue while the PBX was asked for its state, by Uniqueid: its list of waiting callers may be
    older than that. Filled between `hold` and `release` only."""

    def __init__(self) -> None:
        self._left: dict[str, LeftQueue] = {}
        self._held = False

    def add(self, uniqueid: str, name: str, at: datetime, answered: bool = False) -> None:
        if self._held:
            left = self._left.setdefault(uniqueid, LeftQueue(name, at))
            left.answered = left.answered or answered

    def discard(self, uniqueid: str) -> None:
        """It joined a queue: what it left before is another stay."""
        self._left.pop(uniqueid, None)

    def get(self, uniqueid: str, name: str) -> LeftQueue | None:
        left = self._left.get(uniqueid)
        return left if left is not None and left.name == name else None

    def hold(self) -> None:
        self._held = True
        self._left.clear()

    def release(self) -> None:
        self._held = False
        self._left.clear()
