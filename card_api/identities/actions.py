"""What an agent may do from a card now: a pure function of what it shows."""

from urllib.parse import quote

from shared.contracts.call import Direction
from shared.contracts.card import CallerProfile, CardAction, CardState, MatchedBy, MatchKind


def actions(
    call_id: str,
    direction: Direction,
    state: CardState,
    match: MatchKind,
    caller: CallerProfile,
    number: str | None,
) -> list[CardAction]:
    """`number`: E.164, if it is shown. Nothing while it rings: nobody has said anything yet, and a card that rings is
    to be small. A colleague is nobody's customer."""
    if direction is Direction.INTERNAL or state is CardState.RINGING:
        return []
    names = ["identify", "person", "notes"]
    known = match is MatchKind.ONE
    if not known or caller.source == "callcard":
        names.append("customer")
    # Found otherwise than by the number: it may be one that the customer has not told us yet.
    if known and number is not None and caller.matched_by is not MatchedBy.NUMBER:
        names.append("number")
    base = f"/api/v1/cards/{quote(call_id, safe='')}/"
    able = [CardAction(name=name, method="POST", url=base + name) for name in names]
    if caller.matched_by is MatchedBy.AGENT:
        able.append(CardAction(name="undo", method="POST", url=base + "identify"))  # with nothing in it
    return able
