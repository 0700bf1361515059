"""A recorded AMI session, run through the tracker offline: a bug report that is one file. Pure."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from ami_listener.message import AmiMessage
from ami_listener.tracker.endpoints import EndpointRules
from ami_listener.tracker.events import WANTED
from ami_listener.tracker.snapshot import PbxSnapshot
from ami_listener.tracker.tracker import Tracker
from ami_listener.wire import AmiFramer
from shared.contracts.call import Call, CallUpdate

# SuccessfulAuth carries the PBX's wall clock; the others are the answers to the questions a listener asks when it
# connects, which a recording of a live session holds as well.
_ALSO_WANTED = frozenset(
    {"SuccessfulAuth", "CoreShowChannel", "CoreShowChannelsComplete", "QueueEntry", "QueueMember"}
)
# Bytes fed at once where no timing says how they came: any size gives the same calls.
_SLICE = 1 << 16
# A recording without any time in it starts here, so that a replay always gives the same output.
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH = re.compile(r"(?:^|-)(\d{9,11})\.\d+$")
# Times a PBX can show; anything else is garbage that would spoil the clock for the rest of the stream.
_EARLIEST, _LATEST = 946_684_800.0, 4_102_444_800.0  # the years 2000 and 2100

Timing = tuple[int, int]
"""(milliseconds since connect, bytes received by then)"""


def read_timing(text: str) -> list[Timing]:
    """The sidecar that `ami record` writes: a line `MS BYTES` for each read, `#` begins a comment. Other lines are
    skipped."""
    entries: list[Timing] = []
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 2 and all(p.isascii() and p.isdigit() and len(p) < 16 for p in parts):
            entries.append((int(parts[0]), int(parts[1])))
    return entries


def replay(
    data: bytes | Iterable[bytes],
    *,
    pbx: str = "pbx",
    rules: EndpointRules | None = None,
    timing: Sequence[Timing] = (),
    problems: list[str] | None = None,
) -> Iterator[CallUpdate]:
    """The call updates of a recorded session. Never raises, whatever the bytes are.

    data: what came from the PBX, whole or in pieces. timing: see `read_timing`; used if `data` is whole.
    problems: gets a sentence for each thing that could not be used.
    The clock is the recording's own, so the same bytes give the same updates, versions included.
    """
    found = problems if problems is not None else []
    tracker = Tracker(pbx, rules)
    framer = AmiFramer(WANTED | _ALSO_WANTED)
    clock = _Clock()
    snapshot = _Snapshot(tracker)
    told = 0
    for ms, piece in _pieces(data, timing):
        for message in framer.feed(piece):
            at = clock.at(ms, message)
            yield from snapshot.take(message, at)
            yield from tracker.handle(message, at)
            if tracker.problems > told:
                told = tracker.problems
                found.append(f"An event could not be used ({tracker.last_problem}).")
    found.extend(f"{count} times: {kind.value}" for kind, count in sorted(framer.problems.counts.items()))
    found.extend(framer.problems.recent)


def final_calls(updates: Iterable[CallUpdate]) -> list[Call]:
    """The last state of each call, in the order the calls began. The order of the updates does not matter."""
    last: dict[str, CallUpdate] = {}
    for update in updates:
        known = last.get(update.call_id)
        if known is None or update.version > known.version:
            last[update.call_id] = update
    return sorted((u.call for u in last.values()), key=lambda call: (call.started_at, call.call_id))


def _pieces(data: bytes | Iterable[bytes], timing: Sequence[Timing]) -> Iterator[tuple[int | None, bytes]]:
    if not isinstance(data, bytes):
        for piece in data:
            yield None, piece
        return
    begin = 0
    for ms, end in timing:
        if end > begin:
            yield ms, data[begin:end]
            begin = end
    for at in range(begin, len(data), _SLICE):
        yield None, data[at : at + _SLICE]


class _Clock:
    """The recording's time: its timing where there is one, else the times that events show. It never goes back."""

    def __init__(self) -> None:
        self._zero: datetime | None = None  # when the recording began
        self._now = _NO_TIME

    def at(self, ms: int | None, message: AmiMessage) -> datetime:
        shown = _shown_time(message)
        if shown is not None and self._zero is None:
            self._zero = shown - timedelta(milliseconds=ms or 0)
            self._now = max(self._now, shown)
        if ms is not None:
            with contextlib.suppress(OverflowError):  # a timing file from another planet
                self._now = max(self._now, (self._zero or _NO_TIME) + timedelta(milliseconds=ms))
        if shown is not None:
            self._now = max(self._now, shown)
        return self._now


def _shown_time(message: AmiMessage) -> datetime | None:
    """Timestamp (`timestampevents=yes`), EventTV, or the second a channel was made, from its Uniqueid."""
    stamp = message.get("Timestamp")
    if stamp is None and message.event == "Newchannel":
        match = _EPOCH.search(message.get("Uniqueid", ""))
        stamp = match.group(1) if match else None
    if stamp is not None:
        try:
            seconds = float(stamp)
        except ValueError:
            return None
        return datetime.fromtimestamp(seconds, UTC) if _EARLIEST < seconds < _LATEST else None
    event_time = message.get("EventTV")
    if event_time is None:
        return None
    try:
        read = datetime.strptime(event_time, "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return read if _EARLIEST < read.timestamp() < _LATEST else None


class _Snapshot:
    """Collects a recorded CoreShowChannels list, and settles the tracker by it as the live listener does."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._channels: list[AmiMessage] = []
        self._entries: list[AmiMessage] = []
        self._members: list[AmiMessage] = []
        self._open = False

    def take(self, message: AmiMessage, at: datetime) -> list[CallUpdate]:
        event = message.event
        if event == "CoreShowChannel":
            if not self._open:
                self._open = True
                self._tracker.begin_resync(at)
            self._channels.append(message)
        elif event == "QueueEntry":
            self._entries.append(message)
        elif event == "QueueMember":
            self._members.append(message)
        elif event == "CoreShowChannelsComplete":
            if not self._open:
                self._tracker.begin_resync(at)
            snapshot = PbxSnapshot(tuple(self._channels), tuple(self._entries), tuple(self._members))
            self._channels, self._entries, self._members, self._open = [], [], [], False
            return self._tracker.settle(snapshot, at)
        return []
