"""Redis Cluster, the pure part: which node owns which key, and which key a command is about."""

from collections.abc import Sequence
from typing import Any

from redis.crc import key_slot

Address = tuple[str, int]
"""Host and port of a node."""

# As Redis Cluster has it, for ever.
SLOTS = 16_384

# Commands about a server, or about none of the keys: any node answers them.
_ABOUT_NO_KEY = {"PING", "INFO", "TIME", "CLIENT", "CONFIG", "CLUSTER", "SCAN"}


class Slots:
    """Who owns which slot, at one moment. `masters`: every node that owns some, in order of their slots."""

    def __init__(self, owners: Sequence[Address | None]) -> None:
        self._owners = owners
        self.masters: tuple[Address, ...] = tuple(dict.fromkeys(owner for owner in owners if owner))

    @classmethod
    def parse(cls, answer: Sequence[Any], asked: Address) -> "Slots":
        """From the answer to CLUSTER SLOTS: `[first, last, [host, port, …], replicas…]` each. A node that does not
        know its own name leaves the host empty: it is the one we asked."""
        owners: list[Address | None] = [None] * SLOTS
        for first, last, master, *_ in answer:
            host = master[0] or asked[0]
            owner = (host.decode() if isinstance(host, bytes) else str(host), int(master[1]))
            owners[int(first) : int(last) + 1] = [owner] * (int(last) + 1 - int(first))
        return cls(owners)

    def owner(self, key: str | bytes) -> Address | None:
        """The node that has the key; None if nobody has its slot now."""
        return self._owners[key_slot(key.encode() if isinstance(key, str) else key)]


def key_of(command: Sequence[Any]) -> str | bytes | None:
    """The first key of a command; None if it has none. For PUBLISH the channel: who listens does so at its owner."""
    name = str(command[0]).partition(" ")[0]
    if name in ("EVAL", "EVALSHA"):
        key = command[3] if int(command[2]) else None
    elif name in ("XREAD", "XREADGROUP"):
        words = [word.decode() if isinstance(word, bytes) else word for word in command]
        key = words[words.index("STREAMS") + 1]
    elif name in _ABOUT_NO_KEY or len(command) == 1:
        key = None
    elif name in ("XINFO", "XGROUP") and " " not in str(command[0]):
        key = command[2]
    else:
        key = command[1]
    return key if isinstance(key, str | bytes) else None
