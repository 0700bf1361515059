"""What the softphones did, and whether the stored calls say the same. Pure, but for reading the phones' own notes.

A phone's dialog and a channel of the PBX are one to one; a stored call names the channel of each called end. So every
dialog has its place in the stored calls, and every stored call its dialog.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.contracts.call import Call, CallState, Direction, Leg, LegEndReason
from shared.phone import normalise
from tests.asterisk.calls.softphone import Call as Dialog
from tests.asterisk.calls.softphone import Phone, user_of
from tests.asterisk.calls.world import World

# Phone and listener are told of the same moment by the PBX within milliseconds; here they also share one busy
# process with other calls.
TOLERANCE_SECONDS = 1.0

_REFUSED = {LegEndReason.BUSY, LegEndReason.REJECTED, LegEndReason.FAILED}
_UNANSWERED = {LegEndReason.NO_ANSWER, LegEndReason.CANCELLED, LegEndReason.ANSWERED_ELSEWHERE}
_TALKED = {LegEndReason.HANGUP, LegEndReason.TRANSFERRED}


@dataclass(frozen=True, slots=True)
class Line:
    """One dialog as its phone knows it. Times are seconds since the epoch.

    endpoint: of the phone, as the PBX calls it. number: what was dialled, or who is shown as the caller.
    code: the final answer to the INVITE; 487 is a ringing that was taken back.
    """

    endpoint: str
    outgoing: bool
    number: str
    caller: str
    began_at: float
    answered_at: float | None
    ended_at: float | None
    code: int | None

    def __str__(self) -> str:
        what = f"{self.caller} dials {self.number}" if self.outgoing else f"rings for {self.caller}"
        return f"{self.endpoint} {what}"


@dataclass(frozen=True, slots=True)
class _End:
    """A called end, by its channel: its legs, in one call or (a consultation that became the customer's) in two."""

    legs: tuple[Leg, ...]

    @property
    def rang(self) -> bool:
        return any(leg.ringing_at for leg in self.legs)

    @property
    def began_at(self) -> float:
        return min(
            _epoch(at) for leg in self.legs for at in (leg.ringing_at, leg.answered_at, leg.ended_at) if at
        )

    @property
    def answered_at(self) -> float | None:
        return min((_epoch(leg.answered_at) for leg in self.legs if leg.answered_at), default=None)

    @property
    def last(self) -> Leg:
        return max(self.legs, key=lambda leg: _epoch(leg.ended_at) if leg.ended_at else 0.0)


def _epoch(at: datetime) -> float:
    return at.timestamp()


def lines(world: World) -> list[Line]:
    """Every dialog of every phone since they were last cleared, in the order they began."""

    def of(phone: Phone, endpoint: str) -> Iterator[Line]:
        for dialog in phone.calls.values():
            yield _line(dialog, endpoint)

    found = [*of(world.trunk, f"{world.tech}/trunk")]
    for number, phone in world.a.items():
        found += of(phone, f"{world.tech}/agent{number}")
    return sorted(found, key=lambda line: line.began_at)


def _line(dialog: Dialog, endpoint: str) -> Line:
    return Line(
        endpoint,
        dialog.outgoing,
        user_of(dialog.remote_uri) if dialog.outgoing else user_of(dialog.local_uri),
        user_of(dialog.local_uri) if dialog.outgoing else dialog.caller,
        dialog.began_at,
        dialog.answered_at,
        dialog.ended_at,
        dialog.code,
    )


def deviations(world: Sequence[Line], calls: Sequence[Call], originated: int = 0) -> list[str]:
    """A sentence for each thing that the stored calls tell otherwise than the phones do.

    originated: calls that the PBX was asked to begin (Originate), which no phone dialled.
    """
    return [*_calls(world, calls, originated), *_ends(world, calls)]


def _calls(world: Sequence[Line], calls: Sequence[Call], originated: int) -> Iterator[str]:
    """Who called whom: a call for each number dialled, and none else."""
    dialled = [line for line in world if line.outgoing]
    if len(calls) != len(dialled) + originated:
        yield f"{len(dialled)} dialled and {originated} originated, but {len(calls)} calls are stored"
    for one in calls:
        if one.state is not CallState.ENDED or one.gap:
            yield f"{one.call_id} ({one.caller.endpoint} to {one.did}): stored as {one.state}, gap {one.gap}"
    left = sorted(calls, key=lambda call: call.started_at)
    for line in dialled:
        call = next((one for one in left if _began(line, one)), None)
        if call is None:
            yield f"no call for: {line}"
            continue
        left.remove(call)
        from_trunk = line.endpoint.endswith("/trunk")
        if from_trunk is not (call.direction is Direction.INBOUND):
            yield f"{line}: is stored as {call.direction}"
        known = line.caller.removeprefix("+").isdigit()
        if from_trunk and known and call.caller.number not in (line.caller, _e164(line.caller)):
            yield f"{line}: the caller is stored as {call.caller.number}"
        yield from _moment(line, "began", line.began_at, call.started_at)
        # A consultation ends for the record when its two lines are made into one, not when the phones notice.
        if from_trunk:
            yield from _moment(line, "ended", line.ended_at, call.ended_at)


def _began(line: Line, call: Call) -> bool:
    return call.caller.endpoint == line.endpoint and call.did in (line.number, _e164(line.number))


def _ends(world: Sequence[Line], calls: Iterable[Call]) -> Iterator[str]:
    """Who rang, who answered, when, and how it ended for him."""
    by_channel: dict[str, list[Leg]] = {}
    for call in calls:
        for leg in call.legs:
            by_channel.setdefault(leg.channel, []).append(leg)
    # Without a ring it is a phone that dialled itself into the call: pick-up, fetching from the park, a conference.
    ends = [_End(tuple(legs)) for legs in by_channel.values()]
    rung = sorted((one for one in ends if one.rang), key=lambda one: one.began_at)
    for line in world:
        if line.outgoing:
            continue
        end = next((one for one in rung if one.legs[0].endpoint == line.endpoint), None)
        if end is None:
            yield f"{line}: no leg for it"
            continue
        rung.remove(end)
        yield from _moment(line, "answered", line.answered_at, end.answered_at)
        passed_on = end.last.end_reason is LegEndReason.TRANSFERRED
        # Who has passed the caller on may stay on the line for a while, to be told the place in the park.
        if (line.answered_at is not None and not passed_on) or line.code == 487:
            yield from _moment(line, "ended", line.ended_at, end.last.ended_at)
        allowed = _allowed(line)
        if end.last.end_reason not in allowed:
            words = " or ".join(sorted(allowed))
            yield f"{line}: its leg is stored as {end.last.end_reason}, it was {words}"
    for unheard in rung:
        yield f"a leg of {unheard.legs[0].channel} is stored as having rung, and no phone did"


def _allowed(line: Line) -> set[LegEndReason]:
    if line.answered_at is not None:
        return _TALKED
    if line.code == 302:
        return {LegEndReason.TRANSFERRED}
    return _UNANSWERED if line.code in (None, 487) else _REFUSED


def _moment(line: Line, what: str, phone: float | None, stored: datetime | float | None) -> Iterator[str]:
    at = _epoch(stored) if isinstance(stored, datetime) else stored
    if phone is None or at is None:
        if phone is not at:
            yield f"{line}: {what} for the phone: {phone is not None}, for the record: {at is not None}"
    elif abs(phone - at) > TOLERANCE_SECONDS:
        yield f"{line}: {what} {at - phone:+.1f} s off in the record"


def _e164(number: str) -> str | None:
    return normalise(number, "RU")
