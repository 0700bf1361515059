"""Which script is said, and what it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from card_api.scripts.choice import Place, Script, choose, filled

LINE, QUEUE, VIP = "+78000000003", "support", "vip"


def chosen(
    *places: Place, did: str | None = LINE, queue: str | None = QUEUE, category: str | None = VIP
) -> str | None:
    return choose([Script(place, repr(place)) for place in places], did, queue, category, "ru")


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Place(did=LINE), Place()),
        (Place(queue=QUEUE), Place()),
        (Place(category=VIP), Place()),
        (Place(language="ru"), Place()),
        (Place(did=LINE), Place(queue=QUEUE)),
        (Place(queue=QUEUE), Place(category=VIP)),
        (Place(category=VIP), Place(language="ru")),
        (Place(queue=QUEUE, category=VIP), Place(did=LINE)),
        (Place(LINE, QUEUE, VIP), Place(LINE, QUEUE)),
        (Place(LINE, language="ru"), Place(LINE)),
    ],
)
def test_the_most_special_is_said(better: Place, worse: Place) -> None:
    assert chosen(better, worse) == chosen(worse, better) == repr(better)


@pytest.mark.parametrize(
    "other", [Place("+7800"), Place(queue="x"), Place(category="x"), Place(language="en")]
)
def test_what_is_for_another_place_is_not_said(other: Place) -> None:
    assert chosen(other) is None
    assert chosen(other, Place()) == repr(Place())


def test_a_caller_of_no_category_in_no_queue_has_the_general_script() -> None:
    places = (Place(queue=QUEUE), Place(category=VIP), Place())
    assert chosen(*places, queue=None, category=None) == repr(Place())


_optional = st.none() | st.sampled_from(["a", "b"])
_places = st.builds(Place, _optional, _optional, _optional, st.none() | st.sampled_from(["ru", "en"]))


@given(st.sets(_places), _places, st.randoms())
def test_the_choice_fits_and_does_not_depend_on_the_order(
    places: set[Place], at: Place, random: object
) -> None:
    listed = sorted(places, key=repr)
    said = chosen(*listed, did=at.did, queue=at.queue, category=at.category)
    assert said == chosen(*reversed(listed), did=at.did, queue=at.queue, category=at.category)
    assert said is None or said in map(repr, places)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("{greeting} Меня зовут Анна.", "Пётр Сергеевич", "Добрый день! Меня зовут Анна."),
        ("{name}, подскажите номер договора", "Пётр", "Пётр, подскажите номер договора"),
        ("{name}, подскажите номер договора", None, "подскажите номер договора"),
        ("Подскажите, {name}?", None, "Подскажите?"),
        ("{customer} {0} {} {{name}}", "{greeting}", "{customer} {0} {} {{greeting}}"),
    ],
)
def test_name_and_greeting_are_put_in_once(text: str, name: str | None, said: str) -> None:
    assert filled(text, name, "Добрый день!") == said
