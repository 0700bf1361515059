"""What a tab says that it did with a card. Pure."""

from typing import Any

from pydantic import ValidationError

from push_gateway.effects import GiveReceipt
from shared.contracts.push import CardSeen

RECEIPTS = ("card.shown", "card.opened")


def parse_receipt(what: Any, agent: str, data: Any) -> GiveReceipt | None:
    """The receipt `data` of this agent's tab; None if it is none."""
    if what not in RECEIPTS:
        return None
    try:
        return GiveReceipt(what, agent, CardSeen.model_validate(data))
    except ValidationError:
        return None
