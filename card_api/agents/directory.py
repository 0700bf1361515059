"""Who sits at which phone: a picture of the agents tables, in memory, because every update of a call asks it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

SUPERVISING_ROLES = ("supervisor", "admin")


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent. `endpoints`: (endpoint, pbx), pbx None where it is the agent's on every PBX."""

    login: str
    name: str
    extension: str | None = None
    role: str = "agent"
    language: str | None = None
    active: bool = True
    endpoints: tuple[tuple[str, str | None], ...] = ()

    @property
    def supervises(self) -> bool:
        """May this agent see other agents' calls?"""
        return self.role in SUPERVISING_ROLES


@dataclass(frozen=True)
class Directory:
    """All active agents by login, endpoint and extension. Immutable: a change makes a new one."""

    by_login: dict[str, Agent] = field(default_factory=dict)
    _by_endpoint: dict[tuple[str, str | None], Agent] = field(default_factory=dict)
    _by_extension: dict[str, Agent] = field(default_factory=dict)

    @classmethod
    def of(cls, agents: Iterable[Agent]) -> "Directory":
        active = [agent for agent in agents if agent.active]
        return cls(
            {agent.login: agent for agent in active},
            {endpoint: agent for agent in active for endpoint in agent.endpoints},
            {agent.extension: agent for agent in active if agent.extension},
        )

    def at(self, pbx: str, endpoint: str | None) -> Agent | None:
        """Whose phone is this endpoint? What is said for this very PBX goes before what is said for any."""
        if endpoint is None:
            return None
        return self._by_endpoint.get((endpoint, pbx)) or self._by_endpoint.get((endpoint, None))

    def named(self, name: str | None) -> Agent | None:
        """By login, else by extension: what a PBX or a listener without our table calls an agent."""
        if name is None:
            return None
        return self.by_login.get(name) or self._by_extension.get(name)

    def find(self, pbx: str, endpoint: str | None, name: str | None) -> Agent | None:
        """By endpoint, else by name."""
        return self.at(pbx, endpoint) or self.named(name)
