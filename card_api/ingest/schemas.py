"""Events of calls as other telephone systems and branch offices tell them: our own JSON."""

import hashlib
from enum import StrEnum
from typing import Annotated, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from shared.contracts.base import Contract, Timestamp
from shared.contracts.call import Direction, TransferKind
from shared.phone import plain

MOST_EVENTS = 1000
"""In one request: a branch office's minute, and some 500 kB."""

MOST_VARIABLES = 32
"""Facts of a call that a card may show; as many as a PBX of ours may have (shared.settings)."""


def _clean(value: str) -> str:
    return plain(value).strip()


def _said(value: str) -> str:
    cleaned = _clean(value)
    if not cleaned:
        raise ValueError("is empty")
    return cleaned


def _text(longest: int) -> StringConstraints:
    return StringConstraints(max_length=longest)


# What trunks send in place of a number may be anything; it is kept as it came, without what no database takes.
Line = Annotated[str, _text(200), AfterValidator(_clean)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_said)]
Pbx = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]


class EventKind(StrEnum):
    """What happened. In the order in which events of the same moment are read."""

    STARTED = "started"
    DIGITS = "digits"
    QUEUED = "queued"
    RINGING = "ringing"
    ANSWERED = "answered"
    HELD = "held"
    RESUMED = "resumed"
    TRANSFERRED = "transferred"
    STOPPED = "stopped"
    ENDED = "ended"


class Reason(StrEnum):
    """Why a call, or a phone's part in it, ended."""

    COMPLETED = "completed"
    ABANDONED = "abandoned"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    REJECTED = "rejected"
    FAILED = "failed"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


_NEEDS = {
    EventKind.QUEUED: ("queue", "the queue the caller waits in"),
    EventKind.DIGITS: ("digits", "the keys that were pressed"),
    EventKind.TRANSFERRED: ("to", "the number or queue the call goes to"),
}


class CallEvent(BaseModel):
    """One thing that happened to a call. Facts (from, to, direction, name) may come with any event of it; what was said
    first by `at` counts."""

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        serialize_by_alias=True,
        json_schema_extra={
            "examples": [
                {
                    "pbx": "kazan",
                    "call_id": "5fb9532f40da834a",
                    "type": "ringing",
                    "at": "2026-11-22T09:00:01.250Z",
                    "from": "+79001112233",
                    "to": "+78432000000",
                    "direction": "inbound",
                    "agent": "101",
                }
            ]
        },
    )

    id: Word | None = Field(
        None, description="yours; an id that was taken is not taken again. Without: the content is"
    )
    pbx: Pbx = Field(
        description="the sender's name for itself; no PBX that a listener follows", examples=["kazan"]
    )
    call_id: Annotated[str, StringConstraints(min_length=1, max_length=250), AfterValidator(_said)] = Field(
        description="the sender's, unique for ever at this `pbx`"
    )
    type: EventKind = Field(
        description="stopped: this phone rings or talks no more, and the call goes on; ended: the whole call is over"
    )
    at: Timestamp = Field(
        description="when it happened; events are put in this order, however late they come"
    )
    from_: Line | None = Field(
        None, alias="from", description="who calls: number, extension, or a word like anonymous"
    )
    name: Line | None = Field(None, description="of the caller, as the telephone system shows it")
    to: Line | None = Field(None, description="what was dialled; with `transferred`: where the call goes")
    direction: Direction | None = Field(None, description="as the company sees it; inbound if nobody says")
    agent: Word | None = Field(
        None,
        description="whose phone: login or extension. Outbound: who calls, unless it is a colleague's phone",
    )
    endpoint: Word | None = Field(None, description="which phone: technology and name", examples=["SIP/101"])
    queue: Word | None = None
    position: int | None = Field(None, ge=1, le=100_000, description="in the queue; 1 is next")
    reason: Reason | None = Field(None, description="with `ended` and `stopped`; else what happened tells")
    kind: TransferKind | None = Field(None, description="with `transferred`; blind if nobody says")
    digits: Annotated[str, StringConstraints(pattern=r"^[0-9A-Da-d*#]{1,100}$")] | None = None
    menu: Word | None = Field(None, description="which menu asked for the digits")
    variables: dict[Word, Line] | None = Field(
        None, max_length=MOST_VARIABLES, description="facts for the card, by name"
    )

    @model_validator(mode="after")
    def _whole(self) -> "CallEvent":
        need = _NEEDS.get(self.type)
        if need is not None and not getattr(self, need[0]):
            raise ValueError(f"'{self.type}' needs `{need[0]}`: {need[1]}")
        return self

    @property
    def key(self) -> str:
        """Equal for events that say the same."""
        if self.id is not None:
            return f"id:{self.id}"
        content = self.model_dump(mode="json", exclude_none=True)
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]

    @property
    def our_call_id(self) -> str:
        return call_id_of(self.pbx, self.call_id)


# What goes into a URL as it is.
_SIMPLE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-")
_LONGEST_PLAIN = 100


def call_id_of(pbx: str, call_id: str) -> str:
    """Ours for theirs: an id that is hard to write in a URL is replaced by its hash."""
    if len(call_id) > _LONGEST_PLAIN or not _SIMPLE.issuperset(call_id):
        call_id = hashlib.sha256(call_id.encode()).hexdigest()[:32]
    return f"{pbx}-{call_id}"


Status = Literal["accepted", "repeated", "late", "refused"]


class EventResult(Contract):
    """What became of one event. accepted: the call changed, or will be told better by it. repeated: it was known.
    late: the call was over already, so nothing changed. refused: see detail."""

    index: int = Field(description="its place in the request, from 0")
    status: Status
    call_id: str | None = Field(
        None, description="ours: as in cards, web hooks and GET /api/v1/calls/{call_id}"
    )
    detail: str | None = Field(None, description="what is wrong and what to do")


class EventResults(Contract):
    """One entry an event, in their order."""

    accepted: int
    results: list[EventResult]
