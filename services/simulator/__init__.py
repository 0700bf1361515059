"""A PBX that speaks AMI, for the demo, the tests and the load runs: it knows the truth of each call it makes."""

from services.simulator.call import Stage
from services.simulator.config import (
    FULL_ACCOUNT,
    LEAST_ACCOUNT,
    NO_NUMBER,
    WITHHELD,
    SimAccount,
    SimAgent,
    SimCaller,
    SimQueue,
    SimulatorConfig,
    SimulatorError,
    make_agents,
    make_local_queue,
    make_queues,
)
from services.simulator.simulator import SimCall, Simulator
from services.simulator.truth import TrueLeg, Truth

__all__ = [
    "FULL_ACCOUNT",
    "LEAST_ACCOUNT",
    "NO_NUMBER",
    "WITHHELD",
    "SimAccount",
    "SimAgent",
    "SimCall",
    "SimCaller",
    "SimQueue",
    "Simulator",
    "SimulatorConfig",
    "SimulatorError",
    "Stage",
    "TrueLeg",
    "Truth",
    "make_agents",
    "make_local_queue",
    "make_queues",
]
