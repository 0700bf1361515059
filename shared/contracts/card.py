"""The card on an agent's screen: a whole document with a revision."""

from enum import StrEnum

from pydantic import Field

from shared.contracts.base import Contract, Timestamp
from shared.contracts.call import CallEndReason, CallState, Direction, Presentation


class CardState(StrEnum):
    RINGING = "ringing"
    ANSWERED = "answered"
    HELD = "held"
    CLOSED = "closed"


class CloseReason(StrEnum):
    """Why a card left the screen. Closing is a state with a reason, never the absence of a message."""

    ANSWERED_ELSEWHERE = "answered_elsewhere"
    NO_ANSWER = "no_answer"
    CALLER_GAVE_UP = "caller_gave_up"
    REJECTED = "rejected"
    TRANSFERRED = "transferred"
    ENDED = "ended"


class MatchKind(StrEnum):
    """What the look-up of the number found."""

    ONE = "one"
    SEVERAL = "several"
    NONE = "none"
    WITHHELD = "withheld"
    COLLEAGUE = "colleague"


class SourceStatus(StrEnum):
    OK = "ok"
    LATE = "late"
    FAILED = "failed"


class MatchedBy(StrEnum):
    """How a customer came on the card: what somebody said in this call outranks what the number says."""

    NUMBER = "number"
    ACCOUNT = "account"
    AGENT = "agent"


class CallSummary(Contract):
    """The part of the call that the agent sees."""

    pbx: str
    direction: Direction
    state: CallState
    number: str | None = Field(None, description="the other side's number, E.164 or an extension")
    presentation: Presentation = Presentation.ALLOWED
    did: str | None = None
    queue: str | None = None
    digits: list[str] = []
    started_at: Timestamp
    ringing_at: Timestamp | None = Field(None, description="when this agent's phone began to ring")
    answered_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    end_reason: CallEndReason | None = None


class Named(Contract):
    """A name and who says so."""

    name: str
    source: str


class Person(Contract):
    """Somebody who may be speaking for the customer."""

    name: str
    role: str | None = None
    source: str


class Account(Contract):
    """A contract of the customer."""

    number: str
    status: str | None = None
    product: str | None = None
    source: str


class Category(Contract):
    code: str
    label: str
    colour: str | None = None


class Ticket(Contract):
    number: str
    subject: str
    status: str
    opened_at: Timestamp | None = None
    url: str | None = None
    source: str


class Order(Contract):
    number: str
    title: str
    status: str | None = None
    amount: str | None = Field(None, description="decimal as text, with its currency, e.g. '1990.00 RUB'")
    ordered_at: Timestamp | None = None
    url: str | None = None
    source: str


class PastCall(Contract):
    """An earlier call of the same customer."""

    call_id: str
    at: Timestamp
    direction: Direction
    end_reason: CallEndReason | None = None
    agent: str | None = None
    queue: str | None = None
    talk_seconds: int | None = None


class Note(Contract):
    """What somebody wrote down, in this call or before."""

    id: str
    text: str
    author: str = Field(description="name of the agent, or of the system")
    login: str | None = Field(None, description="of the agent who wrote it; none for a system")
    at: Timestamp
    call_id: str | None = None


class DoNotCallReason(StrEnum):
    HUNG_UP = "hung_up"
    ASKED = "asked"
    WRONG_NUMBER = "wrong_number"
    FOREIGN_NUMBER = "foreign_number"


class DoNotCall(Contract):
    """Nobody shall call this number, because …"""

    reason: DoNotCallReason
    comment: str | None = None
    by: str
    at: Timestamp


class BlackListed(Contract):
    """This number is on the black list. `until`: none is for ever."""

    reason: str | None = None
    until: Timestamp | None = None
    by: str
    at: Timestamp


class Attribute(Contract):
    """A free field of the customer that the site's card layout names."""

    name: str
    value: str
    source: str


class Callback(Contract):
    id: str
    due_at: Timestamp | None = None
    attempts: int = 0
    reason: str | None = None


class Link(Contract):
    label: str
    url: str


class CallerProfile(Contract):
    """Who is calling, as far as anybody knows; each field with its source."""

    customer_id: str | None = Field(
        None, description="ours; none for a customer that only another system knows"
    )
    source: str | None = Field(None, description="the system that says who it is")
    external_id: str | None = Field(None, description="its key in that system")
    kind: str | None = Field(None, description="person or company")
    matched_by: MatchedBy | None = None
    name: str | None = Field(None, description="the customer's name")
    person: str | None = Field(None, description="who speaks, if somebody picked one of the people")
    display_number: str | None = Field(None, description="the number as people read it")
    names: list[Named] = []
    people: list[Person] = []
    accounts: list[Account] = []
    category: Category | None = None
    manager: str | None = None
    tags: list[str] = []
    preferences: dict[str, str] = {}
    attributes: list[Attribute] = []
    origins: dict[str, str] = Field(
        {}, description="which source said name, category, manager …: field → source"
    )
    do_not_call: DoNotCall | None = None
    black_listed: BlackListed | None = None


class Candidate(Contract):
    """One of several customers behind a number, with the reason for its rank. Picked by `customer_id`, or by `source`
    and `external_id` where only another system knows it."""

    customer_id: str | None = None
    source: str
    external_id: str
    name: str
    why: str
    score: float


class Source(Contract):
    name: str
    status: SourceStatus
    ms: float


class CardAction(Contract):
    """What the agent can do from the card. Everything an agent does is REST."""

    name: str
    method: str = "POST"
    url: str
    if_match: str | None = Field(
        None,
        description="send it as If-Match: if another tab or agent has said meanwhile who is calling, nothing is "
        "overwritten and the answer says who was first",
    )


class Timings(Contract):
    """The way of the card from the PBX to the eye."""

    arrived: Timestamp
    looked_up: Timestamp | None = None
    rang: Timestamp | None = None
    pushed: Timestamp | None = None
    shown: Timestamp | None = None


class Card(Contract):
    """Everything one agent's screen shows about one call. The highest `rev` of a call_id is the truth."""

    call_id: str
    rev: int
    state: CardState
    close_reason: CloseReason | None = None
    agent: str = Field(description="login of the agent it is for")
    call: CallSummary
    match: MatchKind
    caller: CallerProfile
    candidates: list[Candidate] = []
    greeting: str | None = None
    script: str | None = None
    history: list[PastCall] = []
    tickets: list[Ticket] = []
    orders: list[Order] = []
    notes: list[Note] = Field([], description="of this call and of the customer, newest first")
    callbacks: list[Callback] = []
    links: list[Link] = []
    sources: list[Source] = []
    actions: list[CardAction] = []
    expires_at: Timestamp = Field(description="after this the screen drops the card, whatever it has heard")
    timings: Timings


class CompactCaller(Contract):
    """Who is calling, in the space of a pop-up."""

    customer_id: str | None = None
    kind: str | None = None
    name: str | None = None
    person: str | None = Field(None, description="who speaks, if somebody picked one of the people")
    display_number: str | None = None
    category: Category | None = None
    tags: list[str] = []
    do_not_call: DoNotCall | None = None
    black_listed: BlackListed | None = None


class Counts(Contract):
    """How much more the full card shows."""

    candidates: int = 0
    history: int = 0
    tickets: int = 0
    orders: int = 0
    notes: int = 0
    callbacks: int = 0


class CompactCard(Contract):
    """What fits a pop-up while the phone rings: the card's own words, the first ticket and order, and counts."""

    call_id: str
    rev: int
    state: CardState
    close_reason: CloseReason | None = None
    agent: str
    call: CallSummary
    match: MatchKind
    caller: CompactCaller
    greeting: str | None = None
    ticket: Ticket | None = Field(None, description="the newest open one")
    order: Order | None = Field(None, description="the newest one")
    counts: Counts
    expires_at: Timestamp


class CardPublication(Contract):
    """What the channel `agent:<login>` carries for a card."""

    type: str = "card"
    card: Card
