"""Phone numbers: E.164 inside, people's way of writing outside."""

from functools import lru_cache

import phonenumbers

# Longest extension that companies use; a longer run of digits is a phone number. Short service numbers (112) and
# extensions stay as they are.
MAX_EXTENSION = 6
# The longest text worth looking at: E.164 has 15 digits, people add spaces, brackets and an extension.
MAX_RAW = 64


def is_extension(raw: str) -> bool:
    """`101`, `*97`: an internal number, kept verbatim."""
    digits = raw.lstrip("*#")
    return 0 < len(digits) <= MAX_EXTENSION and digits.isascii() and digits.isdigit()


@lru_cache(maxsize=65536)  # the same few thousand callers ring all day; parsing costs 50 µs
def normalise(raw: str, country: str) -> str | None:
    """A phone number as E.164, or None if it is none.

    `raw` is what a PBX, a form or a file holds: `8-903-123-45-67`, `+7 (903) …`, `007903…`. `country` (ISO, "RU")
    is the country of the line or contact, never of the reader. Extensions and service numbers give None.
    """
    text = raw.strip()
    if not text or len(text) > MAX_RAW or is_extension(text):
        return None
    if text.startswith("00"):
        text = "+" + text[2:]
    if text.isascii() and text.isdigit():
        # Trunks often send the country code without a plus: 7903… ; the national reading goes first.
        return _parse(text, country) or _parse("+" + text, country)
    return _parse(text, country)


@lru_cache(maxsize=65536)  # a card is rendered several times a call; formatting is more than half of that
def display(number: str) -> str:
    """`+7 903 123-45-67`: the international form people read; what is no E.164 number stays as it is."""
    if not number.startswith("+"):
        return number
    try:
        return phonenumbers.format_number(
            phonenumbers.parse(number), phonenumbers.PhoneNumberFormat.INTERNATIONAL
        )
    except phonenumbers.NumberParseException:
        return number


def _parse(text: str, country: str) -> str | None:
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    # "possible", not "valid": a new range the library does not know yet is still a caller. Possible in its own town
    # only (2223344) is not enough: nobody knows which town.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
