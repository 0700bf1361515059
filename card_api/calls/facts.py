"""What a call tells us, as pure functions: the customer's number, who talked, for how long."""

from collections.abc import Callable
from typing import NamedTuple

from card_api.agents.directory import Directory
from shared.contracts.call import Call, Direction, LegState, Presentation
from shared.phone import NumberKind, absence, normalise

CountryOf = Callable[[str], str]
"""PBX name -> ISO country of the numbers its lines send without a country code."""


class CustomerEnd(NamedTuple):
    """The customer's end of a call. `number`: E.164, None if it is hidden, missing or no phone number.

    A tuple because each update asks for it; a frozen dataclass costs three times."""

    number: str | None
    presentation: Presentation


def customer_end(call: Call, country_of: CountryOf) -> CustomerEnd:
    """Who is on the other side: the caller, or the one an agent dialled. Nobody for internal calls."""
    if call.direction is Direction.INTERNAL:
        return CustomerEnd(None, Presentation.ALLOWED)
    country = country_of(call.pbx)
    if call.direction is Direction.OUTBOUND:
        return CustomerEnd(normalise(call.did, country) if call.did else None, Presentation.ALLOWED)
    caller = call.caller
    if caller.presentation is not Presentation.ALLOWED:
        return CustomerEnd(None, caller.presentation)
    if (none := absence(caller.number)) is not None:
        hidden = none is NumberKind.WITHHELD
        return CustomerEnd(None, Presentation.WITHHELD if hidden else Presentation.UNAVAILABLE)
    assert caller.number is not None
    return CustomerEnd(normalise(caller.number, country), Presentation.ALLOWED)


def account_of(call: Call) -> str | None:
    """The contract or account number that the dialplan says was typed (docs/dialplan.md), else None.

    Keys alone are none: they are a menu's choice, a PIN or a card number as often, and whoever has an account of the
    same digits would be shown in the caller's place.
    """
    return call.variables.get("Contract", "").strip() or None


def somebody_rings(call: Call) -> bool:
    """Is there a phone that rings now? Then somebody waits for a card."""
    return any(leg.state is LegState.RINGING for leg in call.legs)


def agents_who_talked(call: Call, directory: Directory) -> list[str]:
    """Logins in the order in which they first talked. A phone that is nobody's in our table counts by its endpoint,
    so that the record does not lose it."""
    talked: list[str] = []
    if call.direction is not Direction.INBOUND and call.answered_at is not None:
        caller = directory.find(call.pbx, call.caller.endpoint, call.caller.number)
        if caller is not None:
            talked.append(caller.login)
    for leg in sorted(
        (x for x in call.legs if x.answered_at), key=lambda x: x.answered_at or call.started_at
    ):
        agent = directory.find(call.pbx, leg.endpoint, leg.agent)
        name = agent.login if agent else leg.agent
        if name is not None and name not in talked:
            talked.append(name)
    return talked


def talk_seconds(call: Call) -> int | None:
    """From the first answer by a person to the end; None if nobody answered or it goes on."""
    if call.answered_at is None or call.ended_at is None:
        return None
    return max(0, round((call.ended_at - call.answered_at).total_seconds()))
