"""What the simulated PBX looks like: agents, lines, callers, accounts, and how people behave."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.simulator.packets import Category

Strategy = Literal["linear", "ringall", "leastrecent"]
"""How a queue picks whom to ring, in Asterisk's words."""

Seconds = tuple[float, float]
"""A range people's times are drawn from, evenly: (shortest, longest)."""


class SimulatorError(Exception):
    """The simulator was asked for something its PBX does not have; the text says what to do."""


@dataclass(frozen=True, slots=True)
class SimAgent:
    """A phone of ours."""

    extension: str
    name: str
    endpoint: str

    @property
    def login(self) -> str:
        """`agent101` of `PJSIP/agent101`: what the PBX calls the phone's account."""
        return self.endpoint.partition("/")[2]


@dataclass(frozen=True, slots=True)
class SimQueue:
    """A line: a queue with the number customers dial for it.

    members: interfaces, in the order of queues.conf: endpoints, or `Local/101@agent-local/n`. ring_seconds: how long
    one attempt rings (`timeout`). max_wait: after so many seconds the caller hears that nobody is there and is hung up
    on. announce: the call is answered first and the caller hears music; without it the caller hears ringing until an
    agent answers. wrap_up: seconds an agent is left alone after a call (`wrapuptime`). recorded: the dialplan starts
    MixMonitor before the queue.
    """

    name: str
    did: str
    members: tuple[str, ...]
    strategy: Strategy = "linear"
    ring_seconds: float = 5.0
    max_wait: float = 60.0
    announce: bool = True
    wrap_up: float = 0.0
    recorded: bool = True


@dataclass(frozen=True, slots=True)
class SimCaller:
    """Somebody outside. A number of None: the trunk sent none."""

    number: str | None
    name: str | None = None


WITHHELD = SimCaller("anonymous", "Anonymous")
"""What a caller who hides the number looks like on this trunk (SIP From: "Anonymous" <sip:anonymous@…>)."""

NO_NUMBER = SimCaller(None, None)


@dataclass(frozen=True, slots=True)
class SimAccount:
    """A user of manager.conf: the classes it may read and write."""

    username: str
    secret: str
    read: Category = Category.ALL
    write: Category = Category.ALL


FULL_ACCOUNT = SimAccount("callcard", "callcard-test")
LEAST_ACCOUNT = SimAccount(
    "cardmin",
    "cardmin-test",
    read=Category.CALL | Category.AGENT,
    write=Category.ORIGINATE | Category.REPORTING,
)
"""The least that still carries call, queue and dial events; the account README recommends."""

AGENT_NAMES = ("Agent One", "Agent Two", "Agent Three", "Agent Four")

DEFAULT_MIX: Mapping[str, float] = {
    "answered_queue_call": 30,
    "answered_agent_hangup": 12,
    "abandoned_in_queue": 8,
    "ring_no_answer_then_other": 8,
    "declined_agent": 2,
    "ringall_queue": 8,
    "ivr_then_queue": 10,
    "ivr_timeout_to_queue": 2,
    "ivr_caller_hangup": 2,
    "out_of_hours": 1,
    "queue_timeout": 1,
    "direct_did": 5,
    "direct_did_missed": 2,
    "direct_did_busy": 1,
    "internal_call": 2,
    "internal_no_answer": 1,
    "outbound_answered": 4,
    "outbound_no_answer": 1,
    "outbound_busy": 1,
    "anonymous_caller": 2,
    "no_caller_id": 1,
    "cyrillic_caller_name": 2,
    "hold_unhold": 3,
    "blind_transfer_refer": 3,
}
"""Weights of the scenarios in random traffic: mostly answered queue calls, a little of everything else."""


def make_agents(count: int) -> tuple[SimAgent, ...]:
    """`count` phones, 101 and up, named as in the recorded traces."""
    names = [*AGENT_NAMES, *(f"Agent {101 + i}" for i in range(len(AGENT_NAMES), count))]
    return tuple(SimAgent(str(101 + i), names[i], f"PJSIP/agent{101 + i}") for i in range(count))


def make_queues(people: tuple[SimAgent, ...]) -> tuple[SimQueue, ...]:
    """The two lines of the recorded traces, everybody in both; the menu's keys are their places: 1, 2."""
    everybody = tuple(agent.endpoint for agent in people)
    return (
        SimQueue("support", "+78000000003", everybody, strategy="linear"),
        SimQueue("billing", "+78000000001", everybody, strategy="ringall", announce=False),
    )


def make_local_queue(people: tuple[SimAgent, ...]) -> SimQueue:
    """The third line of the traces, whose members are Local channels, as FreePBX makes them."""
    members = tuple(f"Local/{agent.extension}@agent-local/n" for agent in people)
    return SimQueue("sales", "+78000000002", members, strategy="linear", recorded=False)


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """Everything the traffic depends on; the same config and seed give the same calls.

    calls_per_second: of run_traffic, in the PBX's own time. mix: scenario name → weight. ring, talk, ivr, patience:
    seconds people take (patience: of a caller who will give up). time_scale: how much faster than the wall clock the
    PBX's clock runs. noise: send VarSet, Newexten and RTCP packets too, 60 % of what a read=all account gets.
    epoch: Unix time at which the PBX started; None takes the wall clock's (then uniqueids differ from run to run).
    max_backlog: bytes a client may leave unread before it is cut off; 32 MB are 700 calls with full noise. (Asterisk
    goes by `writetimeout`; with bytes nobody waits for a slow client, and memory has a bound.)
    """

    agents: tuple[SimAgent, ...] = make_agents(4)
    queues: tuple[SimQueue, ...] = make_queues(make_agents(4))
    callers: tuple[SimCaller, ...] = (
        SimCaller("+79001112233"),
        SimCaller("+79001112244"),
        SimCaller("+79005556677", "Ivan Petrov"),
        SimCaller("+78432223344"),
        SimCaller("+79003334455", "Иванов Пётр"),
    )
    accounts: tuple[SimAccount, ...] = (FULL_ACCOUNT, LEAST_ACCOUNT)
    calls_per_second: float = 0.15
    seed: int = 1
    mix: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_MIX))
    ring: Seconds = (1.0, 4.0)
    talk: Seconds = (10.0, 40.0)
    ivr: Seconds = (2.0, 6.0)
    patience: Seconds = (4.0, 15.0)
    time_scale: float = 1.0
    noise: bool = False
    epoch: float | None = None
    max_backlog: int = 32 * 1024 * 1024
    trunk: str = "PJSIP/trunk"
    ivr_did: str = "+78000000000"
    timeout_did: str = "+78000000004"
    direct_prefix: str = "+78430000"
    outgoing_number: str = "+78430000000"

    def agent(self, who: str) -> SimAgent:
        """The agent of an extension, an endpoint or a login; SimulatorError if there is none."""
        for agent in self.agents:
            if who in (agent.extension, agent.endpoint, agent.login):
                return agent
        raise SimulatorError(f"there is no agent {who!r}; there are {[a.extension for a in self.agents]}")

    def queue(self, name_or_did: str) -> SimQueue:
        """The queue of a name or a number customers dial; SimulatorError if there is none."""
        for queue in self.queues:
            if name_or_did in (queue.name, queue.did):
                return queue
        raise SimulatorError(f"there is no queue {name_or_did!r}; there are {[q.name for q in self.queues]}")
