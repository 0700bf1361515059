"""Who does something to customers, for the audit log and for those who read notes."""

from dataclasses import dataclass
from typing import Literal

from card_api.agents.directory import Agent
from card_api.api_keys.repository import ApiKey


@dataclass(frozen=True, slots=True)
class Actor:
    """`audit`: how the audit log calls them. `shown`: how people know them."""

    kind: Literal["agent", "api_key", "system"]
    audit: str
    shown: str

    @property
    def id(self) -> str:
        """One word that is theirs alone."""
        return f"{self.kind}:{self.audit}"


def actor_of(who: Agent | ApiKey) -> Actor:
    if isinstance(who, Agent):
        return Actor("agent", who.login, who.login)
    return Actor("api_key", who.prefix, who.name)
