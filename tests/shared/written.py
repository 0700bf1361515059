"""What the tests of numbers draw from: real numbers of many plans, texts that look like numbers, hostile ones."""

import phonenumbers
from hypothesis import strategies as st

# Plans that differ: with and without a prefix, fixed and free lengths, a zero that belongs to the number.
COUNTRIES = ("RU", "KZ", "BY", "DE", "US", "GB", "FR", "IT", "UA", "NO", "PL", "CN", "IL")

# All longer than a number, or without one that could be told.
HOSTILE = (
    "9" * 10_000,
    "8 903 123-45-67 " * 700,
    "\x00" * 10_000,
    "(" * 300,
    "+" * 300 + "1",
    "\u202e\u200f\u202e",
    "😀📞😀",
    "';\"--`<>\\",
    "\ud800",
    "1" + " " * 5_000 + "1",
)

# What people and machines put around digits, more often than pure chance would.
_PIECES = (
    "+",
    "8",
    "7",
    "00",
    "810",
    "903",
    "495",
    "1234567",
    "123-45-67",
    "68",
    "12",
    " ",
    "-",
    "(",
    ")",
    "/",
)
_PIECES += (
    ",",
    ";",
    "\n",
    "доб. ",
    "x",
    "#",
    ",,",
    "и",
    "моб",
    "Анна",
    "\x00",
    "\u202e",
    "８",
    "²",
    "@",
    "sip:",
    "*",
)

junk = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(_PIECES), max_size=16).map("".join),
    st.from_regex(r"[+0-9]{5,15}"),
)


@st.composite
def valid_numbers(draw: st.DrawFn) -> tuple[str, str]:
    """(E.164, country): a number in a range that its country has given out."""
    country = draw(st.sampled_from(COUNTRIES))
    lines = (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE)
    example = phonenumbers.example_number_for_type(country, draw(st.sampled_from(lines)))
    assert example is not None
    e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    tail = draw(st.from_regex(r"[0-9]{4}", fullmatch=True))
    other = e164[:-4] + tail
    if not phonenumbers.is_valid_number(phonenumbers.parse(other)):
        other = e164
    return other, phonenumbers.region_code_for_number(phonenumbers.parse(other)) or country
