"""The question to another system: its address, or the body of a POST, with the caller put in."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from phonenumbers import NumberParseException, national_significant_number, parse

from card_api.lookup.schemas import Question

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_ABOUT_NUMBER = frozenset({"number", "number_digits", "national"})
_KNOWN = _ABOUT_NUMBER | {"account"}


@dataclass(frozen=True, slots=True)
class Template:
    """`text` with {number} (+79001112233), {number_digits} (79001112233), {national} (9001112233), {account}."""

    text: str
    names: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "Template":
        """Raises ValueError with what is wrong."""
        names = frozenset(_PLACEHOLDER.findall(text))
        unknown = sorted(names - _KNOWN)
        if unknown:
            raise ValueError(f"has {{{unknown[0]}}}; what can be put in: {_listed(sorted(_KNOWN))}")
        return cls(text, names)

    def fill(self, question: Question, escaped: Callable[[str], str]) -> str:
        values = _values(question)
        return _PLACEHOLDER.sub(lambda match: escaped(values[match[1]]), self.text)


def asks(names: frozenset[str], question: Question) -> bool:
    """Is anything known that templates with these placeholders would tell the other system?"""
    return bool(
        (question.number is not None and names & _ABOUT_NUMBER)
        or (question.account is not None and "account" in names)
    )


def url_template(text: str) -> Template:
    """Raises ValueError with what is wrong."""
    template = Template.of(text)
    try:
        parts = urlsplit(_PLACEHOLDER.sub("0", text))
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, 0
    if not text.lower().startswith(("http://", "https://")) or not host or port == 0:
        raise ValueError("is no web address: write it like https://crm.example/clients?phone={number}")
    # A caller must not decide which machine is asked.
    if _PLACEHOLDER.search(text.split("/", 3)[2]):
        raise ValueError("has a placeholder in the host: put it into the path or after the question mark")
    return template


def in_url(value: str) -> str:
    return quote(value, safe="")


def in_json(value: str) -> str:
    """For the inside of a JSON string."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


def is_json(body: str) -> bool:
    """A body that begins like JSON is JSON; else it is a form."""
    return body.lstrip().startswith(("{", "["))


def _values(question: Question) -> dict[str, str]:
    number = question.number or ""
    return {
        "number": number,
        "number_digits": number.removeprefix("+"),
        "national": _national(number),
        "account": question.account or "",
    }


def _national(number: str) -> str:
    """The number without its country code. Ours are E.164, so it is always readable; if not, it goes as it is."""
    try:
        return national_significant_number(parse(number))
    except NumberParseException:
        return number.removeprefix("+")


def _listed(names: list[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
