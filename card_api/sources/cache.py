"""What a source said a moment ago, so that a transfer, a second call or a reload does not ask it again."""

from collections import OrderedDict

from card_api.lookup.schemas import FoundCustomer, Question

# The callers of some minutes at a busy site; a customer is some 10 kB.
_ENTRIES = 2_000

Key = tuple[str | None, str | None]


class AnswerCache:
    """Answers by what was asked, "nobody" too, for `seconds`; beyond its room the least asked for lately goes. Failures
    are not kept. `now`: seconds of any clock that only grows."""

    def __init__(self, seconds: float, entries: int = _ENTRIES) -> None:
        self._seconds = seconds
        self._entries = entries
        self._kept: OrderedDict[Key, tuple[float, list[FoundCustomer]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, question: Question, now: float) -> list[FoundCustomer] | None:
        key = _key(question)
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now - kept[0] >= self._seconds:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept[1]

    def put(self, question: Question, found: list[FoundCustomer], now: float) -> None:
        if self._seconds <= 0:
            return
        key = _key(question)
        self._kept[key] = (now, found)
        self._kept.move_to_end(key)
        if len(self._kept) > self._entries:
            self._kept.popitem(last=False)


def _key(question: Question) -> Key:
    # Another call of the same caller is the same question to another system.
    return question.number, question.account
