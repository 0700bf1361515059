from card_api.lookup.schemas import FoundCustomer, Question
from card_api.sources.cache import AnswerCache

SMITH = FoundCustomer(source="crm", external_id="1", kind="person", name="Smith")


def test_an_answer_is_kept_for_its_time_and_nobody_is_an_answer() -> None:
    cache = AnswerCache(30)
    cache.put(Question("+1", None, "call-1"), [], 0)
    assert cache.get(Question("+1", None, "call-2"), 29.9) == []
    assert cache.get(Question("+1"), 30) is None
    assert len(cache) == 0


def test_number_and_account_are_the_question() -> None:
    cache = AnswerCache(30)
    cache.put(Question("+1", "77"), [SMITH], 0)
    assert cache.get(Question("+1"), 0) is None
    assert cache.get(Question("+1", "78"), 0) is None
    assert cache.get(Question("+1", "77"), 0) == [SMITH]


def test_beyond_its_room_what_nobody_asked_for_lately_goes() -> None:
    cache = AnswerCache(30, entries=2)
    cache.put(Question("+1"), [], 0)
    cache.put(Question("+2"), [], 0)
    cache.get(Question("+1"), 1)
    cache.put(Question("+3"), [], 2)
    assert [cache.get(Question(number), 3) for number in ("+1", "+2", "+3")] == [[], None, []]


def test_without_a_time_nothing_is_kept() -> None:
    cache = AnswerCache(0)
    cache.put(Question("+1"), [], 0)
    assert cache.get(Question("+1"), 0) is None
