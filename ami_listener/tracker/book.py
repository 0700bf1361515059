"""The book of open calls: channels come and go, and with them calls begin, become one and end. No AMI in here.

Its layers, each knowing only those below: `ledger` (indexes, telling), `bridging` (who is connected with whom),
`parties` (who the call is about), `legs` (who was called, holds, queue), and this one.
"""

from datetime import datetime

from ami_listener.tracker import blind, outcomes
from ami_listener.tracker.endpoints import (
    HELPER_TECHNOLOGIES,
    IGNORED_TECHNOLOGIES,
    EndpointKind,
    endpoint_of,
    technology,
)
from ami_listener.tracker.legs import Legs
from ami_listener.tracker.parties import dialled, text
from ami_listener.tracker.state import RING, CallRecord, Channel, LegRecord
from shared.contracts.call import CallEndReason, CallState, Direction, LegEndReason, TransferOutcome


class Book(Legs):
    """Open calls of one PBX and every operation on them."""

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
        call = CallRecord(self._unused(f"{self.pbx}-{linkedid}"), at, [linkedid], gap)
        call.unseen_since = blind.EVER if gap else None
        self.calls[call.call_id] = call
        self.by_linkedid[linkedid] = call
        return call

    def _unused(self, call_id: str) -> str:
        """What is over stays over: for channels that come to light afterwards, or a client's own id used once more."""
        again, name = 1, call_id
        while self.ended.holds(name, True):
            again += 1
            name = f"{call_id}~{again}"
        return name

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
            call.anchor = call.talking_to = None
        if call.parked is channel:
            call.parked = None

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
            if not channel.left and call.direction is not Direction.INBOUND:
                self._customer_stays(call, channel)
        customer_gone = call.anchor is channel and channel.kind is EndpointKind.TRUNK
        self.close_holds(call, channel, at)
        self.leave_bridge(channel)
        self.channels.pop(channel.uniqueid, None)
        self.hung_up.add(channel.uniqueid)
        self._part(channel)
        channel.dialled_by = None
        if customer_gone and call.channels:
            self._leave_in_room(call, at)
        if not call.channels:
            # Of a call that came to light in its middle there may be channels that only the PBX knows as yet.
            if not (call.gap and self.asked):
                self.finish(call, at)
        elif call.talking_to is None:
            self.who_talks(call)  # one of a conference left, others stay

    def listed(self, at: datetime) -> None:
        """The PBX has said what goes on, or never will: calls without a channel are over."""
        self.in_sight, self.asked = True, False
        for call in list(self.calls.values()):
            if not call.channels and call.remembered is None:
                call.blind_end = True
                self.finish(call, at)

    def _customer_stays(self, call: CallRecord, leaving: Channel) -> None:
        """The agent who called is taken away and nobody has hung up: the customer was redirected."""
        for other in call.channels.values():
            if (
                other.kind is EndpointKind.TRUNK
                and not other.left
                and other.leg is not None
                and other.leg.talking
            ):
                self.hand_over(call, leaving, other)
                return

    def _leave_in_room(self, call: CallRecord, at: datetime) -> None:
        """The customer has left a conference: agents who stay in it are done with the call."""
        others = list(call.channels.values())
        if all(other.bridge in self.rooms and other.kind is EndpointKind.AGENT for other in others):
            for other in others:
                self.set_aside(other, at)

    def set_aside(self, channel: Channel, at: datetime) -> None:
        """An agent who stays connected when his call is over (AgentLogin, a conference) is done with this one."""
        call, leg = channel.call, channel.leg
        if leg is None or leg.answered_at is None or channel is call.anchor:
            return
        self.end_leg(call, leg, LegEndReason.HANGUP, at)
        self.close_holds(call, channel, at)
        channel.leg = None
        self._part(channel)
        # Of no interest to anybody until the next one takes his channel over.
        idle = CallRecord(self._unused(f"{self.pbx}-{channel.uniqueid}~idle"), at, [], call.gap)
        self.calls[idle.call_id] = idle
        self._join(channel, idle)
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
            # Unseen it may have passed the call on.
            self.end_leg(call, leg, LegEndReason.UNKNOWN if leg.unsure else LegEndReason.HANGUP, at)
        else:
            originated = call.originated and channel is call.anchor
            reason = outcomes.by_hangup(
                cause, outcomes.answered_elsewhere(call, leg), call.caller_left, originated
            )
            self.end_leg(call, leg, outcomes.if_seen(call, leg, reason), at)

    def finish(self, call: CallRecord, at: datetime) -> None:
        """The call is over: decide how, and forget it."""
        if call.ended_at is not None:
            return
        for leg in call.legs:
            if leg.alive:  # its channel went on in another call, or was lost
                self.end_leg(call, leg, LegEndReason.UNKNOWN, at)
        if call.queue is not None and call.queue.left_at is None:
            self.leave_queue(call, call.queue, at)
        half_known = call.blind_end or call.half_seen
        for transfer in call.transfers:
            if transfer.outcome is None and half_known:
                transfer.outcome = TransferOutcome.UNKNOWN
            elif transfer.outcome is None:
                transfer.outcome = outcomes.transfer_outcome(call, transfer)
        for hold in call.holds:
            hold.ended_at = hold.ended_at or at
        call.end_reason = outcomes.call_end_reason(call)
        if call.half_seen or (call.blind_end and call.end_reason is CallEndReason.COMPLETED):
            # It had been answered, but how it ended nobody saw; or who was in it nobody knew.
            call.end_reason = CallEndReason.UNKNOWN
        call.missed = outcomes.is_missed(call)
        call.talking_to = None
        call.ended_at = at
        call.state = CallState.ENDED
        self.tell(call, at, "ended", None, call.end_reason.value)
        self.calls.pop(call.call_id, None)
        self.ended.add(call.call_id)
        for linkedid in call.linkedids:
            if self.by_linkedid.get(linkedid) is call:
                del self.by_linkedid[linkedid]
        if call.origin is not None and self.originating.get(call.origin) is call:
            del self.originating[call.origin]

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
            self.ring(channel, at).unsure = leg is not None and leg.unsure
        if not source.channels:
            self.finish(source, at)


def is_first(channel: Channel) -> bool:
    """True for the channel that its conversation is named after."""
    return channel.uniqueid == channel.linkedid


def arrives(channel: Channel) -> bool:
    """True if the new channel brings a caller, rather than being called by the PBX."""
    return channel.state == RING or dialled(channel.exten) is not None
