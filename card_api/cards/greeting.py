"""The words to begin with: time of day, and the name as the language addresses a person."""

from datetime import datetime
from typing import Literal

Language = Literal["ru", "en"]

# Hour from which each greeting holds. At night Russian has none that is not a farewell; hence the plain one.
_GREETINGS: dict[str, tuple[tuple[int, str], ...]] = {
    "ru": (
        (0, "Здравствуйте"),
        (5, "Доброе утро"),
        (12, "Добрый день"),
        (18, "Добрый вечер"),
        (23, "Здравствуйте"),
    ),
    "en": ((0, "Hello"), (5, "Good morning"), (12, "Good afternoon"), (18, "Good evening"), (23, "Hello")),
}
# Ends of Russian patronymics: Петрович, Ильич, Сергеевна, Ильинична; and of the Turkic ones.
_PATRONYMIC = ("вич", "ьич", "мич", "вна", "ична", "оглы", "кызы")


def greeting(local: datetime, language: str, address: str | None) -> str:
    """`Добрый вечер, Пётр Сергеевич!`. `local` is the time where the company is."""
    words = _GREETINGS.get(language, _GREETINGS["en"])
    word = next(text for hour, text in reversed(words) if local.hour >= hour)
    return f"{word}, {address}!" if address else f"{word}!"


def address(name: str, kind: str, greet_as: str | None) -> str | None:
    """How to address the customer: as they asked to be, else by what the name itself tells surely.

    `Иванов Пётр Сергеевич` gives `Пётр Сергеевич`; `John Smith` is used whole; a company is not a person to greet.
    """
    if greet_as:
        return greet_as
    if kind != "person":
        return None
    words = name.split()
    if len(words) == 3:
        if words[2].lower().endswith(_PATRONYMIC):
            return f"{words[1]} {words[2]}"
        if words[1].lower().endswith(_PATRONYMIC):
            return f"{words[0]} {words[1]}"
    return name.strip() or None
