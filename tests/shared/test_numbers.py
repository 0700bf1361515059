"""Fields of CRM exports: one, two or no numbers, with remarks."""

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.numbers import MAX_FIELD, PhoneEntry, Purpose, numbers_in
from shared.phone import NumberKind
from tests.shared.written import COUNTRIES, HOSTILE, junk, valid_numbers

MOBILE, LANDLINE = "+79031234567", "+74957654321"


def phones(field: str, country: str = "RU") -> list[str | None]:
    entries = numbers_in(field, country)
    assert all(entry.kind is NumberKind.PHONE for entry in entries), entries
    return [entry.e164 for entry in entries]


@pytest.mark.parametrize(
    "field",
    [
        "89031234567/84957654321",
        "8 903 123-45-67 / 8 (495) 765-43-21",
        "89031234567,84957654321",
        "89031234567,,84957654321",
        "8 903 123-45-67; 8 495 765 43 21",
        "8 903 123-45-67\n8 495 765 43 21",
        "8 903 123-45-67 и 8 495 765 43 21",
        "+7 903 123-45-67 and +7 495 765 43 21",
        "8 903 123-45-67 или 8 495 765 43 21",
        "+79031234567+74957654321",
        "89031234567 84957654321",
        "8 903 123 45 67 8 495 765 43 21",
        "8 903 123 45 67 (8 495 765 43 21)",
        "89031234567 - 84957654321",
        "sip:89031234567@pbx, tel:+74957654321",
        "89031234567, 8-903-123-45-67; 84957654321",
    ],
)
def test_two_numbers_in_one_field(field: str) -> None:
    assert phones(field) == [MOBILE, LANDLINE]


def test_a_beginning_that_numbers_share() -> None:
    assert phones("8 (495) 123-45-67/68") == ["+74951234567", "+74951234568"]
    assert phones("8 (495) 123-45-67/68/9") == ["+74951234567", "+74951234568", "+74951234569"]
    assert phones("8 (495) 123-4567 / 4568") == ["+74951234567", "+74951234568"]
    assert phones("8 (495) 123-45-67, 123-45-68") == ["+74951234567", "+74951234568"]
    assert phones("030 1234567/68", "DE") == ["+49301234567", "+49301234568"]
    assert phones("030/123456", "DE") == ["+4930123456"]


def test_a_town_is_not_guessed() -> None:
    """A landline after a mobile number is of some town; its digits with the mobile's code belong to a stranger."""
    mobile, other = numbers_in("8 903 123-45-67, 223-33-44", "RU")
    assert mobile.e164 == MOBILE
    assert other == PhoneEntry(NumberKind.UNKNOWN, "223-33-44")
    assert numbers_in("123-45-67/68", "RU") == [PhoneEntry(NumberKind.UNKNOWN, "123-45-67/68")]


def test_words_say_what_for() -> None:
    entries = numbers_in("моб. 8 903 123-45-67 (Анна), раб. 8 (495) 765-43-21 доб. 101; факс 765-43-22", "RU")
    assert entries == [
        PhoneEntry(NumberKind.PHONE, "8 903 123-45-67", MOBILE, None, Purpose.MOBILE, "моб Анна"),
        PhoneEntry(NumberKind.PHONE, "8 (495) 765-43-21", LANDLINE, "101", Purpose.WORK, "раб"),
        PhoneEntry(NumberKind.PHONE, "765-43-22", "+74957654322", None, Purpose.FAX, "факс"),
    ]


@pytest.mark.parametrize(
    ("words", "purpose"),
    [
        ("моб", Purpose.MOBILE),
        ("mobile", Purpose.MOBILE),
        ("раб.", Purpose.WORK),
        ("Work", Purpose.WORK),
        ("дом", Purpose.HOME),
        ("home", Purpose.HOME),
        ("факс", Purpose.FAX),
        ("fax", Purpose.FAX),
        ("смс", Purpose.SMS),
        ("тел/факс", Purpose.CONTACT),  # people answer there too
        ("Домодедово", Purpose.CONTACT),
        ("", Purpose.CONTACT),
    ],
)
def test_purposes(words: str, purpose: Purpose) -> None:
    for field in (f"{words} 8 903 123-45-67", f"8 903 123-45-67 ({words})"):
        (entry,) = numbers_in(field, "RU")
        assert (entry.e164, entry.purpose) == (MOBILE, purpose)


@pytest.mark.parametrize(
    "field", ["доб. 12", "доб.12", "(доб. 12)", ", вн. 12", "ext 12", "x12", "#12", ",,12", ";ext=12"]
)
def test_extensions(field: str) -> None:
    (entry,) = numbers_in(f"8 (495) 765-43-21{field}" if field[0] in "#,;" else f"84957654321 {field}", "RU")
    assert (entry.e164, entry.extension) == (LANDLINE, "12")


def test_short_numbers_stay_apart() -> None:
    field = "8 495 765-43-21, 1234; 112"
    assert [entry.kind.value for entry in numbers_in(field, "RU")] == ["phone", "internal", "service"]
    assert [(x.kind, x.typed) for x in numbers_in("доб. 1234", "RU")] == [(NumberKind.INTERNAL, "доб. 1234")]


def test_a_number_that_comes_twice_keeps_what_was_said_of_it() -> None:
    (entry,) = numbers_in("89031234567, +7 903 123-45-67 моб", "RU")
    assert (entry.e164, entry.typed, entry.purpose) == (MOBILE, "89031234567", Purpose.MOBILE)


@pytest.mark.parametrize(
    "field",
    [
        "2223344",
        "договор 1234",
        "А123",
        "8903##4567",
        "8903****567",
        "1-800-FLOWERS",
        "info123@mail.ru",
        "звонить жене",
        "д. 15",
        "8-495-123-45-67-8-903-1234567",
        "(((",
        ",,,",
        "😀",
        "12.05.2020",
    ],
)
def test_what_is_not_understood_is_said(field: str) -> None:
    (entry,) = numbers_in(field, "RU")
    assert (entry.kind, entry.typed, entry.e164) == (NumberKind.UNKNOWN, field, None)


def test_no_number_at_all() -> None:
    assert numbers_in("", "RU") == numbers_in(" \n", "RU") == []
    assert [x.kind for x in numbers_in("нет", "RU")] == [NumberKind.MISSING]
    assert [x.kind for x in numbers_in("anonymous", "RU")] == [NumberKind.WITHHELD]


@pytest.mark.parametrize("field", HOSTILE)
def test_hostile_fields_are_not_understood(field: str) -> None:
    assert all(entry.kind in (NumberKind.UNKNOWN, NumberKind.MISSING) for entry in numbers_in(field, "RU"))


def test_a_note_is_one_text_that_is_not_understood() -> None:
    note = "8 903 123-45-67, " * (MAX_FIELD // 16)
    assert numbers_in(note, "RU") == [PhoneEntry(NumberKind.UNKNOWN, note.strip())]


@settings(max_examples=200, deadline=None)
@given(junk, st.sampled_from([*COUNTRIES, "ZZ", ""]))
@example("#4910000", "RU")
def test_no_digit_is_invented_and_no_text_is_lost(field: str, country: str) -> None:
    entries = numbers_in(field, country)
    written = "".join(str(int(sign)) for sign in field if sign.isdecimal())
    for entry in entries:
        assert (entry.e164 is not None) == (entry.kind is NumberKind.PHONE)
        assert "\x00" not in entry.typed + entry.remark and entry.typed
        if entry.e164 is not None:
            digits = iter(written)
            number = phonenumbers.national_significant_number(phonenumbers.parse(entry.e164))
            assert all(digit in digits for digit in number), (number, written)  # in their order
    told = "".join(f"{entry.typed}{entry.e164}{entry.extension}{entry.remark}" for entry in entries)
    if any(sign.isalnum() and sign.isascii() for sign in field):
        assert told
    assert len({(x.e164 or x.typed, x.extension) for x in entries}) == len(entries)


@settings(max_examples=60, deadline=None)
@given(valid_numbers(), valid_numbers(), st.sampled_from(["; ", ", ", "\n", " и ", " or ", " / "]))
def test_two_numbers_come_back(first: tuple[str, str], second: tuple[str, str], cut: str) -> None:
    form = phonenumbers.PhoneNumberFormat.INTERNATIONAL
    field = cut.join(phonenumbers.format_number(phonenumbers.parse(x[0]), form) for x in (first, second))
    assert phones(field) == list(dict.fromkeys((first[0], second[0])))
