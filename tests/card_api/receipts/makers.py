"""Cards that ring, and what tabs say of them."""

from datetime import datetime

from card_api.cards.places import places
from card_api.cards.render import Knowledge, render
from shared.contracts.card import Card
from shared.contracts.push import Receipt
from shared.revision import revision
from tests.card_api.makers import DIRECTORY, SITE, at, call, leg


def card(
    version: int = 1,
    state: str = "ringing",
    login: str = "101",
    ringing: float = 1,
    looked_up: datetime | None = None,
    call_id: str = "main-1.1",
) -> Card:
    """The card of a call that began at 0 and rings at `ringing` seconds."""
    own = leg(
        login,
        "ended" if state == "closed" else state,
        "cancelled" if state == "closed" else None,
        ringing=ringing,
        answered=ringing + 5 if state == "answered" else None,
    )
    ringing_call = call(call_id, legs=(own,))
    (place,) = places(ringing_call, DIRECTORY)
    knowledge = Knowledge(looked_up_at=looked_up)
    return render(ringing_call, version, place, knowledge, DIRECTORY, SITE, at(ringing))


def receipt(
    seconds: float,
    what: str = "card.shown",
    version: int = 1,
    login: str = "101",
    call_id: str = "main-1.1",
    client: str = "tab",
) -> Receipt:
    """Heard so many seconds after the beginning of the call."""
    return Receipt.model_validate(
        {
            "what": what,
            "call_id": call_id,
            "agent": login,
            "rev": revision(version, 0),
            "client": client,
            "received_at": at(seconds),
        }
    )
