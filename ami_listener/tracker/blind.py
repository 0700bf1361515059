"""What is not known of calls that a lost link hid for a while.

When the link is lost, every open call has a gap, and all that it waits for becomes unsure: phones may stop ringing,
callers may be answered, queues may be left, unseen. Until something shows how it is (an event about that very leg or
stay, or the snapshot of the resync), what ends ends as `unknown`: a reason is told if it is true or not at all.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from ami_listener.message import AmiMessage
from ami_listener.tracker.ledger import Ledger
from ami_listener.tracker.state import RINGING, UP, CallRecord, LegRecord

# Of a call that came to light in its middle, everything before was unseen.
EVER = datetime.min.replace(tzinfo=UTC)
# In less time nobody is called, answers, talks and gives the caller back to the dialplan.
_NO_CONVERSATION = timedelta(seconds=5)
# The PBX tells for how long a caller waits in whole seconds.
_WHOLE_SECOND = timedelta(seconds=1)


def lose_sight(ledger: Ledger, at: datetime) -> None:
    """The link is lost: from now on things happen unseen."""
    for call in ledger.calls.values():
        doubt(call, at)
        if not call.gap:
            call.gap = True
            ledger.note(call, "gap")


def doubt(call: CallRecord, since: datetime) -> None:
    """What was going on in this call may have ended unseen since then."""
    call.unseen_since = min(call.unseen_since or since, since)
    call.attempt = None
    for leg in call.legs:
        leg.unsure = leg.unsure or leg.alive
    if call.queue is not None:
        call.queue.unsure = call.queue.unsure or call.queue.left_at is None
    for transfer in call.transfers:
        transfer.unsure = transfer.unsure or transfer.outcome is None


def confirm(
    calls: Iterable[CallRecord],
    there: Mapping[str, AmiMessage],
    waited: Mapping[str, timedelta],
    began: Mapping[str, datetime],
    at: datetime,
) -> None:
    """The PBX has said what goes on, and the calls are settled by it: what still is as it was has not been anything
    else meanwhile.

    there: Uniqueid → its row in the list of channels. waited: Uniqueid → how long it has been in its queue.
    began: Uniqueid → when the channel was made.
    """
    company = Counter(row.get("BridgeId") for row in there.values())
    for call in calls:
        for channel in call.channels.values():
            row, leg = there.get(channel.uniqueid), channel.leg
            if row is None or leg is None or not leg.talking:
                continue
            # Who is in no bridge, or alone in one, has passed the call on, but for one whom the PBX has called and
            # connects now. A list without any BridgeId cannot say who is in none.
            bridge = row.get("BridgeId")
            if channel is call.anchor or bridge is None or (bridge and company[bridge] > 1):
                leg.unsure = False
            elif call.unseen_since is not None:
                leg.unsure = True
        if call.anchor is None or call.unseen_since is None or call.caller_left:
            continue
        ringing = _ringing(call, there)
        for leg in ringing:
            leg.unsure = False
        queue, unseen = call.queue, _unseen(call, began, at)
        rang = [leg for leg in call.legs if leg.answered_at is None and (leg.unsure or leg in ringing)]
        wait = waited.get(call.anchor.uniqueid)
        waited_on = wait is not None and wait + _WHOLE_SECOND >= unseen
        brief = unseen < _NO_CONVERSATION
        if queue is not None and queue.unsure:
            stayed = queue.left_at is None and (waited_on or brief)
        else:
            stayed = waited_on or (brief and not rang)
        waits = queue is not None and queue.left_at is None
        waits = waits or any(leg.alive and leg.answered_at is None for leg in call.legs)
        # A channel that was answered once stays up; while a phone rings on, no other was answered in its place.
        if stayed or (waits and call.anchor.state != UP) or (rang and len(ringing) == len(rang)):
            call.unseen_since = None
        # Else a phone may have been tried, and have refused.
        if waited_on or _still_parked(call, there, company):
            for transfer in call.transfers:
                transfer.unsure = False
        if stayed and queue is not None:
            queue.unsure = False


def _still_parked(
    call: CallRecord, there: Mapping[str, AmiMessage], company: Mapping[str | None, int]
) -> bool:
    """Nobody is with him. Another one who is parked would be, for all the list says; then it is not known."""
    row = there.get(call.parked.uniqueid) if call.parked is not None else None
    return row is not None and (not row.get("BridgeId") or company[row.get("BridgeId")] == 1)


def _unseen(call: CallRecord, began: Mapping[str, datetime], at: datetime) -> timedelta:
    """How long it could not be seen, by our clock or by the PBX's, whichever says more."""
    assert call.anchor is not None and call.unseen_since is not None
    made_at = began.get(call.anchor.uniqueid, call.unseen_since)
    since = max(call.unseen_since, made_at)
    return max(at - since, (at - made_at) - (since - call.started_at))


def _ringing(call: CallRecord, there: Mapping[str, AmiMessage]) -> list[LegRecord]:
    """Unsure legs whose phones ring, as the PBX says."""
    ringing = str(RINGING)
    return [
        channel.leg
        for channel in call.channels.values()
        if channel.leg is not None
        and channel.leg.unsure
        and channel.leg.alive
        and channel.leg.answered_at is None
        and channel.uniqueid in there
        and there[channel.uniqueid].get("ChannelState") == ringing
    ]
