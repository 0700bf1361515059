"""What the push gateway says to a tab beyond the channels' publications, and what it hears from it."""

from typing import Literal

from pydantic import Field

from shared.contracts.base import Contract, Timestamp
from shared.contracts.card import Card


class DeskAgent(Contract):
    """Whose desk it is."""

    login: str
    role: str


class DeskSnapshot(Contract):
    """`data` of the connect reply: the agent's desk as it is now.

    It belongs to the position (epoch, offset) of `agent:<login>` in the same reply: every publication with a higher
    offset comes after it, none before it is missing in it.
    """

    type: Literal["desk"] = "desk"
    agent: DeskAgent
    cards: list[Card] = Field([], description="open cards; one that is not here is not on the screen")
    complete: bool = Field(
        True,
        description="false: Redis lost its memory and the card API has not told it again yet. Keep the cards that "
        "are shown; the gateway asks the tab to reconnect as soon as the desk is whole again",
    )
    server_time: Timestamp = Field(description="to correct the tab's clock for counters")


class Receipt(Contract):
    """A tab says that a card reached the eye: an entry of the receipts stream, written by the gateway."""

    what: Literal["card.shown", "card.opened"]
    agent: str = Field(description="login, from the token of the connection")
    client: str = Field(description="the connection that says so: one tab")
    call_id: str
    rev: int
    at: Timestamp | None = Field(None, description="when it was painted, by the tab's clock")
    received_at: Timestamp = Field(description="when the gateway heard of it, by the gateway's clock")
