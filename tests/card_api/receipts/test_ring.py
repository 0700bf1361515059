"""Why a card was not seen, and how fast one was: pure."""

from datetime import datetime

import pytest

from card_api.receipts.book import ROOM, RingBook
from card_api.receipts.ring import Moments, Ring, Tabs, Unseen, to_push, to_screen, why_unseen
from tests.card_api.makers import at
from tests.card_api.receipts.makers import card, receipt


def ring(shown: float | None = None, over: float | None = None) -> Ring:
    """Pushed at second 2."""
    return Ring(
        *("main-1.1", "101", at(1.9), 32, at(0), at(0.1), at(2)),
        shown=None if shown is None else at(shown),
        over=None if over is None else at(over),
    )


@pytest.mark.parametrize(
    ("tabs", "over", "reason"),
    [
        (Tabs(True), None, Unseen.SLOW),
        (Tabs(True), 3.9, Unseen.OVER),
        (Tabs(True), 4.1, Unseen.SLOW),
        (Tabs(False), 3.9, Unseen.NO_TAB),
        (Tabs(False, at(1), 0), None, Unseen.DISCONNECTED),
        (Tabs(False, at(3), 3012), None, Unseen.DISCONNECTED),
        (Tabs(False, at(-119), 3001), None, Unseen.NO_TAB),
        (Tabs(False, at(-117), 3001), None, Unseen.DISCONNECTED),
        (Tabs(False, at(-3600), 3005), None, Unseen.TOKEN_EXPIRED),
        (Tabs(False, at(1), 4002), None, Unseen.TOKEN_EXPIRED),
        (Tabs(False, at(1), 4500), None, Unseen.NO_TAB),
    ],
)
def test_why(tabs: Tabs, over: float | None, reason: Unseen) -> None:
    assert why_unseen(ring(over=over), tabs) is reason


def test_in_time_is_two_seconds() -> None:
    assert ring(shown=4).seen
    assert not ring(shown=4.001).seen
    assert not ring().seen


def test_the_stages() -> None:
    def stages(looked_up: datetime | None, shown: datetime | None) -> dict[str, float]:
        way = Moments(at(0), looked_up, at(5), at(5.5), shown)
        return {**dict(to_push(way)), **dict(to_screen(way))}

    assert stages(at(0.25), at(5.75)) == {
        "arrived_to_looked_up": 0.25,
        "arrived_to_pushed": 5.5,
        "rang_to_pushed": 0.5,
        "pushed_to_shown": 0.25,
        "rang_to_shown": 0.75,
        "arrived_to_shown": 5.75,
    }
    # A clock that is behind makes nothing negative.
    assert stages(None, at(5.4)) == {
        "arrived_to_pushed": 5.5,
        "rang_to_pushed": 0.5,
        "pushed_to_shown": 0.0,
        "rang_to_shown": pytest.approx(0.4),
        "arrived_to_shown": pytest.approx(5.4),
    }


class TestBook:
    def test_one_ring_is_one_row_whatever_is_pushed_of_it(self) -> None:
        book = RingBook()
        book.pushed(card(1), at(1.1))
        book.pushed(card(2, looked_up=at(1.2)), at(1.3))
        receipts = {
            b"1": receipt(1.4),
            b"2": receipt(1.2, client="another tab"),
            b"3": receipt(9, "card.opened"),
            b"4": receipt(1.4, login="102"),
            b"5": receipt(1.4, version=0),
        }
        assert book.match(receipts) == {b"1", b"2", b"3"}
        (only,) = book.take_unsaved(10)
        assert (only.rev, only.arrived, only.rang, only.pushed) == (32, at(0), at(1), at(1.1))
        assert (only.looked_up, only.shown, only.opened) == (at(1.2), at(1.2), at(9))
        # It is in the table now; what comes later is written there.
        assert book.match(receipts) == set()

    def test_a_second_ring_of_the_call_is_another_one(self) -> None:
        book = RingBook()
        book.pushed(card(1, ringing=1), at(1.1))
        book.pushed(card(2, "closed", ringing=1), at(2))
        book.pushed(card(3, ringing=30), at(30.1))
        book.match({b"1": receipt(30.2, version=3), b"2": receipt(1.2, version=2)})
        assert [(r.rang, r.shown, r.over) for r in book.take_unsaved(10)] == [
            (at(1), at(1.2), at(2)),
            (at(30), at(30.2), None),
        ]

    def test_an_answered_ring_is_not_over(self) -> None:
        book = RingBook()
        book.pushed(card(1), at(1.1))
        book.pushed(card(2, "answered"), at(1.5))
        assert book.take_unsaved(10)[0].over is None

    def test_what_cannot_be_stored_keeps_its_place(self) -> None:
        book = RingBook()
        for n in range(4):
            book.pushed(card(call_id=f"main-{n}"), at(1 + n))
        taken = book.take_unsaved(2)
        book.give_back(taken)
        assert [r.call_id for r in book.take_unsaved(9)] == ["main-0", "main-1", "main-2", "main-3"]

    def test_it_asks_after_two_seconds_and_judges_a_little_later(self) -> None:
        book = RingBook()
        for n in range(3):
            book.pushed(card(call_id=f"main-{n}"), at(n))
        book.match({b"1": receipt(0.5, call_id="main-0")})
        assert [r.call_id for r in book.to_ask(at(3.5))] == ["main-1"]
        assert [r.call_id for r in book.to_judge(at(3.4), 9)] == []
        due = book.to_judge(at(4.5), 9)
        assert [r.call_id for r in due] == ["main-0", "main-1"]
        book.judged(due)
        assert [r.call_id for r in book.to_judge(at(99), 9)] == ["main-2"]

    def test_while_postgresql_is_away_for_long_the_oldest_are_given_up(self) -> None:
        book, one = RingBook(), card()
        for n in range(ROOM + 3):
            book.pushed(one.model_copy(update={"call_id": f"main-{n}"}), at(1))
        assert book.lost == 3
        assert book.take_unsaved(1)[0].call_id == "main-3"
        assert len(book.take_unsaved(2 * ROOM)) == ROOM - 1
