"""The rings of this process that are not stored yet, or not judged yet. Pure: no clock, no I/O."""

from collections import OrderedDict, deque
from datetime import datetime, timedelta

from card_api.receipts.ring import IN_TIME, Ring
from shared.contracts.card import Card, CardState
from shared.contracts.push import Receipt

# Rings that wait for PostgreSQL. Twenty thousand are 6 MB, and an hour of a busy site; older ones are given up then.
ROOM = 20_000
# Beyond two seconds: for a receipt to come through the stream, perhaps by way of another process, and be stored.
JUDGE_AFTER = IN_TIME + timedelta(seconds=1.5)

_Key = tuple[str, str]


class RingBook:
    """`pushed` is on the way of a ring: a look into a dictionary, no more. `lost` counts rings that were given up."""

    def __init__(self) -> None:
        self._ringing: OrderedDict[_Key, Ring] = OrderedDict()
        self._unsaved: deque[Ring] = deque()
        self._unjudged: deque[Ring] = deque()
        self.lost = 0

    def pushed(self, card: Card, at: datetime) -> None:
        """Redis has taken a card."""
        key, rang = (card.call_id, card.agent), card.timings.rang
        ring = self._ringing.get(key)
        if card.state is not CardState.RINGING or rang is None:
            if ring is not None:
                del self._ringing[key]
                if card.state is CardState.CLOSED:
                    ring.over = at
            return
        if ring is not None and ring.rang == rang:
            # The same ring, with more known of the caller. What was stored by then stays as it was.
            ring.looked_up = ring.looked_up or card.timings.looked_up
            return
        ring = Ring(
            card.call_id, card.agent, rang, card.rev, card.timings.arrived, card.timings.looked_up, at
        )
        self._ringing[key] = ring
        self._unsaved.append(ring)
        self._unjudged.append(ring)
        if len(self._ringing) > ROOM:
            # Another process has followed the calls to their end.
            self._ringing.popitem(last=False)
        if len(self._unjudged) > ROOM:
            self.lost += 1
            given_up = self._unjudged.popleft()
            if self._unsaved and self._unsaved[0] is given_up:
                self._unsaved.popleft()

    def match(self, receipts: dict[bytes, Receipt]) -> set[bytes]:
        """Write down what tabs say of rings that are not stored yet. Returns the ids of those receipts."""
        if not receipts:
            return set()
        unsaved: dict[_Key, list[Ring]] = {}
        for ring in self._unsaved:
            unsaved.setdefault((ring.call_id, ring.agent), []).append(ring)
        matched = set()
        for id_, receipt in receipts.items():
            rings = [r for r in unsaved.get((receipt.call_id, receipt.agent), ()) if r.rev <= receipt.rev]
            if rings:
                note(rings[-1], receipt)
                matched.add(id_)
        return matched

    def take_unsaved(self, most: int) -> list[Ring]:
        """The oldest rings that are to be stored; what is said of them from now on belongs into the table."""
        return [self._unsaved.popleft() for _ in range(min(most, len(self._unsaved)))]

    def give_back(self, rings: list[Ring]) -> None:
        """They could not be stored."""
        self._unsaved.extendleft(reversed(rings))

    def to_ask(self, at: datetime) -> list[Ring]:
        """Rings whose two seconds are over, which nobody has shown as far as is known here, and of whose tabs nobody
        has been asked yet."""
        return [
            ring
            for ring in self._unjudged
            if ring.unseen is None and not ring.seen and ring.pushed + IN_TIME <= at
        ]

    def to_judge(self, at: datetime, most: int) -> list[Ring]:
        """The oldest rings that can be judged: whatever a tab has said in time is in the table by now."""
        due: list[Ring] = []
        for ring in self._unjudged:
            if ring.pushed + JUDGE_AFTER > at or len(due) == most:
                break
            due.append(ring)
        return due

    def judged(self, rings: list[Ring]) -> None:
        """These, the oldest, need no judging any more."""
        for ring in rings:
            # One that was given up meanwhile is not there any more.
            if self._unjudged and self._unjudged[0] is ring:
                self._unjudged.popleft()


def note(ring: Ring, receipt: Receipt) -> None:
    """The first tab counts."""
    at = receipt.received_at
    if receipt.what == "card.opened":
        ring.opened = min(ring.opened or at, at)
    # What was opened was on the screen.
    ring.shown = min(ring.shown or at, at)
