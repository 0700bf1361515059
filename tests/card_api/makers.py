"""Calls and their updates, as short as a test wants to write them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from card_api.agents.directory import Agent, Directory
from card_api.cards.render import Site
from shared.contracts.call import (
    Call,
    Caller,
    CallState,
    CallUpdate,
    Direction,
    Leg,
    LegEndReason,
    LegState,
)

# 12:00 in Moscow, far enough away that no card of these tests has expired by the clock of Redis.
NOON = datetime(2126, 11, 21, 9, 0, tzinfo=UTC)
CUSTOMER = "+79001112233"
SITE = Site(ZoneInfo("Europe/Moscow"), "ru", lambda _: "RU")

ANNA = Agent("101", "Анна Смирнова", "101", endpoints=(("PJSIP/agent101", None),))
DMITRY = Agent("102", "Дмитрий Кузнецов", "102", endpoints=(("PJSIP/agent102", None),))
OLEG = Agent("104", "Олег Соколов", "104", role="supervisor", endpoints=(("PJSIP/agent104", None),))
DIRECTORY = Directory.of([ANNA, DMITRY, OLEG])


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def leg(
    login: str,
    state: str = "ringing",
    end: str | None = None,
    ringing: float | None = 1,
    answered: float | None = None,
    ended: float | None = None,
) -> Leg:
    """A leg at this agent's phone."""
    return Leg(
        endpoint=f"PJSIP/agent{login}",
        channel=f"PJSIP/agent{login}-00000001",
        state=LegState(state),
        ringing_at=None if ringing is None else at(ringing),
        answered_at=None if answered is None else at(answered),
        ended_at=None if ended is None else at(ended),
        end_reason=LegEndReason(end) if end else None,
    )


def call(
    call_id: str = "main-1.1",
    state: str = "ringing",
    legs: tuple[Leg, ...] = (),
    number: str | None = CUSTOMER,
    direction: str = "inbound",
    **more: Any,
) -> Call:
    if "caller" not in more:
        more["caller"] = Caller(number=number, endpoint="PJSIP/trunk")
    values = {"pbx": "main", "did": "+78000000003", "started_at": at(0), **more}
    return Call(
        call_id=call_id, state=CallState(state), direction=Direction(direction), legs=list(legs), **values
    )


def update(of: Call, version: int) -> CallUpdate:
    return CallUpdate(pbx=of.pbx, call_id=of.call_id, version=version, change="test", at=at(0), call=of)


def ringing(call_id: str = "main-1.1", version: int = 10, login: str = "101", **more: Any) -> CallUpdate:
    return update(call(call_id, "ringing", (leg(login),), **more), version)


def ended(call_id: str = "main-1.1", version: int = 20, login: str = "101", **more: Any) -> CallUpdate:
    finished = leg(login, "ended", "hangup", answered=3, ended=60)
    return update(
        call(
            call_id,
            "ended",
            (finished,),
            answered_at=at(3),
            ended_at=at(60),
            end_reason="completed",
            **more,
        ),
        version,
    )
