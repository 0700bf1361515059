"""The simulated event sequences are those a real Asterisk 22 wrote for the same calls."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from services.simulator import (
    NO_NUMBER,
    WITHHELD,
    SimCaller,
    SimulatorConfig,
    make_agents,
    make_local_queue,
    make_queues,
)
from services.simulator.call import CallOrder
from services.simulator.engine import Engine
from tests.services.simulator.recorded import (
    NOISE,
    TRACES,
    Event,
    devices,
    packets,
    recorded,
    story,
)

# What the simulator leaves out: Debian's own test events, the login, and queue "sales".
EXTRA = frozenset({"TestEvent", "SuccessfulAuth", "FullyBooted"})
QUEUES = frozenset({"support", "billing"})
CLIENT = "+79001112233"


# Keys of a feature code: how often the phone repeats their end, and who else hears it, is chance.
DIGITS = frozenset({"DTMFBegin", "DTMFEnd"})

# The phone's 180 and app_queue's word for it are two threads of the PBX: these recordings have the other order.
RINGING = frozenset({"DialState"})


@dataclass(frozen=True)
class Case:
    """A trace and the order that makes the simulator place the same call."""

    trace: str
    number: str | None = CLIENT
    name: str | None = None
    agent: str | None = None
    other: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    order: dict[str, Any] = field(default_factory=dict)
    scenario: str = ""
    without: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()  # channels; empty: all


CALLBACK: dict[str, Any] = {
    "number": "+79003334455",
    "agent": "101",
    "order": {"did": "+79003334455", "action_id": "originate-2"},
}
PEOPLE = make_agents(2)
LOCAL_MEMBERS = (*make_queues(PEOPLE), make_local_queue(PEOPLE))
WRAP_UP = tuple(replace(queue, wrap_up=2.0) for queue in SimulatorConfig().queues)

CASES = [
    Case("answered_queue_call"),
    Case("answered_agent_hangup"),
    Case("abandoned_in_queue", "+79001112244", config={"patience": (2.0, 2.0)}),
    Case("ring_no_answer_then_other", "+79001112255"),
    Case("declined_agent"),
    Case("ringall_queue", "+79001112266", agent="103"),
    Case("ivr_then_queue", "+78432223344", agent="102", order={"digit": "2"}),
    Case("ivr_timeout_to_queue", "+78432223344"),
    Case("ivr_caller_hangup", "+78432223344"),
    Case("out_of_hours"),
    Case("queue_timeout"),
    Case("direct_did", "+79005556677", "Ivan Petrov", agent="101"),
    Case("direct_did_missed", "+79005556677", agent="101"),
    Case("direct_did_busy", "+79005556677", agent="101"),
    Case("internal_call", None, agent="101", other="102"),
    Case("internal_no_answer", None, agent="101", other="103"),
    Case("outbound_answered", None, agent="101", order={"did": "89003334455"}),
    Case("outbound_busy", None, agent="101", order={"did": "+79003334455"}),
    Case("outbound_no_answer", None, agent="101", order={"did": "+79003334455"}),
    Case("anonymous_caller", WITHHELD.number, WITHHELD.name),
    Case("no_caller_id", NO_NUMBER.number),
    Case("cyrillic_caller_name", CLIENT, "Иван Петров"),
    Case("hold_unhold"),
    Case("blind_transfer_refer", other="102"),
    Case("blind_transfer_no_answer", other="104"),
    Case("blind_transfer_feature", other="102", without=DIGITS),
    # In the recording the others' phones had not rung yet when one was picked up.
    Case(
        "blind_transfer_to_queue",
        other="104",
        config={"queues": WRAP_UP},
        only=frozenset({"PJSIP/agent101#1", "PJSIP/agent104#1"}),
    ),
    Case("attended_transfer_refer", other="102", without=RINGING),
    Case("attended_transfer_abandoned", other="102"),
    Case("attended_transfer_feature", other="102", without=DIGITS),
    Case("attended_transfer_blonde", other="102", without=DIGITS | RINGING),
    Case("hangup_by_ami"),
    Case("busy_agent_rejects"),
    Case("trunk_unreachable", None, agent="101", order={"did": "+79003334455"}),
    Case("call_pickup", "+79005556677", agent="101", other="102"),
    Case("phone_forward_302", "+79005556677", agent="101", other="102"),
    Case("park_retrieve", other="102"),
    # The parking lot was there already in the recording.
    Case("park_abandoned", only=frozenset({"PJSIP/agent101#1"})),
    Case("conference_by_transfer", other="102"),
    Case("queue_local_members", config={"queues": LOCAL_MEMBERS}),
    Case("queue_local_members_rna", config={"queues": LOCAL_MEMBERS}, without=RINGING),
    Case("callback_agent_busy", **CALLBACK),
    Case("callback_agent_no_answer", **CALLBACK),
    Case("callback_client_busy", **CALLBACK),
    Case("callback_local_channel", **CALLBACK),
    Case(
        "callback_originate",
        "+79003334455",
        "Callback",
        agent="101",
        order={"did": "+79003334455", "uniqueid": "cb-0001", "action_id": "originate-2"},
    ),
]


def simulate(case: Case, *, noise: bool = False) -> list[Event]:
    """The events of the same call, made by the engine."""
    config = SimulatorConfig(noise=noise, **case.config)
    engine = Engine(config, 1795300000.0)
    order = CallOrder(
        caller=SimCaller(case.number, case.name),
        agent=config.agent(case.agent) if case.agent else None,
        other=config.agent(case.other) if case.other else None,
        **case.order,
    )
    engine.place(case.scenario or case.trace, order)
    while engine.due is not None:
        engine.step(float("inf"))
    return packets("".join(packet.text for packet in engine.take()).encode())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.trace)
def test_each_channel_lives_through_the_recorded_events(case: Case) -> None:
    def told(events: list[Event]) -> dict[str, list[Event]]:
        return story([event for event in events if event[0][1] not in case.without])

    simulated, real = told(simulate(case)), told(recorded(case.trace))

    assert case.only or simulated.keys() == real.keys()
    for channel in case.only or real:
        events = real[channel]
        assert simulated[channel] == events, channel


@pytest.mark.parametrize("case", [case for case in CASES if not case.only], ids=lambda case: case.trace)
def test_devices_go_through_the_recorded_states(case: Case) -> None:
    assert devices(simulate(case), QUEUES) == devices(recorded(case.trace), QUEUES)


def test_headers_and_privileges_are_those_of_asterisk() -> None:
    """Every event, noise too, has a list of headers, and a class, that some trace has for this event."""
    shapes = {shape(event) for path in TRACES.glob("*.ami") for event in packets(path.read_bytes())}

    for case in CASES:
        for event in simulate(case, noise=True):
            assert shape(event) in shapes


def shape(event: Event) -> tuple[str, ...]:
    """Name, class and the names of the headers in order."""
    fields = dict(event)
    return (fields["Event"], fields.get("Privilege", ""), *(name for name, _ in event))


def test_noise_is_as_much_as_the_real_one() -> None:
    """A queue call gave 104 packets and 45 kB on the real one, without Debian's TestEvent."""
    events = simulate(Case("answered_queue_call"), noise=True)
    real = [event for event in recorded("answered_queue_call") if dict(event)["Event"] not in EXTRA]

    assert abs(len(events) - len(real)) < 0.1 * len(real)
    for kind in ("VarSet", "Newexten"):
        assert variables(events, kind) == variables(real, kind)


def variables(events: list[Event], kind: str) -> list[tuple[str, str]]:
    """Which variable or application, at whose channel."""
    found = []
    for event in events:
        fields = dict(event)
        if fields["Event"] == kind:
            found.append(
                (fields["Channel"].partition("-")[0], fields.get("Variable") or fields["Application"])
            )
    return sorted(found)


def test_without_noise_only_the_name_of_the_recording_is_left_of_the_dialplan() -> None:
    kept = [dict(event) for event in simulate(Case("answered_queue_call")) if dict(event)["Event"] in NOISE]

    assert [(event["Event"], event.get("Variable")) for event in kept] == [
        ("VarSet", "MIXMONITOR_FILENAME"),
        ("Cdr", None),
    ]
