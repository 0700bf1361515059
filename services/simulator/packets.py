"""AMI packets as text: the classes of manager.conf and how events are written on the wire."""

from enum import IntFlag
from functools import lru_cache
from typing import NamedTuple

BANNER = b"Asterisk Call Manager/11.0.0\r\n"


class Category(IntFlag):
    """The classes an account reads and writes (`read=`, `write=` of manager.conf, `EventMask`)."""

    NONE = 0
    SYSTEM = 1
    CALL = 2
    LOG = 4
    VERBOSE = 8
    COMMAND = 16
    AGENT = 32
    USER = 64
    CONFIG = 128
    DTMF = 256
    REPORTING = 512
    CDR = 1024
    DIALPLAN = 2048
    ORIGINATE = 4096
    AGI = 8192
    CC = 16384
    AOC = 32768
    TEST = 65536
    SECURITY = 131072
    MESSAGE = 262144
    ALL = 524287

    @classmethod
    def parse(cls, text: str) -> "Category | None":
        """An `EventMask`: on, off, or names with commas between; None for words Asterisk does not know."""
        word = text.strip().lower()
        if word in ("on", "all", "yes", "true", "-1"):
            return cls.ALL
        if word in ("off", "none", "no", "false", "0", ""):
            return cls.NONE
        mask = cls.NONE
        for name in word.split(","):
            member = cls.__members__.get(name.strip().upper())
            if member is None:
                return None
            mask |= member
        return mask


class Packet(NamedTuple):
    """One event on its way to the clients.

    text: the whole packet with its empty line. category: a plain int of `Category`, compared for every client and
    packet. uniqueid: the channel it is about, "" if none.
    """

    event: str
    category: int
    text: str
    uniqueid: str


SYSTEM = int(Category.SYSTEM)
CALL = int(Category.CALL)
AGENT = int(Category.AGENT)
USER = int(Category.USER)
DTMF = int(Category.DTMF)
REPORTING = int(Category.REPORTING)
CDR = int(Category.CDR)
DIALPLAN = int(Category.DIALPLAN)
SECURITY = int(Category.SECURITY)

PRIVILEGE = {int(member): f"{(member.name or '').lower()},all" for member in Category}


def headers(*pairs: tuple[str, object]) -> str:
    """Lines of a packet, each with its CR LF."""
    return "".join(f"{name}: {value}\r\n" for name, value in pairs)


def packet(event: str, category: int, body: str, uniqueid: str = "") -> Packet:
    """An event with its `Privilege` line, as manager.c writes it."""
    text = f"{_head(event, category)}{body}\r\n"
    return Packet(event, category, text, uniqueid)


@lru_cache(maxsize=256)  # every event has one head; there are some fifty
def _head(event: str, category: int) -> str:
    return f"Event: {event}\r\nPrivilege: {PRIVILEGE[category]}\r\n"
