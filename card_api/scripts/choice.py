"""Which script is said in a call: a pure function of the scripts there are."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

ScriptOf = Callable[[str | None, str | None, str | None, str], str | None]
"""(did, queue, category, language) -> the text of the script that fits best, or None."""


_WORD = re.compile(r"\{(?:name|greeting)\}")
_NO_NAME = re.compile(r", *\{name\}|\{name\}(?:, *)?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a script is said. None: anywhere. `did`: E.164, as calls have it; `category`: its code."""

    did: str | None = None
    queue: str | None = None
    category: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Script:
    place: Place
    text: str


def no_script(did: str | None, queue: str | None, category: str | None, language: str) -> str | None:
    """Of a site without scripts."""
    return None


def choose(
    scripts: Iterable[Script], did: str | None, queue: str | None, category: str | None, language: str
) -> str | None:
    """The most special of those that fit: the more of line, queue and category it names the better; then the line goes
    before the queue, and the queue before the category. The language only decides between scripts of one place."""
    wanted = Place(did, queue, category, language)
    fitting = [script for script in scripts if _fits(script.place, wanted)]
    return max(fitting, key=lambda script: _speciality(script.place)).text if fitting else None


def filled(text: str, address: str | None, greeting: str | None) -> str:
    """`{greeting}` and `{name}` put in; without a name its comma goes too. Other braces stay as they are."""
    if address is None:
        text = _NO_NAME.sub("", text)
    words = {"{name}": address or "", "{greeting}": greeting or ""}
    return _WORD.sub(lambda found: words[found[0]], text)


def _fits(place: Place, wanted: Place) -> bool:
    return (
        place.did in (None, wanted.did)
        and place.queue in (None, wanted.queue)
        and place.category in (None, wanted.category)
        and place.language in (None, wanted.language)
    )


def _speciality(place: Place) -> tuple[int, bool, bool, bool, bool]:
    given = (place.did is not None, place.queue is not None, place.category is not None)
    return (sum(given), *given, place.language is not None)
