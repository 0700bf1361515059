"""What an export of somebody's spreadsheet is written in, found out from the file."""

import codecs
from collections.abc import Iterable, Iterator

# What Excel and 1C write where they do not write UTF-8.
FALLBACK = "cp1251"
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def encoding_of(pieces: Iterable[bytes]) -> str:
    """utf-8, utf-16-le, utf-16-be, or windows-1251 for what is none of them. Reads to the first byte that decides."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    first = True
    for piece in pieces:
        if first and piece[:2] in _UTF16:
            return _UTF16[piece[:2]]
        first = False
        try:
            decoder.decode(piece)
        except UnicodeDecodeError:
            return FALLBACK
    return "utf-8"


def splittable(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The same text in an encoding whose line ends and delimiters are single bytes: UTF-16 becomes UTF-8."""
    if not encoding.startswith("utf-16"):
        yield from pieces
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for piece in pieces:
        yield decoder.decode(piece).encode()
    yield decoder.decode(b"", True).encode()


def known(name: str) -> str | None:
    """Python's name of an encoding that can be loaded; None if there is none of this name, or not a usable one."""
    try:
        found = codecs.lookup(name).name
        usable = found.startswith("utf-16") or ';,\t|"\n'.encode(found) == b';,\t|"\n'
    except (LookupError, UnicodeError):
        return None
    return found if usable else None
