"""What the push gateway says to a tab beyond the channels' publications, and what it hears from it."""

from typing import Literal

from pydantic import Field

from shared.contracts.base import Contract, Timestamp
from shared.contracts.card import Card
from shared.revision import MAX_REV


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
    epoch: str = Field(description="of the channel agent:<login>")
    offset: int = Field(
        description="position of this desk in the channel. A publication up to it tells what was missed: it never "
        "puts a card on the screen"
    )
    cards: list[Card] = Field([], description="open cards; one that is not here is not on the screen")
    complete: bool = Field(
        True,
        description="false: Redis lost its memory and the card API has not told it again yet. Keep the cards that "
        "are shown; the gateway asks the tab to reconnect as soon as the desk is whole again",
    )
    server_time: Timestamp = Field(description="to correct the tab's clock for counters")


class CardSeen(Contract):
    """What the tab says in `card.shown` and `card.opened`."""

    call_id: str = Field(min_length=1, max_length=200)
    rev: int = Field(ge=0, le=MAX_REV)
    at: Timestamp | None = Field(None, description="when it was painted, by the tab's clock")


class Receipt(CardSeen):
    """A card reached the eye: an entry of the receipts stream, written by the gateway."""

    what: Literal["card.shown", "card.opened"]
    agent: str = Field(description="login, from the token of the connection")
    client: str = Field(description="the connection that says so: one tab")
    received_at: Timestamp = Field(description="when the gateway heard of it, by the gateway's clock")
