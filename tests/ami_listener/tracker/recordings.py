"""The recorded sessions, as messages with their times, and calls as text that people can check."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from ami_listener.message import AmiMessage
from ami_listener.replay import Timing, final_calls, read_timing
from ami_listener.tracker.endpoints import EndpointRules
from ami_listener.tracker.events import WANTED
from ami_listener.tracker.tracker import Tracker
from ami_listener.wire import AmiFramer
from shared.contracts.call import Call, CallUpdate, Presentation
from shared.phone import normalise

TRACES = Path(__file__).parents[2] / "traces"
FOLDER = TRACES / "22"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ami"))
# What an older Asterisk, or its older SIP driver, tells otherwise: named by their folder.
OLDER = sorted(
    f"{path.parent.name}/{path.stem}" for path in TRACES.glob("*/*.ami") if path.parent.name != FOLDER.name
)
START = datetime(2026, 11, 21, 22, 0, tzinfo=UTC)

Timed = tuple[datetime, AmiMessage]


def rules() -> EndpointRules:
    """Nothing configured but the country: what a fresh installation has."""
    return EndpointRules(normalise=lambda raw: normalise(raw, "RU"))


def read(name: str) -> tuple[bytes, list[Timing]]:
    """The bytes of a recording, and when they came."""
    path = (TRACES if "/" in name else FOLDER) / name
    return Path(f"{path}.ami").read_bytes(), read_timing(Path(f"{path}.timing").read_text())


@cache
def messages(name: str) -> tuple[Timed, ...]:
    """Every event of a recording that the tracker wants, with the time of the recording."""
    data, timing = read(name)
    framer, found, begin = AmiFramer(WANTED), [], 0
    for ms, end in timing:
        for message in framer.feed(data[begin:end]):
            if message.event:
                found.append((START + timedelta(milliseconds=ms), message))
        begin = end
    return tuple(found)


def having(event: str) -> list[str]:
    """Recordings in which there is such an event."""
    return [name for name in NAMES + OLDER if any(message.event == event for _, message in messages(name))]


def told_late(name: str, event: str, by: timedelta) -> Iterator[tuple[Timed, ...]]:
    """A recording in which one such event comes later, after each of those that come within this time of it."""
    events = messages(name)
    for i, (at, message) in enumerate(events):
        if message.event != event:
            continue
        for j in range(i + 1, len(events)):
            if events[j][0] - at > by:
                break
            yield (*events[:i], *events[i + 1 : j + 1], (events[j][0], message), *events[j + 1 :])


def track(events: Iterable[Timed], tracker: Tracker | None = None) -> Iterator[CallUpdate]:
    """Run events through a tracker; no event may make it stumble."""
    tracker = tracker if tracker is not None else Tracker("pbx", rules())
    for at, message in events:
        yield from tracker.handle(message, at)
    assert tracker.last_problem is None


def text(calls: Iterable[Call], *, digits: bool = True) -> str:
    """A few lines a call: who called whom, who rang, who talked, how it ended. Seconds count from its start."""
    return "\n".join("\n".join(_lines(call, digits=digits)) for call in calls) + "\n"


def story(updates: Iterable[CallUpdate]) -> str:
    """The same, and what each call looked like on its way."""
    went: dict[str, list[str]] = {}
    told = []
    for update in updates:
        told.append(update)
        call = update.call
        looks = f"{call.state.value} {call.talking_to}" if call.talking_to else call.state.value
        steps = went.setdefault(update.call_id, [])
        if steps[-1:] != [looks]:
            steps.append(looks)
    return "".join(f"{text([call])}  went {' > '.join(went[call.call_id])}\n" for call in final_calls(told))


def _lines(call: Call, *, digits: bool) -> Iterator[str]:
    def after(at: datetime | None) -> str:
        return "-" if at is None else f"{(at - call.started_at).total_seconds():.1f}"

    caller = call.caller
    who = caller.number or f"({caller.presentation.value})"
    if caller.name:
        who += f' "{caller.name}"'
    assert (caller.number is not None) == (caller.presentation is Presentation.ALLOWED)
    yield f"{call.call_id}: {call.direction.value}, {who} at {caller.endpoint} -> {call.did}"
    if digits:
        for pressed in call.digits:
            yield f"  pressed {pressed.digits} in {pressed.menu}"
    if call.queue is not None:
        queue = call.queue
        outcome = queue.outcome.value if queue.outcome else "waiting"
        yield (
            f"  queue {queue.name} {after(queue.joined_at)}..{after(queue.left_at)}, position {queue.position}:"
            f" {outcome}"
        )
    for leg in call.legs:
        agent = f" (agent {leg.agent})" if leg.agent else ""
        end = leg.end_reason.value if leg.end_reason else leg.state.value
        yield (
            f"  leg {leg.endpoint}{agent} rang {after(leg.ringing_at)}, answered {after(leg.answered_at)},"
            f" ended {after(leg.ended_at)}: {end}"
        )
    for hold in call.holds:
        yield f"  held by {hold.by} {after(hold.started_at)}..{after(hold.ended_at)}"
    for transfer in call.transfers:
        outcome = transfer.outcome.value if transfer.outcome else "pending"
        yield f"  transfer {transfer.kind.value} by {transfer.by} to {transfer.to} {after(transfer.at)}: {outcome}"
    end = call.end_reason.value if call.end_reason else f"goes on, {call.state.value}, with {call.talking_to}"
    missed = ", missed" if call.missed else ""
    gap = ", gap" if call.gap else ""
    yield (
        f"  answered {after(call.answered_at)}, ended {after(call.ended_at)}: {end}{missed}{gap}"
        f" (cause {call.hangup_cause})"
    )
