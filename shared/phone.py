"""One phone number: E.164 inside, people's way of writing outside. Fields that hold several: shared.numbers.

All on the plans of the `phonenumbers` library; `country` (ISO, "RU") is the country of the line, PBX or contact,
never of the reader.
"""

import re
import unicodedata
from enum import StrEnum
from functools import lru_cache
from urllib.parse import unquote

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, ValidationResult, shortnumberinfo

# The longest text worth looking at: E.164 has 15 digits, people add spaces, brackets and an extension.
MAX_RAW = 64

# What trunks and people put in place of a number; the one list for all who read what a PBX says. Such a caller is
# nobody we could know.
WITHHELD_WORDS = frozenset(
    {"anonymous", "private", "restricted", "withheld", "hidden", "blocked", "анонимный", "аноним", "скрыт"}
    | {"скрытый", "номер скрыт", "скрытый номер"}
)
MISSING_WORDS = frozenset(
    {"", "unknown", "<unknown>", "unavailable", "asterisk", "s", "none", "null", "n/a", "нет", "нет номера"}
    | {"нет телефона", "неизвестен", "неизвестно", "неизвестный", "не определен", "не указан"}
)

# What an extension is written with: доб. 12, вн. 12, ext 5, x5, #5, ;ext=5, and the pauses of a dialler: ,,5 or pp5.
# Longer than 6 digits is no extension. After signs that also part two numbers, nothing that looks like one may come.
EXTENSION = (
    r"[ ,;(]{0,4}(?:"  # bounded, as all here: a hostile text must not cost its square
    r"(?<![^\W\d_])(?:доб(?:авочный)?|вн(?:утр?(?:енний)?)?|extension|extn?|int|x|х)(?![^\W\d_])[ .:=№#]*"
    r"([0-9]{1,6})(?![0-9])|(?:#|,{2,}|p{1,4}) ?([0-9]{1,6})(?![ ().-]*[0-9]))\)?"
)
# A number as it is written: begins with a digit or a sign before it, ends with a digit, no letters.
RUN = r"\+{0,2}\(?\+?[0-9](?:[0-9 ().~/-]*[0-9])?"

_EXTENSION = re.compile(EXTENSION, re.IGNORECASE)
_RUN = re.compile(RUN)
# Digits, one plus before, brackets, blanks and hyphens: nearly all that trunks send; needs no cleaning.
_CLEAN = re.compile(r"\+?[0-9() -]+")
_SHORT = re.compile(r"[0-9]{2,6}")
_FEATURE = re.compile(r"[*#]{1,2}[0-9]{1,6}")  # *97, ##: dialled inside a PBX
_USSD = re.compile(r"[*#]{1,3}[0-9]{2,}[0-9*]*#")  # *100#: answered by the operator
_DOTTED = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")  # an IP address in place of a caller id
_SIP = re.compile(r"(?:[^<]*<)?(?:sips?|tel|callto):([^@>]*)", re.IGNORECASE)


class NumberKind(StrEnum):
    """What a text in place of a number is.

    phone: has an E.164 form. internal: 2-6 digits or a feature code (`101`, `*97`), means something at one PBX only.
    service: a short number of the country (112, 0890, *100#). withheld: the caller hid it. missing: nobody sent or
    wrote one. unknown: not understood, for example a number of some town without its code.
    """

    PHONE = "phone"
    INTERNAL = "internal"
    SERVICE = "service"
    WITHHELD = "withheld"
    MISSING = "missing"
    UNKNOWN = "unknown"


_BEGINS_NUMBERS = "+123456789"

# Shows what follows from right to left: whoever looks at it reads another number than the digits make.
_BACKWARDS = "\u202e"


@lru_cache(maxsize=65536)  # the same few thousand callers ring all day; parsing costs 80 µs
def normalise(raw: str, country: str) -> str | None:
    """A phone number as E.164, or None if it is none or not one alone. Never raises.

    `raw` is what a PBX, a form or a file holds: `8-903-123-45-67`, `+7 (903) … доб. 12`, `007903…`, `sip:+7903…@host`,
    `+7 903 … (Анна)`. Extensions, service numbers, and texts with several numbers give None.
    """
    if len(raw) > MAX_RAW:
        return None
    text = raw.strip()
    if _CLEAN.fullmatch(text):
        return _read(text, country)
    if _BACKWARDS in text:
        return None
    text = legible(plain(text)).strip()
    uri = _SIP.match(text)
    if uri:
        text = unquote(uri[1], errors="ignore")
    text = _EXTENSION.sub(" ", text) if _RUN.search(text) else ""
    runs = _RUN.findall(text)
    if len(runs) != 1 or _alphabetic(text, runs[0]):
        return None
    return _read(runs[0], country)


def kind(raw: str, country: str) -> NumberKind:
    """What `raw` is. Never raises.

    A short number that the country knows counts as service, also where a PBX has the same extension (101 is the fire
    brigade in Russia): who has the list of extensions asks it first.
    """
    if len(raw) > MAX_RAW:
        return NumberKind.UNKNOWN
    text = legible(plain(raw)).strip()
    uri = _SIP.match(text)
    if uri:
        text = unquote(uri[1], errors="ignore").strip()
    none = _absence(text)
    if none is not None:
        return none
    if _SHORT.fullmatch(text):
        # No PBX begins its extensions with 0 (operator, outside line), countries begin short numbers with it.
        return NumberKind.SERVICE if text[0] == "0" or _is_short(text, country) else NumberKind.INTERNAL
    if _FEATURE.fullmatch(text):
        return NumberKind.INTERNAL
    if _USSD.fullmatch(text):
        return NumberKind.SERVICE
    return NumberKind.PHONE if normalise(raw, country) else NumberKind.UNKNOWN


def absence(raw: str | None) -> NumberKind | None:
    """WITHHELD or MISSING if `raw` (a number or a name, as a PBX shows it) says that there is none; else None. Cheap:
    asked for each event of a channel."""
    if raw is None:
        return NumberKind.MISSING
    if raw[:1] in _BEGINS_NUMBERS or len(raw) > MAX_RAW:
        return None if raw else NumberKind.MISSING
    text = legible(plain(raw)).strip()
    uri = _SIP.match(text)
    return _absence(unquote(uri[1], errors="ignore") if uri else text)


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


def plain(text: str) -> str:
    """The text without what nobody typed and no database takes: direction marks, zero-width signs, half characters,
    NUL and other control characters (a blank instead; line ends and tabs stay)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_printable(sign) for sign in text)


def legible(text: str) -> str:
    """The same text, sign for sign, with the digits, blanks, hyphens and brackets of all scripts as the ASCII ones."""
    return text if text.isascii() else "".join(_ascii(sign) for sign in text)


def is_valid(e164: str) -> bool:
    """Is the number in a range that its country has given out? normalise() asks only for a fitting length."""
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(e164))
    except phonenumbers.NumberParseException:
        return False


def _absence(text: str) -> NumberKind | None:
    word = text.strip(" .-?\"'").casefold().replace("ё", "е")
    if word in WITHHELD_WORDS:
        return NumberKind.WITHHELD
    return NumberKind.MISSING if word in MISSING_WORDS or not word.strip("0") else None


def _printable(sign: str) -> str:
    if sign in "\n\r\t\v\f":
        return sign
    category = unicodedata.category(sign)
    return " " if category == "Cc" else "" if category in ("Cf", "Cs") else sign


def _ascii(sign: str) -> str:
    category = unicodedata.category(sign)
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    if category == "Zs":
        return " "
    if category == "Pd" or sign == "\N{MINUS SIGN}":
        return "-"
    if "\uff01" <= sign <= "\uff5e":  # the full-width forms of ASCII, in its order
        return chr(ord(sign) - 0xFEE0)
    return sign


def _alphabetic(text: str, run: str) -> bool:
    """Latin letters glued to the digits (1-800-FLOWERS, SAVE20): what is meant is not in the digits alone."""
    begin = text.find(run)
    before, after = text[:begin].rstrip("-")[-1:], text[begin + len(run) :].lstrip("-")[:1]
    return any((sign.isascii() and sign.isalpha()) or sign == "*" for sign in (before, after))


def _is_short(digits: str, country: str) -> bool:
    try:
        return shortnumberinfo.is_valid_short_number_for_region(phonenumbers.parse(digits, country), country)
    except phonenumbers.NumberParseException:
        return False


def _read(text: str, country: str) -> str | None:
    """E.164 of a text that is a number and nothing else."""
    if _SHORT.fullmatch(text) or _DOTTED.fullmatch(text):
        return None
    if text.startswith(("00", "+00")):
        text = "+" + text.lstrip("+")[2:]
    if text.startswith("+"):
        number = _parse(text, country)
        if _plus_before_prefix(text, country, number is not None):
            number = _parse(text.lstrip("+"), country)
        return _e164(number, text)
    number = _parse(text, country)
    if number is not None and phonenumbers.is_valid_number(number):
        return _format(number)
    if text.isdigit():
        # Trunks often send the country code without a plus: 7903… The national reading goes first if both fit alike.
        abroad = _parse("+" + text, country)
        if abroad is not None and (number is None or phonenumbers.is_valid_number(abroad)):
            return _e164(abroad, "+" + text)
    return _e164(number, text)


def _plus_before_prefix(text: str, country: str, fits: bool) -> bool:
    """`+8 (903) …`, `+8903…`: the plus belongs to +7; the 8 is dialled before numbers of the own country. Without a
    sign between it may be a country code (+84 Vietnam): then only if nothing else `fits`."""
    prefix = phonenumbers.ndd_prefix_for_region(country, True)
    if not prefix or not text.startswith("+" + prefix) or _is_country_code(prefix):
        return False
    return not fits or not text[1 + len(prefix) :][:1].isdigit()


def _is_country_code(digits: str) -> bool:
    return int(digits) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE


def _parse(text: str, country: str) -> PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    # "possible", not "valid": a new range the library does not know yet is still a caller, if it is as long as its
    # country's lines and mobiles are (other services may be longer: 14 digits in Russia). Possible in its own town only
    # (2223344) is not enough: nobody knows which town.
    possible = phonenumbers.is_possible_number_for_type_with_reason(
        number, PhoneNumberType.FIXED_LINE_OR_MOBILE
    )
    if possible == ValidationResult.IS_POSSIBLE or phonenumbers.is_valid_number(number):
        return number
    return None


def _e164(number: PhoneNumber | None, text: str) -> str | None:
    if number is None:
        return None
    e164 = _format(number)
    # Junk of a fitting length may read differently the second time (a zero too many after the country code); two
    # forms of one number would never meet. What a country has given out always reads back as itself.
    if e164 == text or phonenumbers.is_valid_number(number) or _parse(e164, "ZZ") == number:
        return e164
    return None


def _format(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
