"""What an agent's word may meet."""

from card_api.etag import etag
from card_api.identities.repository import Said
from shared.errors import Conflict, NotFound


class UnknownAccount(NotFound):
    name, title = "unknown-account", "Nobody has this contract"

    def __init__(self, account: str) -> None:
        super().__init__(
            f"No source knows a contract {account}. Read the number back to the caller, or find them by name; the card "
            "has not changed."
        )


class IdentifiedMeanwhile(Conflict):
    """Somebody else was first. The document has what holds now as `identity`, with the `if_match` to correct it."""

    name, title = "identified-meanwhile", "Somebody was first"

    def __init__(self, said: Said, reader: str) -> None:
        """`reader`: login of the agent who is told."""
        now = {
            "customer_id": str(said.customer) if said.customer else None,
            "name": said.name,
            "person": said.person,
            "account": said.account,
            "by": said.by,
            "if_match": etag(said.version),
        }
        super().__init__(
            f"{_what(said, reader)} Nothing of yours was changed: look at the card as it is now, and say it again if "
            "you know better.",
            more={"identity": now},
        )


def _what(said: Said, reader: str) -> str:
    if not said.version:
        return "What was said of this caller has been taken back meanwhile."
    who = "You have said in another tab" if said.by == reader else f"{said.by_name} has said meanwhile"
    if said.name is not None:
        return f"{who} that it is {said.name}."
    if said.person is not None:
        return f"{who} that {said.person} speaks."
    return f"{who} that it is about contract {said.account}."
