"""Ids of channels that were hung up lately, so that a late event does not bring them back to life."""

import re

# A few seconds of hang-ups on a busy PBX; late events come within milliseconds.
_KEPT = 2048
# Asterisk's own ids hold the start time and a counter and never repeat. One that a client chose (ChannelId of
# Originate) may: there a new channel is a new channel.
_OWN_ID = re.compile(r"\d{9,}\.\d+$")


class RecentIds:
    """Bounded; between `hold` and `release` (a resync, whose answers may be seconds old) nothing is dropped."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._held = False

    def add(self, uniqueid: str) -> None:
        self._ids[uniqueid] = None
        if not self._held:
            self._trim()

    def discard(self, uniqueid: str) -> None:
        self._ids.pop(uniqueid, None)

    def holds(self, uniqueid: str, late: bool) -> bool:
        """Was it hung up? `late`: not from its Newchannel, so even a client's own id is believed to be the old one."""
        return uniqueid in self._ids and (late or _OWN_ID.search(uniqueid) is not None)

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        self._held = False
        self._trim()

    def _trim(self) -> None:
        while len(self._ids) > _KEPT:
            del self._ids[next(iter(self._ids))]
