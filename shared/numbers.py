"""A field of a CRM export that holds phone numbers, with all that people write into one field."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum

import phonenumbers

from shared.phone import EXTENSION, RUN, NumberKind, is_valid, kind, legible, normalise, plain

# Longer texts are notes, not phone fields: one entry that is not understood. It also bounds the time (tens of ms).
MAX_FIELD = 1000


class Purpose(StrEnum):
    """What a number is for, as the words around it hint; contact: nothing is said."""

    CONTACT = "contact"
    MOBILE = "mobile"
    WORK = "work"
    HOME = "home"
    FAX = "fax"
    SMS = "sms"


@dataclass(frozen=True, slots=True)
class PhoneEntry:
    """One thing in the field.

    typed: as it was written, without control and direction marks (safe to store). e164: for a phone only. extension:
    what to dial after it. remark: the words around it (`Анна, моб`), "" if none.
    """

    kind: NumberKind
    typed: str
    e164: str | None = None
    extension: str | None = None
    purpose: Purpose = Purpose.CONTACT
    remark: str = ""


_PURPOSES = (
    (Purpose.FAX, re.compile(r"\b(?:т/?ф|ф|факс\w*|fax)\b", re.IGNORECASE)),
    (Purpose.SMS, re.compile(r"\b(?:sms|смс)\b", re.IGNORECASE)),
    (Purpose.MOBILE, re.compile(r"\b(?:моб\w*|сот|сотов\w*|mob|mobil\w*|cell\w*|handy)\b", re.IGNORECASE)),
    (Purpose.WORK, re.compile(r"\b(?:раб|рабоч\w*|служ\w*|офис\w*|work|office|business)\b", re.IGNORECASE)),
    (Purpose.HOME, re.compile(r"\b(?:дом|домашн\w*|home|privat)\b", re.IGNORECASE)),
)
# Words for "phone": they say nothing about a number, but a short number beside them is one (`тел. 101`).
_PHONE = re.compile(
    r"\b(?:т|тел\w*|номер\w*|tel\w*|phone|ph|вн|внутр\w*|доб\w*|ext\w*|int)\b|[№:.]", re.IGNORECASE
)
_WORD = re.compile(r"[^\W_]")

# 64: the longest user part of an address (RFC 5321); it bounds the work where no @ follows.
_TOKEN = re.compile(
    r"(?P<uri>(?<![^\s<>\"',;])(?:[a-z]{3,6}:)?[^\s@<>\"',]{1,64}@[^\s<>\"',]*|(?:tel|callto):\+?[0-9][^\s<>\"',]*)"
    rf"|(?P<extension>{EXTENSION})"
    r"|(?P<code>(?<![\w*#])[*#]{1,3}[0-9][0-9*]*#?(?![\w*#]))"
    rf"|(?P<run>{RUN})"
    r"|(?P<cut>[,;|&/\\\n\r\t\v\f]+|\b(?:и|или|либо|and|or|und|oder)\b)"
    r"|(?P<words>[^\W\d_]+|.)",
    re.IGNORECASE | re.DOTALL,
)
_GROUP = re.compile(r"[0-9]+")
_GAP = re.compile(r" +(?:- *)?")
_STUCK = re.compile(r"[*@_%$]")


def numbers_in(field: str, country: str) -> list[PhoneEntry]:
    """All that `field` holds, in its order, each number once; [] for an empty one. Never raises.

    Numbers are parted by slash, comma, semicolon, line end, "и"/"and"/"или"; `8 (495) 123-45-67/68` are two. A number
    is never guessed where two readings fit: the text then comes back as kind unknown, as does all else that was not
    understood. Words without a number become the remark of the number before them.
    """
    text = plain(field).strip()
    if not text:
        return []
    if len(text) > MAX_FIELD:
        return [PhoneEntry(NumberKind.UNKNOWN, text)]
    whole = kind(text, country)
    if whole in (NumberKind.MISSING, NumberKind.WITHHELD):
        return [PhoneEntry(whole, text)]
    reader = _Reader(text, country)
    for token in _TOKEN.finditer(legible(text)):
        reader.take(token)
    return reader.finish()


class _Reader:
    """Collects the entries of one part (between two cuts) and closes it at the cut."""

    def __init__(self, text: str, country: str) -> None:
        self._text, self._country = text, country
        self._done: list[PhoneEntry] = []
        self._part: list[PhoneEntry] = []
        self._before: list[str] = []  # words of the part that stand before its first number
        self._after: list[str] = []
        self._leading: list[str] = []  # the words of parts before the first number of the field
        self._begin = 0

    def take(self, token: re.Match[str]) -> None:
        typed = self._text[token.start() : token.end()]
        match token.lastgroup:
            case "cut":
                self._close(token.start())
                self._begin = token.end()
            case "uri":
                self._part.append(self._one(typed))
            case "code":
                found = kind(typed, self._country)
                # The sign before the digits makes a code of them, however much they look like a number.
                self._part.append(
                    PhoneEntry(NumberKind.UNKNOWN if found is NumberKind.PHONE else found, typed)
                )
            case "run":
                self._part += self._run(token, typed)
            case "extension":
                self._extension(token, typed)
            case _:
                (self._after if self._part else self._before).append(typed)

    def finish(self) -> list[PhoneEntry]:
        self._close(len(self._text))
        if not self._done:
            return [PhoneEntry(NumberKind.UNKNOWN, self._text)]
        once: dict[tuple[str, str | None], PhoneEntry] = {}
        for entry in self._done:
            key = (entry.e164 or entry.typed, entry.extension)
            known = once.setdefault(key, entry)
            if known.purpose is Purpose.CONTACT and entry.purpose is not Purpose.CONTACT:
                once[key] = replace(known, purpose=entry.purpose)
        return list(once.values())

    def _one(self, typed: str) -> PhoneEntry:
        found = kind(typed, self._country)
        e164 = normalise(typed, self._country) if found is NumberKind.PHONE else None
        extension = re.search(r";ext=([0-9]{1,6})(?![0-9])", typed) if e164 else None
        return PhoneEntry(found, typed.strip(), e164, extension[1] if extension else None)

    def _run(self, token: re.Match[str], typed: str) -> list[PhoneEntry]:
        entries = _split(legible(typed), typed, self._last_phone(), self._country)
        before, after = self._text[: token.start()][-1:], self._text[token.end() :][:2]
        # 8903****567, 1-800-FLOWERS, SAVE20: the digits alone are not what is meant; `моб89031234567` is clear.
        stuck = _STUCK.search(before + after[:1]) or (after[:1] == "-" and after[1:].isalpha())
        glued = before.isalpha() or before == "#" or after[:1].isalpha() or after[:1] == "#"
        if stuck or (glued and not all(entry.e164 and is_valid(entry.e164) for entry in entries)):
            return [PhoneEntry(NumberKind.UNKNOWN, typed.strip())]
        return entries

    def _extension(self, token: re.Match[str], typed: str) -> None:
        digits = next(x for x in token.groups() if x and x.isdigit())
        if self._part and self._part[-1].e164 and not self._part[-1].extension:
            self._part[-1] = replace(self._part[-1], extension=digits)
        else:
            # A sign alone makes no extension of digits after what is no number (8903##4567).
            found = NumberKind.INTERNAL if _WORD.search(typed.rstrip("0123456789) ")) else NumberKind.UNKNOWN
            self._part.append(PhoneEntry(found, typed.strip(" ,;()")))

    def _last_phone(self) -> str | None:
        last = (self._done + self._part)[-1:]
        return last[0].e164 if last else None

    def _close(self, end: int) -> None:
        before, after = _join(self._before), _join(self._after)
        typed = self._text[self._begin : end].strip()
        part, self._part, self._before, self._after = self._part, [], [], []
        if not part:
            self._words(before)
            return
        leading, self._leading = self._leading, []
        before = ", ".join([*leading, before] if before else leading)
        remark = " ".join(x for x in (before, after) if x)
        purpose = _purpose(remark)
        if any(x.kind is not NumberKind.PHONE for x in part) and not _about_phones(remark):
            # An address or a contract number, not an extension: д. 15, договор 1234.
            doubtful = (NumberKind.INTERNAL, NumberKind.SERVICE)
            part = [
                replace(x, kind=NumberKind.UNKNOWN, typed=typed) if x.kind in doubtful else x for x in part
            ]
        if part and all(x.kind is NumberKind.UNKNOWN for x in part):
            part, remark = [PhoneEntry(NumberKind.UNKNOWN, typed)], ", ".join(leading)
        self._done += [replace(x, purpose=purpose, remark=remark) for x in part]

    def _words(self, words: str) -> None:
        """A part without a number: a remark to the number before, or to the first one."""
        if not _WORD.search(words):
            return
        if not self._done:
            self._leading.append(words)
            return
        last = self._done[-1]
        remark = ", ".join(x for x in (last.remark, words) if x)
        self._done[-1] = replace(last, remark=remark, purpose=_purpose(remark))


def _split(run: str, typed: str, last: str | None, country: str) -> list[PhoneEntry]:
    """The numbers in a run of digits and signs. `last`: the phone number before it in the field."""
    pieces = run.split("/")
    if len(pieces) == 1:
        return _by_blanks(run, typed, last, country)
    entries: list[PhoneEntry] = []
    head = last
    at = 0
    whole = ""  # what was read so far and is no number yet: the code of 030/123456
    for piece in pieces:
        own = typed[at : at + len(piece)]
        at += len(piece) + 1
        shared = _same_beginning(entries[-1], piece) if entries else None
        joined = normalise(f"{whole}/{piece}", country) if whole else None
        if shared:
            entries.append(PhoneEntry(NumberKind.PHONE, typed.strip(), shared))
        elif joined and is_valid(joined):
            entries[-1] = PhoneEntry(NumberKind.PHONE, f"{entries[-1].typed}/{own}".strip(), joined)
        elif entries and entries[-1].kind is NumberKind.UNKNOWN and piece.strip().isdigit():
            # 123-45-67/68 of some town: the end of what was not understood is no extension.
            entries[-1] = replace(entries[-1], typed=f"{entries[-1].typed}/{own}".strip())
        else:
            entries += _by_blanks(piece, own, head, country) if piece.strip() else []
        head = entries[-1].e164 if entries else last
        whole = "" if head else piece
    return entries


def _by_blanks(run: str, typed: str, last: str | None, country: str) -> list[PhoneEntry]:
    """One number, or two with nothing but a blank between them, if only one place parts them."""
    e164 = normalise(run, country)
    if e164:
        return [PhoneEntry(NumberKind.PHONE, typed.strip(), e164)]
    local = _same_town(last, run)
    if local:
        return [PhoneEntry(NumberKind.PHONE, typed.strip(), local)]
    ways: list[list[PhoneEntry]] = []
    for gap in _GAP.finditer(run.strip()):
        first = normalise(run.strip()[: gap.start()], country)
        rest = run.strip()[gap.end() :].strip("() ")
        second = normalise(rest, country)
        short = kind(rest, country) in (NumberKind.INTERNAL, NumberKind.SERVICE)
        if first and is_valid(first) and (short or (second and is_valid(second))):
            left, right = typed.strip()[: gap.start()], typed.strip()[gap.end() :].strip("() ")
            other = PhoneEntry(NumberKind.PHONE if second else kind(rest, country), right, second)
            ways.append([PhoneEntry(NumberKind.PHONE, left.strip(), first), other])
    if len(ways) == 1:
        return ways[0]
    found = kind(run, country)
    return [PhoneEntry(found if found is not NumberKind.PHONE else NumberKind.UNKNOWN, typed.strip())]


def _same_beginning(head: PhoneEntry, tail: str) -> str | None:
    """`…123-45-67` and `68`: the second number, if the tail is as long as the head's last group, or at most two
    digits; a longer one may be an extension."""
    digits = tail.strip()
    if not head.e164 or head.extension or not digits.isdigit():
        return None
    groups = _GROUP.findall(legible(head.typed))
    if len(digits) > len(groups[-1]) or len(digits) not in (1, 2, len(groups[-1])) or len(digits) > 4:
        return None
    found = head.e164[: -len(digits)] + digits
    return found if is_valid(found) else None


def _same_town(last: str | None, run: str) -> str | None:
    """`123-45-68` after `8 (495) 123-45-67`: a number of the same town, as long as the numbers there are."""
    if last is None or run.lstrip().startswith("+"):
        return None
    digits = "".join(_GROUP.findall(run))
    number = phonenumbers.parse(last)
    code = phonenumbers.length_of_geographical_area_code(number)
    if not code or len(digits) != len(phonenumbers.national_significant_number(number)) - code:
        return None
    # Where numbers are short, bare digits may as well be an extension.
    if len(digits) <= 6 and run.strip().isdigit():
        return None
    found = last[: -len(digits)] + digits
    return found if is_valid(found) else None


def _join(words: list[str]) -> str:
    return re.sub(r"\s+", " ", "".join(words)).strip(" ,;.:()<>-\"'/")


def _about_phones(remark: str) -> bool:
    rest = _PHONE.sub("", remark)
    for _, pattern in _PURPOSES:
        rest = pattern.sub("", rest)
    return _WORD.search(rest) is None


def _purpose(remark: str) -> Purpose:
    found = next((purpose for purpose, pattern in _PURPOSES if pattern.search(remark)), Purpose.CONTACT)
    # "тел/факс": people answer there too.
    return Purpose.CONTACT if found is Purpose.FAX and re.search(r"\bтел|\btel|т/?ф", remark, re.I) else found
