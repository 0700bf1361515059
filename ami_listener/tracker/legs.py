"""The called ends: they ring, answer, hold and end; and the queue that looks for one."""

from datetime import datetime

from ami_listener.tracker import outcomes
from ami_listener.tracker.endpoints import EndpointKind
from ami_listener.tracker.parties import Parties, text
from ami_listener.tracker.state import Attempt, CallRecord, Channel, LegRecord, QueueRecord
from shared.contracts.call import Direction, LegEndReason, LegState, QueueOutcome, TransferOutcome

# A caller who waits for an hour while phones ring in turn must not make each update of his call longer: past this,
# the oldest attempts that came to nothing are dropped.
_MAX_LEGS = 200


class Legs(Parties):
    """Legs, holds and queue stays of calls."""

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
        self.add_leg(call, leg)
        # A short number may be one outside (112, a speed dial), but not where a colleague was called before: his phone
        # forwards, or he passes the call on, and who called has called a colleague.
        colleague = any(other.kind is EndpointKind.AGENT for other in call.legs if other is not leg)
        if channel.kind is EndpointKind.TRUNK and call.direction is Direction.INTERNAL and not colleague:
            call.direction = Direction.OUTBOUND
        return leg

    def add_leg(self, call: CallRecord, leg: LegRecord) -> None:
        """One more end is called. While the caller is in a queue, it is the queue that is tried for a transfer."""
        if len(call.legs) >= _MAX_LEGS:
            _forget_a_leg(call)
        call.legs.append(leg)
        if not call.waits:
            _tried(call, leg)

    def tries(self, call: CallRecord, what: LegRecord | QueueRecord, source: Channel, at: datetime) -> None:
        """The PBX tries a phone or a queue for this channel: for the last transfer, or one of which it tells later."""
        transfer = call.transfers[-1] if call.transfers else None
        if transfer is None or transfer.outcome is not None:
            call.attempt = Attempt(what, self.on_behalf_of(source).uniqueid, at)
        elif transfer.tried is None:
            _tried(call, what)

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
        _note_answer(call, leg)
        leg.answered_at, leg.state, leg.unsure = at, LegState.ANSWERED, False
        self._attempt_answered(call, channel, leg)
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

    def _attempt_answered(self, call: CallRecord, channel: Channel, leg: LegRecord) -> None:
        attempt = call.attempt
        if attempt is None or answered_by(attempt.tried) is leg:
            return
        dialler = channel.dialled_by
        if dialler is None or self.on_behalf_of(dialler).uniqueid != attempt.caller:
            call.attempt = None
        elif isinstance(attempt.tried, LegRecord):
            attempt.tried = leg  # of several phones that were called, another one than the last

    def end_leg(self, call: CallRecord, leg: LegRecord, reason: LegEndReason, at: datetime) -> None:
        """The phone rings or talks no longer."""
        if leg.ended_at is not None:
            return
        if call.half_seen:
            reason = LegEndReason.UNKNOWN
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

    def join_queue(self, call: CallRecord, name: str, position: int | None, at: datetime) -> QueueRecord:
        if call.queue is not None and call.queue.left_at is None:
            if call.queue.name == name:
                return call.queue
            self.leave_queue(call, call.queue, at)
        call.queue = QueueRecord(name, at, position)
        _tried(call, call.queue)
        self.tell(call, at, "queued", None, name)
        return call.queue

    def leave_queue(self, call: CallRecord, queue: QueueRecord, at: datetime) -> None:
        queue.left_at = at
        queue.outcome = QueueOutcome.UNKNOWN if call.blind_end else outcomes.queue_outcome(call, queue)
        self.tell(call, at, "left_queue", None, f"{queue.name}: {queue.outcome.value}")

    def answer_in_queue(self, call: CallRecord, queue: QueueRecord, at: datetime) -> None:
        """The PBX says that an agent has answered; the caller may have left the queue a moment before."""
        queue.left_at = queue.left_at or at
        if queue.outcome is not QueueOutcome.ANSWERED:
            queue.outcome = QueueOutcome.ANSWERED
            self.note(call, "answered")


def answered_by(tried: LegRecord | QueueRecord) -> LegRecord | None:
    """The leg that answered where it was tried, if one did."""
    if isinstance(tried, QueueRecord):
        return tried.answered_by
    return tried if tried.answered_at is not None else None


def _tried(call: CallRecord, what: LegRecord | QueueRecord) -> None:
    if call.transfers and call.transfers[-1].outcome is None:
        call.transfers[-1].tried, call.transfers[-1].unsure = what, False


def _note_answer(call: CallRecord, answered: LegRecord) -> None:
    """For those that this answer ends the waiting of: phones that still ring, and the queue."""
    for other in call.legs:
        if other is not answered and other.alive and other.answered_at is None:
            other.rival = answered
    for stay in (call.queue, call.asked):
        if stay is not None and stay.left_at is None:
            stay.answered_by = answered


def _forget_a_leg(call: CallRecord) -> None:
    at = next((i for i, leg in enumerate(call.legs) if not leg.alive and leg.answered_at is None), None)
    if at is not None:
        del call.legs[at]
