"""Many calls of every kind at full speed: what is told of each beside what it was.

`python -m bench.soak`: through the real pieces, see soak_product.py. Exit code 1 if anything differs.
`python -m bench.soak --tracker-only`: bytes → framer → tracker in this process, no sockets: disagreements come quickly.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ami_listener.tracker.endpoints import EndpointRules
from ami_listener.tracker.events import WANTED
from ami_listener.tracker.tracker import Tracker
from ami_listener.wire import AmiFramer
from bench import soak_product
from bench.soak_verdict import Verdict, report
from services.simulator.compare import differences
from services.simulator.config import SimulatorConfig, make_agents, make_local_queue, make_queues
from services.simulator.engine import Engine
from services.simulator.scenarios import SCENARIOS
from shared.contracts.call import Call
from shared.phone import normalise

CALLS = 100_000
AGENTS = 60
WRAP_UP = 2.0
MEMBERS = 12
"""Of the queues; the others have direct numbers and call out. A call that rings twelve phones is long enough."""
CALLS_PER_SECOND = 0.6
"""Of the PBX's clock: most of the queues' members are busy then and callers wait; 1 would make ever longer queues."""
PBX = "soak"
EPOCH = 1_795_300_000.0
STEPS = 200
"""Engine steps between two looks at the ended calls."""


def configuration(seed: int, mix: Iterable[str] = SCENARIOS, *, time_scale: float = 1.0) -> SimulatorConfig:
    """A PBX on which every kind of call comes equally often."""
    agents = make_agents(AGENTS)
    members = agents[:MEMBERS]
    lines = (*make_queues(members), make_local_queue(members))
    return SimulatorConfig(
        agents=agents,
        queues=tuple(replace(queue, wrap_up=WRAP_UP) for queue in lines),
        calls_per_second=CALLS_PER_SECOND,
        seed=seed,
        mix=dict.fromkeys(mix, 1.0),
        time_scale=time_scale,
        epoch=EPOCH,
    )


def bar(calls: int) -> Progress:
    """The progress bar of a soak; nothing is drawn where nobody looks."""
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=Console(stderr=True), disable=not sys.stderr.isatty(),
    )  # fmt: skip
    progress.add_task("calls", total=calls)
    return progress


def tracker_only(calls: int, seed: int, mix: Iterable[str] = SCENARIOS) -> Verdict:
    """The calls through framer and tracker alone."""
    engine = Engine(configuration(seed, mix), EPOCH)
    engine.start_traffic(calls)
    framer = AmiFramer(WANTED)
    tracker = Tracker(PBX, EndpointRules(normalise=lambda raw: normalise(raw, "RU")))
    told: dict[str, Call] = {}
    verdict = Verdict()
    events = updates = 0
    spent = 0.0
    with bar(calls) as progress:
        while True:
            more = True
            for _ in range(STEPS):
                more = engine.step(float("inf"))
                if not more:
                    break
                packets = engine.take()
                events += len(packets)
                data = "".join([packet.text for packet in packets]).encode()
                at = datetime.fromtimestamp(engine.pbx.now, UTC)
                began = time.process_time()
                for message in framer.feed(data):
                    for update in tracker.handle(message, at):
                        updates += 1
                        if update.call.ended_at is not None:
                            told[update.call_id] = update.call
                spent += time.process_time() - began
            ended = list(engine.truth)
            engine.truth.clear()
            ids = {f"{PBX}-{truth.uniqueid}" for truth in ended}
            verdict.compared += len(ended)
            progress.advance(progress.task_ids[0], sum(1 for truth in ended if not truth.consultation))
            verdict.add(differences(PBX, ended, {one: told.pop(one) for one in ids if one in told}))
            if not more:
                break
    verdict.add(differences(PBX, [], told))
    if tracker.problems or any(tracker.size().values()):
        verdict.wrong(
            f"Tracker: {tracker.problems} problems ({tracker.last_problem}), left: {tracker.size()}"
        )
    verdict.lines.append(
        f"{verdict.compared} calls, {events} events, {updates} updates;"
        f" framer and tracker: {events / spent / 1000:.0f}k events/s of one core"
    )
    return verdict


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tracker-only", action="store_true", help="framer and tracker alone, no sockets")
    parser.add_argument(
        "--mix", nargs="+", choices=sorted(SCENARIOS), default=list(SCENARIOS), metavar="SCENARIO"
    )
    given = parser.parse_args(arguments)
    if given.tracker_only:
        return report(tracker_only(given.calls, given.seed, given.mix))
    with bar(given.calls) as progress:
        return report(
            soak_product.run(
                given.calls,
                configuration(given.seed, given.mix),
                PBX,
                lambda calls: progress.advance(progress.task_ids[0], calls),
            )
        )


if __name__ == "__main__":
    sys.exit(main())
