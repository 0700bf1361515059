"""What is to be said of one PBX: kept until it may be said, by us or by another listener. Pure."""

from collections.abc import Callable, Iterable
from datetime import datetime

from ami_listener.lease import Lease, Standing
from ami_listener.memory import Recalled
from shared.contracts.call import CallState, CallUpdate, PbxRoster, PbxStatus

# A speaker's death is noticed within seconds, and an end is read and stored within seconds, also on a bad day; one that
# a killed speaker or a killed Redis took along is younger than this.
_LATELY_SECONDS = 60.0
# A minute at 80 calls/s, some 5 kB each.
_LATELY_CALLS = 5_000


class Voice:
    """Updates, status and roster of one PBX that are not written yet.

    speaking: they may be written now. Between the taking of the lease and `speak()` they may not: first what other
    listeners have told must be known. updates: the newest of each call.
    """

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.speaking = False
        self._spoke = False  # ... since another listener did
        self.updates: dict[str, CallUpdate] = {}
        self.status: PbxStatus | None = None
        self.roster: PbxRoster | None = None
        self._lately: dict[str, tuple[float, CallUpdate]] = {}

    def offer(self, update: CallUpdate, now: float) -> bool:
        """Take an update; False if this listener stands by: then another one tells it. `now`: monotonic seconds."""
        if self.lease.standing is Standing.STANDBY:
            if update.call.state is CallState.ENDED:
                self._remember(update, now)
            return False
        self.updates[update.call_id] = update
        return True

    def take(self, most: int) -> list[CallUpdate]:
        """Updates to be written now, no more waiting."""
        if not self.speaking:
            return []
        return [self.updates.pop(call_id) for call_id in list(self.updates)[:most]]

    def told(self, updates: Iterable[CallUpdate], now: float) -> None:
        """Redis has them. Ends are remembered: it may lose its memory before anybody has read them. `now`: monotonic
        seconds."""
        for update in updates:
            if update.call.state is CallState.ENDED:
                self._remember(update, now)

    def put_back(self, updates: Iterable[CallUpdate]) -> None:
        """They could not be written; where a newer one has come since, they need not be."""
        for update in updates:
            self.updates.setdefault(update.call_id, update)

    def ended(self) -> list[CallUpdate]:
        """Ends that wait, no more waiting."""
        over = [update for update in self.updates.values() if update.call.state is CallState.ENDED]
        for update in over:
            del self.updates[update.call_id]
        return over

    def speak(self, recalled: Recalled, stamp: Callable[[datetime], int]) -> set[str]:
        """From now on updates may be written. Returns the calls that ended here and were not told as ended before.

        Ends that the speaker before us did not live to tell, or that Redis has lost, wait to be written, with what we
        saw of them; a version that is not above the told one is given anew by `stamp`.
        """
        told = {update.call_id: update.version for update in recalled.open}
        ends = {update.call_id: update for _, update in self._lately.values()}
        ends |= {update.call_id: update for update in self.ended()}
        self._lately.clear()
        self.updates.clear()  # open calls are told anew
        for call_id in recalled.ended:
            ends.pop(call_id, None)
        for call_id, update in ends.items():
            if update.version <= told.get(call_id, 0):
                update = update.model_copy(update={"version": stamp(update.at)})
            self.updates[call_id] = update
        self.roster = None  # from before: another one follows
        self.speaking = self._spoke = True
        return set(ends)

    def waits_for_lease(self) -> bool:
        """Are there ends that cannot be written before it is known who speaks?"""
        return not self.speaking and any(u.call.state is CallState.ENDED for u in self.updates.values())

    def hush(self, now: float) -> list[CallUpdate]:
        """Another listener speaks. Returns the ends that must still be delivered: those that we saw as the speaker."""
        spoke, self._spoke, self.speaking = self._spoke, False, False
        over = self.ended()
        self.updates.clear()
        self.roster = None
        if spoke:
            return over
        for update in over:
            self._remember(update, now)
        return []

    def _remember(self, update: CallUpdate, now: float) -> None:
        self._lately.pop(update.call_id, None)
        self._lately[update.call_id] = (now, update)
        # While Redis does not say who speaks, nobody may be speaking: nothing grows old then.
        heard = self.lease.answered_at if self.lease.answered_at is not None else now
        oldest = min(now, heard) - _LATELY_SECONDS
        while len(self._lately) > _LATELY_CALLS or next(iter(self._lately.values()))[0] < oldest:
            del self._lately[next(iter(self._lately))]
