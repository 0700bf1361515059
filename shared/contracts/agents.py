"""Whose phone is which: what the listener must know of the agents."""

from pydantic import Field

from shared.contracts.base import Contract


class AgentPhone(Contract):
    """One phone of an active agent."""

    endpoint: str = Field(description="PJSIP/101")
    pbx: str | None = Field(
        None, description="name of the PBX it is at; null: it is this agent's at every PBX"
    )
    agent: str = Field(description="the agent's login")


class AgentPhones(Contract):
    """The phones of all active agents, as one Redis key; the card API writes it, the listeners read it."""

    phones: list[AgentPhone] = []

    def at(self, pbx: str) -> dict[str, str]:
        """Endpoint → login at this PBX. What is said for this very PBX goes before what is said for any."""
        anywhere = {phone.endpoint: phone.agent for phone in self.phones if phone.pbx is None}
        return anywhere | {phone.endpoint: phone.agent for phone in self.phones if phone.pbx == pbx}
