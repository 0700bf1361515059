"""What must hold of calls whatever the PBX did: one list, for `ami replay --check`, the tests, soaks and drills. Pure.

Three views, because what can be looked at differs:

- `of_call(call)`: one document, as told or as stored in the record.
- `violations(updates)`: the updates of one listener in the order it told them; each call's documents as well.
- `Channels`: the events themselves: which channels are up, and so which calls may be open.
"""

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ami_listener.message import AmiMessage
from ami_listener.tracker.endpoints import IGNORED_TECHNOLOGIES, technology
from shared.contracts.call import (
    Call,
    CallEndReason,
    CallState,
    CallUpdate,
    Direction,
    Leg,
    LegEndReason,
    LegState,
    QueueOutcome,
    TransferOutcome,
)

# Ended calls whose end is remembered, to notice that one changes later: more than come to an end within the minutes
# in which a late event could bring one back, and still some 20 MB only.
_ENDED_REMEMBERED = 100_000
# Events that name a channel after its Hangup come within the same second; this is a second of a very large PBX.
_GONE_REMEMBERED = 10_000
# The largest whole number that JavaScript holds.
_VERSION_MAX = 2**53


class Invariant(StrEnum):
    """The name of each thing that must hold; `SENTENCES` says it in words."""

    IDENTITY = "identity"
    END_IS_WHOLE = "end_is_whole"
    NOTHING_GOES_ON = "nothing_goes_on"
    LEG_IS_WHOLE = "leg_is_whole"
    NO_LOCAL_LEG = "no_local_leg"
    ONE_LEG_A_CHANNEL = "one_leg_a_channel"
    TIMES_IN_ORDER = "times_in_order"
    ANSWERED_BY_A_LEG = "answered_by_a_leg"
    MISSED_IS_RIGHT = "missed_is_right"
    KNOWN_WORDS = "known_words"
    VERSION_GROWS = "version_grows"
    ENDED_STAYS = "ended_stays"
    NOTHING_IS_UNSAID = "nothing_is_unsaid"
    EVENT_UNDERSTOOD = "event_understood"
    OPEN_HAS_A_CHANNEL = "open_has_a_channel"
    MEMORY_IS_EMPTY = "memory_is_empty"


SENTENCES: dict[Invariant, str] = {
    Invariant.IDENTITY: "A call_id begins with the PBX's name, and an update is about the call that it carries.",
    Invariant.END_IS_WHOLE: "A call is ended, has ended_at and has an end_reason: all three or none.",
    Invariant.NOTHING_GOES_ON: "In an ended call nothing rings, talks, holds, waits or is pending.",
    Invariant.LEG_IS_WHOLE: "A leg is ended, has ended_at and an end_reason: all or none; who talks has answered.",
    Invariant.NO_LOCAL_LEG: "A Local channel is never a leg.",
    Invariant.ONE_LEG_A_CHANNEL: "No two legs are one channel.",
    Invariant.TIMES_IN_ORDER: "started <= ringing <= answered <= ended; the timeline never goes back.",
    Invariant.ANSWERED_BY_A_LEG: "A call was answered only if a leg was.",
    Invariant.MISSED_IS_RIGHT: "Only an inbound call that ended, seen to its end, and that nobody answered is missed.",
    Invariant.KNOWN_WORDS: "States, reasons and outcomes are words of the contract.",
    Invariant.VERSION_GROWS: "The versions of a call grow strictly, and stay below 2^53.",
    Invariant.ENDED_STAYS: "An ended call never changes again.",
    Invariant.NOTHING_IS_UNSAID: "When a call started and was answered never changes, and no leg disappears.",
    Invariant.EVENT_UNDERSTOOD: "No event makes the tracker stumble.",
    Invariant.OPEN_HAS_A_CHANNEL: "A call whose channels are all gone is ended.",
    Invariant.MEMORY_IS_EMPTY: "When no channel is up, nothing is remembered.",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that does not hold. detail: what was found. call_id: None if it is about no single call."""

    invariant: Invariant
    call_id: str | None
    detail: str

    def __str__(self) -> str:
        about = f"{self.call_id}: " if self.call_id else ""
        return f"{self.invariant}: {about}{self.detail} ({SENTENCES[self.invariant]})"


def of_call(call: Call) -> list[Violation]:
    """What does not hold of one call's document; [] if all is well."""
    return [Violation(invariant, call.call_id, detail) for invariant, detail in _of_call(call)]


def violations(updates: Iterable[CallUpdate]) -> Iterator[Violation]:
    """What does not hold of the updates of one listener, in the order it told them. Memory: open calls, and the
    versions of the newest 100,000 ended ones."""
    stream = UpdateStream()
    for update in updates:
        yield from stream.take(update)


class UpdateStream:
    """The same, one update at a time: for those who look at updates as they come. calls: how many there were."""

    def __init__(self) -> None:
        self.calls = 0
        self._open: dict[str, CallUpdate] = {}
        self._ended: OrderedDict[str, int] = OrderedDict()  # call_id → version of its end

    @property
    def open(self) -> list[Call]:
        """Calls that go on, as they were told last."""
        return [update.call for update in self._open.values()]

    def take(self, update: CallUpdate) -> list[Violation]:
        call_id = update.call_id
        found = list(_of_update(update))
        before = self._open.get(call_id)
        if before is not None:
            found += _of_change(before, update)
        elif (ended := self._ended.get(call_id)) is not None:
            found.append((Invariant.ENDED_STAYS, f"ended with version {ended}, then told '{update.change}'"))
            if update.version <= ended:
                found.append((Invariant.VERSION_GROWS, f"{update.version} came after {ended}"))
        else:
            self.calls += 1
        if update.call.state is CallState.ENDED:
            self._open.pop(call_id, None)
            self._ended[call_id] = update.version
            if len(self._ended) > _ENDED_REMEMBERED:
                self._ended.popitem(last=False)
        else:
            self._open[call_id] = update
        found += _of_call(update.call)
        return [Violation(invariant, call_id, detail) for invariant, detail in found]


class Channels:
    """Which channels are up, by the events alone: told apart from the tracker's own memory on purpose.

    `see` every message in order. A channel is up from the first event that names it, because a recording may begin in
    mid-call, to its Hangup, or until it is missing in a list of channels (CoreShowChannel).
    """

    def __init__(self) -> None:
        self.up: dict[str, str] = {}  # Uniqueid → name
        self._gone: OrderedDict[str, None] = OrderedDict()  # some events name a channel just after its Hangup
        self._listed: dict[str, str] | None = (
            None  # a list of channels that is coming in, and what began since
        )

    def see(self, event: AmiMessage) -> None:
        name, uniqueid = event.event, event.get("Uniqueid", "")
        if name == "Hangup":
            self._remove(uniqueid)
        elif name == "Rename":
            if uniqueid in self.up:
                self.up[uniqueid] = event.get("Newname", "")
        elif name == "CoreShowChannelsComplete":
            # Whatever the PBX did not list is gone.
            listed, self._listed = self._listed or {}, None
            for missing in [known for known in self.up if known not in listed]:
                self._remove(missing)
        else:
            if name == "CoreShowChannel" and self._listed is None:
                self._listed = {}
            new = name in ("Newchannel", "CoreShowChannel")
            self._add(uniqueid, event.get("Channel", ""), new)
            self._add(event.get("DestUniqueid", ""), event.get("DestChannel", ""), False)

    def _add(self, uniqueid: str, channel: str, new: bool) -> None:
        if new:
            self._gone.pop(uniqueid, None)
            if self._listed is not None:
                self._listed[uniqueid] = channel
        # <unknown> and <none> stand for no channel.
        if uniqueid in self.up or uniqueid in self._gone or not uniqueid or uniqueid.startswith("<"):
            return
        if channel and technology(channel) not in IGNORED_TECHNOLOGIES:
            self.up[uniqueid] = channel

    def _remove(self, uniqueid: str) -> None:
        self.up.pop(uniqueid, None)
        if self._listed is not None:
            self._listed.pop(uniqueid, None)
        self._gone[uniqueid] = None
        if len(self._gone) > _GONE_REMEMBERED:
            self._gone.popitem(last=False)

    def judge(self, open_calls: Iterable[Call], remembered: Mapping[str, int]) -> Iterator[Violation]:
        """What does not hold now. open_calls, remembered: of the tracker (`open_calls()`, `size()`) after the same
        events."""
        names = set(self.up.values())
        for call in open_calls:
            first = call.call_id.removeprefix(f"{call.pbx}-")
            if first not in self.up and not any(leg.channel in names for leg in call.legs):
                yield Violation(Invariant.OPEN_HAS_A_CHANNEL, call.call_id, f"still {call.state}")
        if not self.up and any(remembered.values()):
            left = ", ".join(f"{count} {kind}" for kind, count in remembered.items() if count)
            yield Violation(Invariant.MEMORY_IS_EMPTY, None, f"left are {left}")


Finding = tuple[Invariant, str]


def _of_update(update: CallUpdate) -> Iterator[Finding]:
    call = update.call
    if call.call_id != update.call_id or call.pbx != update.pbx:
        yield Invariant.IDENTITY, f"the update is about {update.call_id} and carries {call.call_id}"
    if not 0 < update.version < _VERSION_MAX:
        yield Invariant.VERSION_GROWS, f"the version is {update.version}"


def _of_change(before: CallUpdate, update: CallUpdate) -> Iterator[Finding]:
    old, new = before.call, update.call
    if update.version <= before.version:
        yield Invariant.VERSION_GROWS, f"{update.version} came after {before.version}"
    if new.started_at != old.started_at:
        yield Invariant.NOTHING_IS_UNSAID, f"started_at was {old.started_at}, is {new.started_at}"
    if old.answered_at is not None and new.answered_at != old.answered_at:
        yield Invariant.NOTHING_IS_UNSAID, f"answered_at was {old.answered_at}, is {new.answered_at}"
    if len(new.legs) < len(old.legs):
        yield Invariant.NOTHING_IS_UNSAID, f"there were {len(old.legs)} legs, are {len(new.legs)}"


def _of_call(call: Call) -> Iterator[Finding]:
    ended = call.state is CallState.ENDED
    if not call.call_id.startswith(f"{call.pbx}-"):
        yield Invariant.IDENTITY, f"the PBX is {call.pbx}"
    if len({ended, call.ended_at is not None, call.end_reason is not None}) != 1:
        yield (
            Invariant.END_IS_WHOLE,
            f"state {call.state}, ended_at {call.ended_at}, reason {call.end_reason}",
        )
    if ended:
        for what in _going_on(call):
            yield Invariant.NOTHING_GOES_ON, what
    for leg in call.legs:
        yield from _of_leg(leg)
    channels = [leg.channel for leg in call.legs]
    for channel in {c for c in channels if channels.count(c) > 1} if len(channels) > 1 else ():
        yield Invariant.ONE_LEG_A_CHANNEL, f"{channel} is {channels.count(channel)} legs"
    yield from _times(call)
    # A call that was not seen whole may have been answered by a leg that was gone when the listener came.
    if call.answered_at is not None and not call.gap and all(leg.answered_at is None for leg in call.legs):
        yield Invariant.ANSWERED_BY_A_LEG, f"answered_at is {call.answered_at}, and no leg answered"
    if call.missed:
        wrong = [
            word
            for word, holds in (
                ("not ended", not ended),
                (call.direction.value, call.direction is not Direction.INBOUND),
                ("answered", call.answered_at is not None),
                ("ended unseen", call.end_reason is CallEndReason.UNKNOWN),
            )
            if holds
        ]
        if wrong:
            yield Invariant.MISSED_IS_RIGHT, f"it is missed and {' and '.join(wrong)}"
    yield from _words(call)


def _going_on(call: Call) -> Iterator[str]:
    for leg in call.legs:
        if leg.state is not LegState.ENDED:
            yield f"{leg.endpoint} is {leg.state}"
    if any(hold.ended_at is None for hold in call.holds):
        yield "a hold has no end"
    if call.queue is not None and call.queue.outcome is None:
        yield f"the stay in {call.queue.name} has no outcome"
    if any(transfer.outcome is None for transfer in call.transfers):
        yield "a transfer has no outcome"
    if call.talking_to is not None:
        yield f"the caller talks to {call.talking_to}"


def _of_leg(leg: Leg) -> Iterator[Finding]:
    ended = leg.state is LegState.ENDED
    if len({ended, leg.ended_at is not None, leg.end_reason is not None}) != 1:
        yield (
            Invariant.LEG_IS_WHOLE,
            f"{leg.endpoint}: state {leg.state}, ended_at {leg.ended_at}, {leg.end_reason}",
        )
    if leg.state in (LegState.ANSWERED, LegState.HELD) and leg.answered_at is None:
        yield Invariant.LEG_IS_WHOLE, f"{leg.endpoint} is {leg.state} without answered_at"
    if technology(leg.endpoint) == "Local":
        yield Invariant.NO_LOCAL_LEG, leg.endpoint


def _times(call: Call) -> Iterator[Finding]:
    for leg in call.legs:
        if not _ordered(call.started_at, leg.ringing_at, leg.answered_at, leg.ended_at, call.ended_at):
            yield Invariant.TIMES_IN_ORDER, f"leg {leg.endpoint}"
    if not _ordered(call.started_at, call.answered_at, call.ended_at):
        yield Invariant.TIMES_IN_ORDER, f"answered at {call.answered_at}"
    queue = call.queue
    if queue is not None and not _ordered(call.started_at, queue.joined_at, queue.left_at, call.ended_at):
        yield Invariant.TIMES_IN_ORDER, f"queue {queue.name}"
    if any(not _ordered(call.started_at, hold.started_at, hold.ended_at) for hold in call.holds):
        yield Invariant.TIMES_IN_ORDER, "a hold"
    if not _ordered(*(entry.at for entry in call.timeline)):
        yield Invariant.TIMES_IN_ORDER, "the timeline"


def _ordered(*moments: datetime | None) -> bool:
    known = [moment for moment in moments if moment is not None]
    return all(early <= late for early, late in itertools.pairwise(known))


def _words(call: Call) -> Iterator[Finding]:
    """The tracker builds documents without having them validated word by word; the wire would refuse these later."""
    words: list[tuple[object, type[StrEnum]]] = [
        (call.state, CallState),
        (call.direction, Direction),
        (call.end_reason, CallEndReason),
        (call.queue and call.queue.outcome, QueueOutcome),
    ]
    words += [(leg.state, LegState) for leg in call.legs]
    words += [(leg.end_reason, LegEndReason) for leg in call.legs]
    words += [(transfer.outcome, TransferOutcome) for transfer in call.transfers]
    for word, kind in words:
        if word is not None and not isinstance(word, kind):
            yield Invariant.KNOWN_WORDS, f"{word!r} is no {kind.__name__}"
