"""The floor: agents' phones and queues as the PBX sees them now, said by `ami_listener`.

Every update carries the whole phone or queue and a version: keep the highest version of each, ignore the rest, and a
lost or doubled message cannot hurt. Moments, not durations, are said: who reads counts the seconds.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from shared.contracts.base import Contract, Timestamp
from shared.contracts.call import Caller


class PhoneState(StrEnum):
    """What a phone does, in the PBX's own words. `ring_in_use`: it rings while it talks. `unavailable`: not
    registered. `invalid`: the PBX knows no such phone."""

    NOT_IN_USE = "not_in_use"
    IN_USE = "in_use"
    BUSY = "busy"
    RINGING = "ringing"
    RING_IN_USE = "ring_in_use"
    ON_HOLD = "on_hold"
    UNAVAILABLE = "unavailable"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class Membership(StrEnum):
    """How a member came into a queue: by its configuration, by an action or the dialplan, by a database."""

    STATIC = "static"
    DYNAMIC = "dynamic"
    REALTIME = "realtime"


class Phone(Contract):
    """A phone; trunks are none."""

    device: str = Field(description="PJSIP/agent101")
    agent: str | None = Field(None, description="whose phone it is, where that is known: the agent's login")
    state: PhoneState
    since: Timestamp | None = Field(
        None, description="when it was seen to change to this state; null if it was so before"
    )


class QueueMember(Contract):
    """One who takes calls from a queue."""

    interface: str = Field(description="what the queue dials: PJSIP/agent101, Local/101@from-queue/n")
    device: str = Field(description="what says whether it is free: PJSIP/agent101, hint:101@ext-local")
    name: str | None = None
    agent: str | None = Field(None, description="login, where it is known; else the extension")
    state: PhoneState = PhoneState.UNKNOWN
    membership: Membership | None = None
    penalty: int = Field(0, description="members with a lower one are called first")
    ring_in_use: bool | None = Field(
        None, description="is it called while it talks? null if the PBX does not say"
    )
    paused: bool = False
    pause_reason: str | None = None
    paused_at: Timestamp | None = Field(
        None, description="by the PBX's clock; null if not paused or not known"
    )
    in_call: int = Field(0, description="calls of this queue that it talks in now")
    talking_since: Timestamp | None = Field(None, description="of the longest of them; null if not known")
    calls_taken: int = Field(0, description="since the queue's counters were last set to nought")
    last_call_at: Timestamp | None = Field(None, description="end of the last call, by the PBX's clock")
    wrapup_until: Timestamp | None = Field(
        None,
        description="not called again before this moment, which may be past; null without a wrap-up time",
    )
    logged_in_at: Timestamp | None = None


class WaitingCaller(Contract):
    """A caller who waits in a queue."""

    call_id: str = Field(description="that of the call in `Call`")
    caller: Caller
    position: int = Field(description="1 is next")
    joined_at: Timestamp


class Queue(Contract):
    """A queue: its members, who waits, and the PBX's own statistics since it last set them to nought."""

    name: str
    strategy: str | None = Field(
        None, description="ringall, linear, leastrecent, fewestcalls, random, rrmemory …"
    )
    max_waiting: int | None = Field(None, description="null: no limit, or not known")
    service_level_seconds: int | None = None
    average_hold_seconds: int | None = Field(None, description="of answered callers, late ones count more")
    average_talk_seconds: int | None = None
    completed: int | None = Field(None, description="calls that were answered and are over")
    abandoned: int | None = Field(None, description="callers who left unanswered, also by the time limit")
    members: list[QueueMember] = []
    waiting: list[WaitingCaller] = Field([], description="in the order in which they are served")
    longest_waiting_since: Timestamp | None = None


class QueueUpdate(Contract):
    kind: Literal["queue"] = "queue"
    pbx: str
    version: int = Field(description="grows with each update, across restarts of the listener")
    at: Timestamp
    queue: Queue


class PhoneUpdate(Contract):
    kind: Literal["phone"] = "phone"
    pbx: str
    version: int
    at: Timestamp
    phone: Phone


class FloorRoster(Contract):
    """Which queues and phones there are, said after the PBX's state was read. Whatever a reader holds beyond it with a
    lower version is gone."""

    kind: Literal["roster"] = "roster"
    pbx: str
    version: int
    at: Timestamp
    queues: list[str]
    phones: list[str] = Field(description="devices")


FloorMessage = QueueUpdate | PhoneUpdate | FloorRoster

_MESSAGE: TypeAdapter[FloorMessage] = TypeAdapter(Annotated[FloorMessage, Field(discriminator="kind")])


def read_floor_message(raw: bytes | str) -> FloorMessage:
    """A message of the floor's channel. Raises ValueError if it is none."""
    return _MESSAGE.validate_json(raw)
