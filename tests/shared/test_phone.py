"""Numbers as trunks, forms and files write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.phone import display, is_extension, normalise


@pytest.mark.parametrize(
    ("raw", "e164"),
    [
        ("+79031234567", "+79031234567"),
        ("8-903-123-45-67", "+79031234567"),
        ("+7 (903) 123 45 67", "+79031234567"),
        ("89031234567", "+79031234567"),
        ("79031234567", "+79031234567"),
        ("9031234567", "+79031234567"),
        ("0079031234567", "+79031234567"),
        ("00 375 29 123-45-67", "+375291234567"),
        ("810375291234567", "+375291234567"),
        ("2223344", None),  # a number of some town; nobody knows which
        ("101", None),
        ("*97", None),
        ("anonymous", None),
        ("", None),
        ("12345678901234567890", None),
        ("+7903123456; drop table customers", None),
        ("9" * 10_000, None),
        ("\x00", None),
    ],
)
def test_normalise(raw: str, e164: str | None) -> None:
    assert normalise(raw, "RU") == e164


def test_the_country_is_the_lines_not_the_readers() -> None:
    assert normalise("030 123456", "DE") == "+4930123456"
    assert normalise("030 123456", "RU") is None


@given(st.text(max_size=80))
def test_anything_gives_e164_or_nothing(raw: str) -> None:
    found = normalise(raw, "RU")
    assert found is None or (found.startswith("+") and found[1:].isdigit() and len(found) <= 16)


@given(st.from_regex(r"\+79[0-9]{9}", fullmatch=True))
def test_what_is_normal_stays(number: str) -> None:
    assert normalise(number, "RU") == number
    assert normalise(display(number), "RU") == number


def test_extensions() -> None:
    assert is_extension("101")
    assert not is_extension("+79031234567")
    assert not is_extension("anonymous")
