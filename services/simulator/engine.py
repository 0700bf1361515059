"""The scenario engine: calls move on when their time comes. It knows no socket and no clock but the one it is given."""

import heapq
import random
from collections import deque
from collections.abc import Callable

from services.simulator.call import Call, CallOrder, Signal, Stage
from services.simulator.channel import Channel
from services.simulator.config import SimulatorConfig, SimulatorError
from services.simulator.packets import Packet
from services.simulator.pbx import Pbx
from services.simulator.scenarios import SCENARIOS
from services.simulator.truth import Truth
from shared.contracts.call import CallEndReason, LegEndReason

KEPT_TRUTHS = 100_000
"""Ended calls that are remembered: more than any test or load run compares, and about 100 MB at most."""


class Engine:
    """Calls on a PBX, stepped by whoever holds the clock. Times are Unix seconds of the PBX's clock.

    The same config, seed and orders give the same packets, whatever the wall clock does. on_stage is told each time
    a call reaches a stage.
    """

    def __init__(
        self, config: SimulatorConfig, started: float, on_stage: Callable[[Call, Stage], None] | None = None
    ) -> None:
        unknown = set(config.mix) - set(SCENARIOS)
        if unknown:
            raise SimulatorError(
                f"the mix names no scenario: {sorted(unknown)}; there are {sorted(SCENARIOS)}"
            )
        self.config = config
        self.rng = random.Random(config.seed)  # noqa: S311 (traffic, not secrets)
        self.pbx = Pbx(config, self.rng, started)
        self.open: dict[str, Call] = {}
        self.truth: deque[Truth] = deque(maxlen=KEPT_TRUTHS)
        self.ended = 0  # calls, since the beginning; consultations are not counted
        self._on_stage = on_stage
        self._heap: list[tuple[float, int, int, Call | None]] = []
        self._sequence = 0
        self._parked: dict[str, dict[Call, None]] = {queue.name: {} for queue in config.queues}
        self._names = list(config.mix)
        self._weights = [config.mix[name] for name in self._names]
        self._traffic: int | None = 0  # calls still to come; None: without end

    # ---- the clock -----------------------------------------------------------------------------------------------

    @property
    def due(self) -> float | None:
        """When something happens next; None if nothing will by itself."""
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def step(self, until: float) -> bool:
        """Do the next thing that is due by then; False if nothing is. The PBX's clock moves to its moment."""
        due = self.due
        if due is None or due > until:
            return False
        _, _, _, call = heapq.heappop(self._heap)
        self.pbx.now = max(self.pbx.now, due)
        if call is None:
            self._arrival()
        else:
            self._resume(call, Signal.GO)
        self._wake_waiting()
        return True

    def take(self) -> list[Packet]:
        """The packets written since the last take, in order."""
        packets, self.pbx.out = self.pbx.out, []
        return packets

    # ---- calls ---------------------------------------------------------------------------------------------------

    def place(self, scenario: str, order: CallOrder | None = None, *, manual: bool = False) -> Call:
        """Start a call; it has reached its first pause when this returns. SimulatorError if that cannot be."""
        make = SCENARIOS.get(scenario)
        if make is None:
            raise SimulatorError(f"there is no scenario {scenario!r}; there are {sorted(SCENARIOS)}")
        call = Call(scenario, order or CallOrder(), manual=manual)
        call.act = make(self.pbx, call)
        self._advance(call, None)
        self._wake_waiting()
        return call

    def proceed(self, call: Call) -> None:
        """Manual pace: what the call waits for happens now. Does nothing to a call that has ended."""
        self._resume(call, Signal.GO)
        self._wake_waiting()

    def signal(self, channel: Channel, signal: Signal, redirect_to: str = "") -> bool:
        """Something happens to a channel from outside (AMI Hangup, Redirect); False if no call has it."""
        for call in self.open.values():
            if call.has(channel):
                if signal is Signal.CALLER_GONE and channel is not call.channel:
                    signal = Signal.LEG_GONE
                call.redirect_to, call.gone = redirect_to, channel
                self._resume(call, signal)
                self._wake_waiting()
                return True
        return False

    def hang_up(self, call: Call) -> None:
        """The end that began the call hangs up now, whatever the call is in."""
        self._resume(call, Signal.CALLER_GONE)
        self._wake_waiting()

    def start_traffic(self, calls: int | None = None) -> None:
        """Random calls from now on, `calls` of them or without end; the first one comes at once."""
        self._heap = [entry for entry in self._heap if entry[3] is not None]  # one stream of arrivals only
        heapq.heapify(self._heap)
        self._traffic = calls
        self._push(self.pbx.now, None)

    def stop_traffic(self) -> None:
        """No further random calls; those under way go on."""
        self._traffic = 0

    def wake(self) -> None:
        """Callers look again for free agents: somebody came back from a break or joined a queue."""
        self._wake_waiting()

    def restart(self) -> None:
        """The PBX dies and comes back: every channel is gone without a word, counters start again."""
        now = self.pbx.now
        for call in list(self.open.values()):
            if call.act is not None:
                call.act.close()
            for one in call.everything:
                for leg in list(one.leg_channels):
                    one.leg_ends(leg, LegEndReason.UNKNOWN, now)
                if not one.ended:
                    one.ends(CallEndReason.UNKNOWN, now)
            self._close(call)
        # A new second, so that counters from 0 give no Uniqueid a second time.
        started = float(int(now) + 1)
        self.pbx = Pbx(self.config, self.rng, started)
        self._heap = [entry for entry in self._heap if entry[3] is None]
        self._parked = {name: {} for name in self._parked}

    # ---- inside --------------------------------------------------------------------------------------------------

    def _gap(self) -> float:
        return self.rng.expovariate(self.config.calls_per_second)

    def _arrival(self) -> None:
        if self._traffic == 0:
            return
        if self._traffic is not None:
            self._traffic -= 1
        name = self.rng.choices(self._names, self._weights)[0]
        try:
            self.place(name)
        except SimulatorError:  # nobody is free to make a call: a customer calls instead
            self.place("answered_queue_call")
        if self._traffic != 0:
            self._push(self.pbx.now + self._gap(), None)

    def _push(self, at: float, call: Call | None) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (at, self._sequence, call.ticket if call else 0, call))

    def _is_stale(self, entry: tuple[float, int, int, Call | None]) -> bool:
        call = entry[3]
        return call is not None and entry[2] != call.ticket

    def _resume(self, call: Call, signal: Signal) -> None:
        if call.wait is not None:
            self._advance(call, signal)

    def _advance(self, call: Call, signal: Signal | None) -> None:
        """Run a call up to its next pause."""
        act = call.act
        assert act is not None
        if call.wait is not None and call.wait.queue is not None:
            self._parked[call.wait.queue].pop(call, None)
        call.wait = None
        call.ticket += 1
        try:
            wait = next(act) if signal is None else act.send(signal)
            while wait.stage is None and call.manual:
                wait = act.send(Signal.GO)  # technical pauses have no place in a manual pace
        except StopIteration:
            self._close(call)
            return
        self.open.setdefault(call.uniqueid, call)
        call.wait = wait
        if wait.queue is not None:
            self._parked[wait.queue][call] = None
        if not call.manual:
            self._push(self.pbx.now + max(0.0, wait.seconds), call)
        if wait.stage is not None:
            self._reach(call, wait.stage)

    def _reach(self, call: Call, stage: Stage) -> None:
        call.stages.append(stage)
        if self._on_stage is not None:
            self._on_stage(call, stage)

    def _close(self, call: Call) -> None:
        self.ended += 1
        self.open.pop(call.uniqueid, None)
        call.wait = None
        call.ticket += 1
        self.truth.extend([one.truth for one in call.everything])
        self._reach(call, Stage.ENDED)

    def _wake_waiting(self) -> None:
        """Who waits longest gets the agent who became free."""
        pbx = self.pbx
        while pbx.freed:
            endpoint = pbx.freed.pop(0)
            for queue, _ in list(pbx.places(endpoint)):
                for call in list(self._parked[queue.name]):
                    if not pbx.is_free(endpoint):
                        break
                    self._advance(call, Signal.FREE)
