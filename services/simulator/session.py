"""What one AMI client may see and has asked for, apart from its socket."""

import re

from services.simulator.config import SimAccount
from services.simulator.packets import Category, Packet


class Session:
    """A client's rights, event mask and filters."""

    def __init__(self) -> None:
        self.account: SimAccount | None = None
        self.mask = Category.NONE
        self.including: list[re.Pattern[str]] = []
        self.excluding: list[re.Pattern[str]] = []

    def log_in(self, account: SimAccount, mask: Category) -> None:
        """The password was right; `mask` is what `Events:` of Login asked for."""
        self.account = account
        self.set_mask(mask)

    def set_mask(self, mask: Category) -> None:
        """What the client wants of what it may read."""
        assert self.account is not None
        self.mask = self.account.read & mask

    def may(self, needed: Category) -> bool:
        """May the account do what needs any one of these classes? Actions without a class are for everybody."""
        if self.account is None:
            return False
        return needed is Category.NONE or bool(self.account.write & needed)

    def add_filter(self, rule: str) -> bool:
        """An event filter as in manager.conf: a regular expression, `!` before it to leave out; False if it is none."""
        try:
            if rule.startswith("!"):
                self.excluding.append(re.compile(rule[1:]))
            else:
                self.including.append(re.compile(rule))
        except re.error:
            return False
        return True

    @property
    def filtered(self) -> bool:
        return bool(self.including or self.excluding)

    def wants(self, packet: Packet) -> bool:
        """Does this event go to this client?"""
        if not packet.category & self.mask:
            return False
        if self.including and not any(rule.search(packet.text) for rule in self.including):
            return False
        return not any(rule.search(packet.text) for rule in self.excluding)
