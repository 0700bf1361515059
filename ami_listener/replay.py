"""A recorded AMI session, run through the tracker offline: a bug report that is one file. Pure."""

import contextlib
import re
from collections.abc import Iterable, Iterator
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
# Enough to hold the greeting of a PBX.
_TAIL = 200
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
    return list(timing_entries(text.splitlines()))


def timing_entries(lines: Iterable[str]) -> Iterator[Timing]:
    """The same, line by line, for a sidecar of any size."""
    for line in lines:
        parts = line.split()
        if len(parts) == 2 and all(p.isascii() and p.isdigit() and len(p) < 16 for p in parts):
            yield int(parts[0]), int(parts[1])


def replay(
    data: bytes | Iterable[bytes],
    *,
    pbx: str = "pbx",
    rules: EndpointRules | None = None,
    timing: Iterable[Timing] = (),
    problems: list[str] | None = None,
) -> Iterator[CallUpdate]:
    """The call updates of a recorded session. Never raises, whatever the bytes are.

    data: what came from the PBX, whole or in pieces. timing: see `read_timing`.
    problems: gets a sentence for each thing that could not be used.
    The clock is the recording's own, so the same bytes give the same updates, versions included.
    """
    run = Replay(pbx, rules)
    for _, updates in run.steps(data, timing):
        yield from updates
    if problems is not None:
        problems += run.problems


class Replay:
    """One run of a recording through a tracker, for those who want to look at it on the way.

    tracker: as it is after the last step. stumbled: a sentence for each event that the tracker could not use.
    """

    def __init__(self, pbx: str = "pbx", rules: EndpointRules | None = None) -> None:
        self.tracker = Tracker(pbx, rules)
        self.stumbled: list[str] = []
        variables = rules.variables if rules is not None else frozenset[str]()
        wanted = WANTED | _ALSO_WANTED | ({"VarSet"} if variables else frozenset())
        self._framer = AmiFramer(wanted, variables=variables)
        self._end = _End()

    def steps(
        self, data: bytes | Iterable[bytes], timing: Iterable[Timing] = ()
    ) -> Iterator[tuple[AmiMessage, list[CallUpdate]]]:
        """Each message that matters, with the updates that came of it."""
        clock = _Clock()
        snapshot = _Snapshot(self.tracker)
        told = 0
        for ms, piece in pieces(data, timing):
            self._end.see(piece)
            for message in self._framer.feed(piece):
                at = clock.at(ms, message)
                yield message, [*snapshot.take(message, at), *self.tracker.handle(message, at)]
                if self.tracker.problems > told:
                    told = self.tracker.problems
                    self.stumbled.append(f"An event could not be used ({self.tracker.last_problem}).")

    @property
    def damage(self) -> list[str]:
        """A sentence for each kind of bytes that were no AMI."""
        seen = self._framer.problems
        return [f"{count} times: {kind.value}" for kind, count in sorted(seen.counts.items())] + list(
            seen.recent
        )

    @property
    def problems(self) -> list[str]:
        """Everything that could not be used."""
        return self.stumbled + self.damage

    @property
    def unfinished(self) -> bool:
        """Do the bytes end inside a message? They do if the recording was stopped just then."""
        return self._end.unfinished


def final_calls(updates: Iterable[CallUpdate]) -> list[Call]:
    """The last state of each call, in the order the calls began. The order of the updates does not matter."""
    last: dict[str, CallUpdate] = {}
    for update in updates:
        known = last.get(update.call_id)
        if known is None or update.version > known.version:
            last[update.call_id] = update
    return sorted((u.call for u in last.values()), key=lambda call: (call.started_at, call.call_id))


def pieces(data: bytes | Iterable[bytes], timing: Iterable[Timing]) -> Iterator[tuple[int | None, bytes]]:
    """The bytes cut where the timing says that a read ended, each piece with its milliseconds; without a time what
    the timing does not cover."""
    entries = iter(timing)
    entry = next(entries, None)
    at = 0  # offset of what is yielded next
    for chunk in _slices(data) if isinstance(data, bytes) else data:
        begin = 0
        while begin < len(chunk):
            while entry is not None and entry[1] <= at:
                entry = next(entries, None)
            ms, end = (None, len(chunk)) if entry is None else (entry[0], begin + entry[1] - at)
            piece = chunk[begin:end]
            yield ms, piece
            at += len(piece)
            begin += len(piece)


def _slices(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), _SLICE):
        yield data[at : at + _SLICE]


class _End:
    """Looks at the last bytes of a stream."""

    def __init__(self) -> None:
        self._last = b""

    def see(self, piece: bytes) -> None:
        self._last = (self._last + piece[-_TAIL:])[-_TAIL:]

    @property
    def unfinished(self) -> bool:
        if not self._last or self._last.endswith((b"\r\n\r\n", b"\n\n")):
            return False
        # Nothing but the greeting, whose single line is whole: the PBX had nothing to say yet.
        return not (self._last.startswith(b"Asterisk") and self._last.find(b"\n") == len(self._last) - 1)


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
