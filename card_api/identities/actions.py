"""What an agent may do from a card now: a pure function of what it shows."""

from urllib.parse import quote

from card_api.etag import etag
from shared.contracts.call import Direction
from shared.contracts.card import CallerProfile, CardAction, CardState, MatchedBy, MatchKind

OURS = "callcard"
"""Source of the customers that agents add."""


def actions(
    call_id: str,
    direction: Direction,
    state: CardState,
    match: MatchKind,
    caller: CallerProfile,
    *,
    new_number: bool,
    identity: int,
) -> list[CardAction]:
    """`new_number`: there is a number, and the customer is not known to have it. `identity`: the version of what was
    said of the caller. Nothing while it rings: nobody has said anything yet, and a card that rings is to be small. A
    colleague is nobody's customer."""
    if direction is Direction.INTERNAL or state is CardState.RINGING:
        return []
    seen = etag(identity)
    base = f"/api/v1/cards/{quote(call_id, safe='')}/"

    def action(name: str, path: str | None = None) -> CardAction:
        return CardAction(name=name, method="POST", url=base + (path or name), if_match=seen)

    able = [action("identify"), action("person"), CardAction(name="notes", method="POST", url=base + "notes")]
    known = match is MatchKind.ONE
    # Whom an agent has added in this call, they may still correct; everybody else is somebody's record already.
    if not known or (caller.source, caller.external_id) == (OURS, call_id):
        able.append(action("customer"))
    if known and new_number:
        able.append(action("number"))
    if caller.matched_by is MatchedBy.AGENT or caller.person is not None:
        able.append(action("undo", "identify"))  # with nothing in it
    return able
