"""Numbers as trunks, forms and files write them."""

import phonenumbers
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.phone import NumberKind, absence, display, is_valid, kind, normalise
from tests.shared.written import COUNTRIES, HOSTILE, junk, valid_numbers

FORMATS = (
    phonenumbers.PhoneNumberFormat.NATIONAL,
    phonenumbers.PhoneNumberFormat.INTERNATIONAL,
    phonenumbers.PhoneNumberFormat.RFC3966,
    phonenumbers.PhoneNumberFormat.E164,
)


@pytest.mark.parametrize(
    "raw",
    [
        "+79031234567",
        "8-903-123-45-67",
        "8.903.123.45.67",
        "+7 (903) 123 45 67",
        "89031234567",
        "79031234567",
        "9031234567",
        "0079031234567",
        "+0079031234567",
        "00 7 903 123-45-67",
        "+8 (903) 123-45-67",
        "+89031234567",
        "+7 (8) 903 123-45-67",
        "８９０３１２３４５６７",
        "＋７（９０３）１２３－４５－６７",
        "8\u00a0903\u2009123\u00a045\u00a067",
        "8 903 123\u201345\u201367",
        "\u202a+7903\u202c1234567\u200e",
        "8903\x001234567",
        "+7 903 123-45-67 (Анна)",
        "Анна: +7 903 123-45-67",
        "моб89031234567",
        "'89031234567'",
        "8 903 123-45-67 доб. 12",
        "8 903 123-45-67 (доб.12)",
        "8 903 123-45-67, вн. 12",
        "8 903 123-45-67 ext 5",
        "8 903 123-45-67 x5",
        "8 903 123-45-67#5",
        "8 903 123-45-67,,5",
        "tel:+7-903-123-45-67",
        "tel:+79031234567;ext=5",
        "sip:+79031234567@10.0.0.1:5060;user=phone",
        '"Анна" <sip:%2B79031234567@pbx>',
    ],
)
def test_one_number_in_all_its_forms(raw: str) -> None:
    assert normalise(raw, "RU") == "+79031234567"
    assert kind(raw, "RU") is NumberKind.PHONE


@pytest.mark.parametrize(
    ("raw", "country", "e164"),
    [
        ("00 375 29 123-45-67", "RU", "+375291234567"),
        ("810375291234567", "RU", "+375291234567"),
        ("8~10 375 29 123-45-67", "RU", "+375291234567"),
        ("+84 95 123 45 67", "RU", "+84951234567"),  # Vietnam, not a plus before 8
        ("375291234567", "RU", "+375291234567"),
        ("030/123456", "DE", "+4930123456"),
        ("030 123456", "DE", "+4930123456"),
        ("030 123456", "RU", None),
        ("89031234567", "KZ", "+79031234567"),
        ("011 7 903 123 45 67", "US", "+79031234567"),
        ("06 1234 5678", "IT", "+390612345678"),  # the zero belongs to the number
    ],
)
def test_the_country_is_the_lines(raw: str, country: str, e164: str | None) -> None:
    assert normalise(raw, country) == e164


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        ("101", NumberKind.SERVICE),  # the fire brigade, unless the PBX has such an extension
        ("1234", NumberKind.INTERNAL),
        ("*97", NumberKind.INTERNAL),
        ("sip:1234@pbx", NumberKind.INTERNAL),
        ("112", NumberKind.SERVICE),
        ("0890", NumberKind.SERVICE),
        ("*100#", NumberKind.SERVICE),
        ("anonymous", NumberKind.WITHHELD),
        ("sip:Anonymous@anonymous.invalid", NumberKind.WITHHELD),
        ("номер скрыт", NumberKind.WITHHELD),
        ("", NumberKind.MISSING),
        ("<unknown>", NumberKind.MISSING),
        ("нет", NumberKind.MISSING),
        ("-", NumberKind.MISSING),
        ("0000000", NumberKind.MISSING),
        ("2223344", NumberKind.UNKNOWN),  # a number of some town; nobody knows which
        ("1", NumberKind.UNKNOWN),
        ("12345678901234567890", NumberKind.UNKNOWN),
        ("84951234567101", NumberKind.UNKNOWN),  # 14 digits: with its extension glued on
        ("192.168.10.20", NumberKind.UNKNOWN),
        ("1-800-FLOWERS", NumberKind.UNKNOWN),
        ("8 903 123 Anna", NumberKind.UNKNOWN),
        ("8903****567", NumberKind.UNKNOWN),
        ("8 (495) 123-45-67/68", NumberKind.UNKNOWN),  # two: nobody knows which is meant
        ("+7903123456; drop table customers", NumberKind.UNKNOWN),
    ],
)
def test_what_is_no_phone_number(raw: str, what: NumberKind) -> None:
    assert kind(raw, "RU") is what
    assert normalise(raw, "RU") is None


def test_the_country_says_which_short_numbers_serve() -> None:
    assert kind("911", "US") is NumberKind.SERVICE
    assert kind("911", "RU") is NumberKind.INTERNAL
    assert kind("101", "DE") is NumberKind.INTERNAL


@pytest.mark.parametrize("raw", HOSTILE)
def test_hostile_texts_are_no_numbers(raw: str) -> None:
    assert normalise(raw, "RU") is None
    assert kind(raw, "RU") in (NumberKind.UNKNOWN, NumberKind.MISSING)


@pytest.mark.parametrize(
    ("raw", "country"), [("+49002671972", "BR"), ("+49005258", "BR"), ("+4900880152", "BY")]
)
def test_a_number_that_reads_differently_the_second_time_is_none(raw: str, country: str) -> None:
    assert normalise(raw, country) is None


@settings(max_examples=150, deadline=None)
@given(junk, st.sampled_from([*COUNTRIES, "ZZ", ""]))
def test_anything_gives_an_e164_that_stays_or_nothing(raw: str, country: str) -> None:
    found = normalise(raw, country)
    assert (found is not None) == (kind(raw, country) is NumberKind.PHONE)
    if found is not None:
        assert found.startswith("+") and found[1:].isascii() and found[1:].isdigit() and len(found) <= 18
        assert normalise(found, country) == found
        assert normalise(found, "JP") == found


@settings(max_examples=150, deadline=None)
@given(valid_numbers(), st.sampled_from(FORMATS), st.sampled_from(["", " доб. 12", ";ext=7", " (Анна)"]))
def test_every_way_of_writing_comes_back(known: tuple[str, str], form: int, tail: str) -> None:
    e164, country = known
    written = phonenumbers.format_number(phonenumbers.parse(e164), form)
    assume(
        not (written.isdigit() and len(written) <= 6)
    )  # the whole of a very small plan looks like an extension
    assert normalise(written + tail, country) == e164
    assert normalise(display(e164), country) == e164
    assert is_valid(e164)


def test_a_text_that_is_shown_backwards_is_no_number() -> None:
    assert normalise("\u202e33221110097+", "RU") is None
    assert normalise("\u202d+79001112233\u202c", "RU") == "+79001112233"  # as address books copy it


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, NumberKind.MISSING),
        ("", NumberKind.MISSING),
        ("<unknown>", NumberKind.MISSING),
        ("Unavailable", NumberKind.MISSING),  # nobody sent one; nobody hid it
        ("asterisk", NumberKind.MISSING),
        ("000", NumberKind.MISSING),
        ("Anonymous", NumberKind.WITHHELD),
        (' "anonymous" ', NumberKind.WITHHELD),
        ("sip:anonymous@anonymous.invalid", NumberKind.WITHHELD),
        ("anonymous\u200b", NumberKind.WITHHELD),
        ("Номер скрыт", NumberKind.WITHHELD),
        ("+79001112233", None),
        ("0079001112233", None),
        ("101", None),
        ("Anna", None),
        ("anonymous" * 1000, None),
    ],
)
def test_what_is_said_in_place_of_a_number(raw: str | None, expected: NumberKind | None) -> None:
    assert absence(raw) is expected


@given(st.text(max_size=70))
def test_absence_and_kind_agree(raw: str) -> None:
    said = kind(raw, "RU")
    none = said if said in (NumberKind.WITHHELD, NumberKind.MISSING) else None
    assert absence(raw) is none or raw[:1] in "+123456789"
