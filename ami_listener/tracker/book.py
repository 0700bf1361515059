"""The book of open calls: indexes, and the few operations that change a call. No AMI in here.

Every index is keyed by what an event carries, so an event costs the same with ten open calls as with two thousand.
"""

from datetime import datetime

from ami_listener.tracker import outcomes
from ami_listener.tracker.endpoints import (
    HELPER_TECHNOLOGIES,
    IGNORED_TECHNOLOGIES,
    EndpointKind,
    EndpointRules,
    endpoint_of,
    extension,
    short_number,
    technology,
)
from ami_listener.tracker.recent import RecentIds
from ami_listener.tracker.state import (
    RING,
    CallRecord,
    Channel,
    LegRecord,
    QueueRecord,
)
from shared.contracts.call import (
    CallEndReason,
    CallState,
    Direction,
    LegEndReason,
    LegState,
    Presentation,
    QueueOutcome,
    TimelineEntry,
    TransferOutcome,
)

_NO_NUMBER = frozenset({"", "<unknown>", "unknown"})
# What trunks write where a number should be when the caller hid it.
_WITHHELD = frozenset({"anonymous", "withheld", "restricted", "private", "hidden", "unavailable"})
# A caller who waits for an hour while phones ring in turn must not make each update of his call longer: past these
# the oldest attempts that came to nothing, and what was written of the middle of the call, are dropped.
_MAX_LEGS = 200
_MAX_ENTRIES, _FIRST_ENTRIES = 400, 100
# Extensions that are steps of a dialplan, not something a person dialled.
_NOT_DIALLED = frozenset({"", "s", "h", "i", "t", "o", "a", "fax", "failed"})


def text(value: str | None) -> str | None:
    """A header's value, None if the PBX says that it does not know."""
    return None if value is None or value.lower() in _NO_NUMBER else value


def dialled(exten: str | None) -> str | None:
    """An extension if a person can have dialled it."""
    return None if exten is None or exten in _NOT_DIALLED else exten


class Book:
    """Open calls of one PBX. `touched` collects the calls that the event at hand has changed."""

    def __init__(self, pbx: str, rules: EndpointRules) -> None:
        self.pbx = pbx
        self.rules = rules
        self.channels: dict[str, Channel] = {}
        self.calls: dict[str, CallRecord] = {}
        self.by_linkedid: dict[str, CallRecord] = {}
        self.bridges: dict[str, dict[str, Channel]] = {}
        self.originating: dict[str, CallRecord] = {}  # by endpoint, until the called phone has answered
        self.hung_up = RecentIds()
        self.round = 0
        self.touched: list[CallRecord] = []

    # -- telling

    def note(self, call: CallRecord, change: str) -> None:
        """The call looks different now; `change` says how. The last change of an event names its update, but
        for a call's first."""
        if call.change is None:
            self.touched.append(call)
        if call.change != "started" or change == "ended":
            call.change = change
        if call.ended_at is None:
            call.state = state_of(call)

    def tell(
        self, call: CallRecord, at: datetime, what: str, who: str | None = None, detail: str | None = None
    ) -> None:
        """Note a change and write it into the call's timeline."""
        if len(call.timeline) >= _MAX_ENTRIES:
            del call.timeline[_FIRST_ENTRIES]
        call.timeline.append(TimelineEntry(at=at, what=what, who=who, detail=detail))
        self.note(call, what)

    # -- channels come and go

    def channel(
        self,
        uniqueid: str,
        linkedid: str,
        name: str,
        state: int,
        number: str | None,
        caller_name: str | None,
        context: str,
        exten: str,
        at: datetime,
        *,
        gap: bool,
    ) -> Channel | None:
        """The channel of this id, made if it is new; None if no call is made of such channels.

        gap: the channel was not seen when it was created, so something of the call may have been missed.
        """
        known = self.channels.get(uniqueid)
        if known is not None:
            return known
        tech = technology(name)
        if not uniqueid or not name or tech in IGNORED_TECHNOLOGIES or self.hung_up.holds(uniqueid, gap):
            return None
        linkedid = linkedid or uniqueid
        call = self.by_linkedid.get(linkedid)
        if call is None:
            call = self._begin(linkedid, at, gap=gap or linkedid != uniqueid)
        elif gap and not call.gap:
            call.gap = True
        endpoint, number = endpoint_of(name), text(number)
        helper = tech in HELPER_TECHNOLOGIES
        kind = EndpointKind.OTHER if helper else self.rules.kind(endpoint, context, number)
        channel = Channel(
            uniqueid, linkedid, name, endpoint, kind, helper, call, state, number, text(caller_name), context,
            exten, self.round,
        )  # fmt: skip
        self.channels[uniqueid] = channel
        self.hung_up.discard(uniqueid)
        self._join(channel, call)
        return channel

    def _begin(self, linkedid: str, at: datetime, *, gap: bool) -> CallRecord:
        call = CallRecord(f"{self.pbx}-{linkedid}", at, [linkedid], gap)
        self.calls[call.call_id] = call
        self.by_linkedid[linkedid] = call
        return call

    def _join(self, channel: Channel, call: CallRecord) -> None:
        channel.call = call
        call.channels[channel.uniqueid] = channel
        if channel.helper:
            call.helpers[channel.name] = channel

    def _part(self, channel: Channel) -> None:
        call = channel.call
        call.channels.pop(channel.uniqueid, None)
        call.helpers.pop(channel.name, None)
        if call.anchor is channel:
            call.anchor = None

    def hang_up(self, channel: Channel, cause: int | None, at: datetime) -> None:
        """The channel is gone; with the last one its call ends."""
        call = channel.call
        if cause is None:
            cause = channel.cause
        if channel.leg is not None:
            self._leg_hung_up(channel, channel.leg, cause, at)
        if call.anchor is channel:
            call.hangup_cause = cause
            if not channel.left and any(leg.alive and leg.answered_at is None for leg in call.legs):
                # Its end while phones still ring, with no HangupRequest seen: the caller went.
                self.caller_left(call)
        self.close_holds(call, channel, at)
        self.leave_bridge(channel)
        self.channels.pop(channel.uniqueid, None)
        self.hung_up.add(channel.uniqueid)
        self._part(channel)
        channel.dialled_by = None
        if not call.channels:
            self.finish(call, at)

    def _leg_hung_up(self, channel: Channel, leg: LegRecord, cause: int | None, at: datetime) -> None:
        call = channel.call
        if not leg.alive:
            if leg.end_reason is not None and leg.end_reason is not (
                better := outcomes.refine(leg.end_reason, cause)
            ):
                leg.end_reason = better
                self.note(call, better.value)
        elif leg.answered_at is not None:
            self.end_leg(call, leg, LegEndReason.HANGUP, at)
        else:
            reason = outcomes.by_hangup(cause, _answered_by_other(call, leg), call.caller_left)
            self.end_leg(call, leg, reason, at)

    def finish(self, call: CallRecord, at: datetime) -> None:
        """The call is over: decide how, and forget it."""
        if call.ended_at is not None:
            return
        for leg in call.legs:
            if leg.alive:  # its channel went on in another call, or was lost
                self.end_leg(call, leg, LegEndReason.UNKNOWN, at)
        if call.queue is not None and call.queue.left_at is None:
            self.leave_queue(call, call.queue, at)
        for transfer in call.transfers:
            if transfer.outcome is None:
                transfer.outcome = (
                    TransferOutcome.UNKNOWN if call.blind_end else outcomes.transfer_outcome(call, transfer)
                )
        for hold in call.holds:
            hold.ended_at = hold.ended_at or at
        call.end_reason = outcomes.call_end_reason(call)
        if call.blind_end and call.end_reason is CallEndReason.COMPLETED:
            # It had been answered, but how it ended nobody saw.
            call.end_reason = CallEndReason.UNKNOWN
        call.missed = outcomes.is_missed(call)
        call.talking_to = None
        call.ended_at = at
        call.state = CallState.ENDED
        self.tell(call, at, "ended", None, call.end_reason.value)
        self.calls.pop(call.call_id, None)
        for linkedid in call.linkedids:
            if self.by_linkedid.get(linkedid) is call:
                del self.by_linkedid[linkedid]
        if call.origin is not None and self.originating.get(call.origin) is call:
            del self.originating[call.origin]

    # -- who the call is about

    def arrive(self, channel: Channel, at: datetime) -> None:
        """A real channel begins the call: the caller's."""
        call, rules = channel.call, self.rules
        call.anchor = channel
        call.endpoint = channel.endpoint
        number = channel.number
        if channel.kind is EndpointKind.AGENT:
            number = extension(channel.endpoint, number) or number
        self.show_number(call, number, channel.caller_name, None)
        did = dialled(channel.exten)
        call.did = rules.number(did)
        if channel.kind is EndpointKind.TRUNK:
            call.direction = Direction.INBOUND
        elif channel.kind is EndpointKind.AGENT:
            call.direction = (
                Direction.INTERNAL if did is None or _is_internal_number(did) else Direction.OUTBOUND
            )
        else:
            # Neither name nor context tell: a caller with a phone number comes from outside.
            call.direction = Direction.INTERNAL if short_number(channel.number) else Direction.INBOUND
        self.show(call, at)

    def show(self, call: CallRecord, at: datetime) -> None:
        """From now on the call is told."""
        if not call.visible:
            call.visible = True
            self.tell(call, at, "arrived", call.number or call.endpoint, call.did)
            self.note(call, "started")

    def show_number(
        self, call: CallRecord, number: str | None, name: str | None, presentation: str | None
    ) -> None:
        """Who calls, as far as the PBX may tell."""
        prohibited = presentation is not None and "prohib" in presentation.lower()
        if prohibited or (number is not None and number.lower() in _WITHHELD):
            call.number, call.presentation = None, Presentation.WITHHELD
        elif number is not None:
            call.number, call.presentation = self.rules.number(number), Presentation.ALLOWED
        if name is not None and call.name is None and name.lower() not in _WITHHELD:
            call.name = name

    def caller_left(self, call: CallRecord) -> None:
        """The caller's side hung up: what was going on then decides how the call ended."""
        if call.caller_left:
            return
        call.caller_left = True
        waiting = call.queue is not None and call.queue.left_at is None
        call.left_while_waiting = waiting or any(leg.alive and leg.answered_at is None for leg in call.legs)

    def hand_over(self, call: CallRecord, leaving: Channel, staying: Channel | None) -> None:
        """The anchor left by a transfer: the call goes on about who stays, the customer."""
        if call.anchor is not leaving:
            return
        if staying is None or staying.call is not call or staying is leaving or staying.helper:
            others = [c for c in call.channels.values() if c is not leaving and not c.helper]
            staying = next((c for c in others if c.kind is EndpointKind.TRUNK), others[0] if others else None)
        call.anchor = staying
        if staying is not None and call.talking_to == staying.endpoint:
            partner = self.partner(staying)
            call.talking_to = partner.endpoint if partner is not None else None

    # -- legs

    def ring(self, channel: Channel, at: datetime) -> LegRecord:
        """A phone is called (its DialBegin or first ringing)."""
        if channel.leg is not None:
            return channel.leg
        call = channel.call
        leg = self._new_leg(channel)
        leg.ringing_at = at
        self.show(call, at)
        self.tell(call, at, "ringing", leg.agent or leg.number or leg.endpoint)
        return leg

    def _new_leg(self, channel: Channel) -> LegRecord:
        call = channel.call
        leg = LegRecord(
            endpoint=channel.endpoint,
            channel=channel.name,
            agent=self.rules.agent(channel.endpoint, channel.kind, channel.number),
            kind=channel.kind,
            number=channel.number,
        )
        channel.leg = leg
        if len(call.legs) >= _MAX_LEGS:
            _forget_a_leg(call)
        call.legs.append(leg)
        if channel.kind is EndpointKind.TRUNK and call.direction is Direction.INTERNAL:
            call.direction = Direction.OUTBOUND
        return leg

    def answer(self, channel: Channel, at: datetime) -> None:
        """The phone was picked up."""
        call, leg = channel.call, channel.leg
        if leg is None:
            leg = self._new_leg(channel)
            self.show(call, at)
        if leg.answered_at is not None or not leg.alive:
            return
        anchor = call.anchor
        if call.originated and anchor is not channel and anchor is not None and anchor.leg is not None:
            if anchor.leg.answered_at is None:  # several phones were called, another one answered
                call.anchor = channel
                self._caller_is(call, channel)
        elif call.originated and anchor is None:
            call.anchor = channel
        own_leg = call.anchor.leg if call.anchor is not None else None
        others_talk = any(other.talking and other is not own_leg for other in call.legs)
        leg.answered_at, leg.state = at, LegState.ANSWERED
        own = channel is call.anchor
        if not own:
            if call.answered_at is None:
                call.answered_at = at
            if not others_talk:
                call.talking_to = leg.endpoint
            for transfer in call.transfers:
                if transfer.outcome is None:
                    transfer.outcome = TransferOutcome.ANSWERED
        self.tell(call, at, "answered", leg.agent or leg.number or leg.endpoint)

    def end_leg(self, call: CallRecord, leg: LegRecord, reason: LegEndReason, at: datetime) -> None:
        """The phone rings or talks no longer."""
        if leg.ended_at is not None:
            return
        leg.ended_at, leg.end_reason, leg.state = at, reason, LegState.ENDED
        if call.talking_to == leg.endpoint:
            call.talking_to = None
        self.tell(call, at, reason.value, leg.agent or leg.number or leg.endpoint)

    def call_out(self, channel: Channel, callerid: str | None, at: datetime) -> None:
        """The PBX itself calls this channel (Originate): there is no caller but the one who answers.

        An agent's phone that is called to be connected is both the caller and the first leg: it rings, and its
        owner is the one who talks to the customer. The customer's number is the call's `did`.
        """
        call = channel.call
        if not call.originated and call.anchor is None:
            call.originated = True
            call.direction = Direction.OUTBOUND
            call.origin = channel.endpoint
            self.originating[call.origin] = call
        if channel.helper:
            self._did(call, text(callerid), guessed=True, own=channel.exten)
            return
        if call.anchor is None:
            call.anchor = channel
            self._caller_is(call, channel)
            if channel.kind is EndpointKind.AGENT:
                self._did(call, text(callerid), guessed=True, own=channel.number)
        self.ring(channel, at)

    def _caller_is(self, call: CallRecord, channel: Channel) -> None:
        if channel.kind is not EndpointKind.AGENT:
            return
        call.endpoint = channel.endpoint
        call.number, call.name = extension(channel.endpoint, channel.number), None
        call.presentation = Presentation.ALLOWED if call.number else Presentation.UNAVAILABLE

    def _did(self, call: CallRecord, number: str | None, *, guessed: bool, own: str | None) -> None:
        if number is None or number == own or number.lower() in _WITHHELD:
            return
        if call.did is None or (call.did_guessed and not guessed):
            call.did, call.did_guessed = self.rules.number(number), guessed
            if call.visible:
                self.note(call, "dialled")

    def dialled_number(self, call: CallRecord, number: str | None) -> None:
        """What an originated call is connected to: better than the caller id it was begun with."""
        if call.originated and number is not None:
            self._did(call, number, guessed=False, own=None)
            if call.answered_at is None:
                internal = call.did is not None and _is_internal_number(call.did)
                call.direction = Direction.INTERNAL if internal else Direction.OUTBOUND

    # -- queues

    def join_queue(self, call: CallRecord, name: str, position: int | None, at: datetime) -> None:
        if call.queue is not None and call.queue.left_at is None:
            if call.queue.name == name:
                return
            self.leave_queue(call, call.queue, at)
        call.queue = QueueRecord(name, at, position)
        self.tell(call, at, "queued", None, name)

    def leave_queue(self, call: CallRecord, queue: QueueRecord, at: datetime) -> None:
        queue.left_at = at
        queue.outcome = QueueOutcome.UNKNOWN if call.blind_end else outcomes.queue_outcome(call)
        self.tell(call, at, "left_queue", None, f"{queue.name}: {queue.outcome.value}")

    # -- holds

    def close_holds(self, call: CallRecord, channel: Channel, at: datetime) -> bool:
        """The channel holds nobody any more; True if it did."""
        found = False
        for hold in call.holds:
            if hold.ended_at is None and hold.uniqueid == channel.uniqueid:
                hold.ended_at, found = at, True
        leg = channel.leg
        if found and leg is not None and leg.state is LegState.HELD:
            leg.state = LegState.ANSWERED
        return found

    # -- bridges

    def enter_bridge(self, channel: Channel, bridge: str) -> None:
        if channel.bridge == bridge:
            return
        self.leave_bridge(channel)
        channel.bridge = bridge
        self.bridges.setdefault(bridge, {})[channel.uniqueid] = channel

    def leave_bridge(self, channel: Channel) -> None:
        bridge, channel.bridge = channel.bridge, None
        members = self.bridges.get(bridge) if bridge is not None else None
        if members is not None and bridge is not None:
            members.pop(channel.uniqueid, None)
            if not members:
                del self.bridges[bridge]

    def other_half(self, channel: Channel) -> Channel | None:
        """`…;2` of `…;1` and back."""
        name = channel.name
        if name.endswith(";1"):
            return channel.call.helpers.get(name[:-1] + "2")
        if name.endswith(";2"):
            return channel.call.helpers.get(name[:-1] + "1")
        return None

    def partner(self, channel: Channel) -> Channel | None:
        """Who is in conversation with this channel, also through Local halves."""
        at, seen = channel, {channel.uniqueid}
        while at.bridge is not None:
            members = [m for m in self.bridges.get(at.bridge, {}).values() if m.uniqueid not in seen]
            for member in members:
                if not member.helper:
                    return member
            half = next((h for m in members if (h := self.other_half(m)) is not None), None)
            if half is None or half.uniqueid in seen:
                return None
            seen.update(m.uniqueid for m in members)
            seen.add(half.uniqueid)
            at = half
        return None

    # -- calls that become one

    def relink(self, channel: Channel, linkedid: str, at: datetime) -> None:
        """The PBX says that the channel belongs to another conversation now."""
        if not linkedid or linkedid == channel.linkedid:
            return
        channel.linkedid = linkedid
        call = self.by_linkedid.get(linkedid)
        if call is None:
            self.by_linkedid[linkedid] = channel.call
            channel.call.linkedids.append(linkedid)
        elif call is not channel.call:
            self.move(channel, call, at)

    def move(self, channel: Channel, target: CallRecord, at: datetime) -> None:
        """A channel goes on in another call: a consulted agent takes over, a colleague picks up."""
        source = channel.call
        if source is target or target.ended_at is not None:
            return
        if source.anchor is channel and channel.kind is EndpointKind.TRUNK:
            return  # a customer's call stays that customer's, whoever else is in the conference
        half = self.other_half(channel)
        leg, channel.leg = channel.leg, None
        rang_at = leg.ringing_at if leg is not None and leg.answered_at is None else None
        if leg is not None and leg.alive:
            self.end_leg(source, leg, LegEndReason.TRANSFERRED, at)
        self.close_holds(source, channel, at)
        self._part(channel)
        source.merged = True
        self.tell(source, at, "joined", None, target.call_id)
        self._join(channel, target)
        if half is not None:
            self._part(half)
            self._join(half, target)
        if rang_at is not None and not channel.helper:
            self.ring(channel, at)
        if not source.channels:
            self.finish(source, at)


def _forget_a_leg(call: CallRecord) -> None:
    at = next((i for i, leg in enumerate(call.legs) if not leg.alive and leg.answered_at is None), None)
    if at is not None:
        del call.legs[at]
        for transfer in call.transfers:
            if transfer.first_leg > at:
                transfer.first_leg -= 1


def state_of(call: CallRecord) -> CallState:
    """State of a call that has not ended."""
    ringing, talking, held = outcomes.leg_states(call)
    if talking:
        held = held or any(hold.ended_at is None for hold in call.holds)
        return CallState.HELD if held else CallState.ANSWERED
    if ringing:
        return CallState.RINGING
    if call.queue is not None and call.queue.left_at is None:
        return CallState.QUEUED
    if call.caller_left:
        return call.state  # what is left of it is only torn down
    if call.originated and call.answered_at is None:
        return CallState.RINGING  # the agent has answered, the customer is about to be called
    if call.picked_up_by_dialplan or call.answered_at is not None:
        return CallState.IVR
    return CallState.NEW


def is_first(channel: Channel) -> bool:
    """True for the channel that its conversation is named after."""
    return channel.uniqueid == channel.linkedid


def arrives(channel: Channel) -> bool:
    """True if the new channel brings a caller, rather than being called by the PBX."""
    return channel.state == RING or dialled(channel.exten) is not None


def _is_internal_number(number: str) -> bool:
    """101, *8, 801 against 89003334455."""
    return len(number.lstrip("+*#")) <= _MAX_INTERNAL or not number.lstrip("+").isdigit()


# Extensions have up to 6 digits; an outside number, also a local one, has more. (112 and the like are not customers.)
_MAX_INTERNAL = 6


def _answered_by_other(call: CallRecord, leg: LegRecord) -> bool:
    own = call.anchor.leg if call.anchor is not None else None
    return any(other.talking and other is not leg and other is not own for other in call.legs)
