"""The simulator: the scenario engine on a clock, behind an AMI server."""

import asyncio
import math
import time
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from services.simulator.call import Call, CallOrder, Stage
from services.simulator.config import SimCaller, SimulatorConfig, SimulatorError
from services.simulator.engine import Engine
from services.simulator.server import AmiServer, OnSent
from services.simulator.truth import Truth

Pace = Literal["auto", "manual"]

BURST = 64
"""Steps done in a row before the event loop may do something else, when many are due at once."""

TICK = 0.001
"""Seconds between two wake-ups at least: the resolution of the event loop's timers. What is due within one is sent
together; time is taken when the bytes go to the socket, so a measurement from there on stays true."""


class SimCall:
    """A handle on one call for tests: waits for its stages, and moves it on in manual pace."""

    def __init__(self, call: Call, simulator: "Simulator") -> None:
        self._call = call
        self._simulator = simulator
        self._waiters: list[tuple[Stage, asyncio.Future[None]]] = []

    @property
    def uniqueid(self) -> str:
        """Of the first channel; the product's call_id is `<pbx>-<uniqueid>`."""
        return self._call.uniqueid

    @property
    def truth(self) -> Truth:
        """What is true of the call so far; whole when it has ended."""
        return self._call.truth

    @property
    def channel(self) -> str:
        """Name of the first channel."""
        return self._call.channel.name

    @property
    def ringing(self) -> list[str]:
        """Endpoints that ring or talk for this call now."""
        return [leg.endpoint for leg in self._call.leg_channels]

    @property
    def stages(self) -> list[Stage]:
        """The stages it has been in, in order."""
        return list(self._call.stages)

    async def reached(self, stage: Stage | str) -> None:
        """Return when the call is in a stage, or has been in it already."""
        wanted = Stage(stage)
        if wanted in self._call.stages:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiters.append((wanted, future))
        await future

    async def proceed(self) -> None:
        """Manual pace: the next thing happens now (the agent answers, the talk ends …)."""
        self._simulator.tick()
        self._simulator.engine.proceed(self._call)
        self._simulator.flush()

    async def hang_up(self) -> None:
        """The end that began the call hangs up now, whatever the call is in."""
        self._simulator.tick()
        self._simulator.engine.hang_up(self._call)
        self._simulator.flush()

    def reaches(self, stage: Stage) -> None:
        """Tell those who wait for a stage (the simulator calls this)."""
        for wanted, future in self._waiters:
            if wanted is stage and not future.done():
                future.set_result(None)


class Simulator:
    """A PBX that speaks AMI. `async with Simulator(config) as pbx:` starts and stops it.

    on_sent: told of each event given to the clients' sockets, for measurements. With `time_scale=math.inf` there is no
    clock: calls follow each other as fast as the clients read.
    """

    def __init__(self, config: SimulatorConfig | None = None, on_sent: OnSent | None = None) -> None:
        self.config = config or SimulatorConfig()
        self._epoch = time.time() if self.config.epoch is None else self.config.epoch
        self.engine = Engine(self.config, self._epoch, self._staged)
        self._server = AmiServer(self.engine, self.tick, self.flush, on_sent)
        self._handles: dict[Call, SimCall] = {}
        self._counted: list[tuple[int, asyncio.Future[None]]] = []
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._racer: asyncio.Task[None] | None = None
        self._stopped = False
        self._began = 0.0
        self.address: tuple[str, int] = ("", 0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen and let the clock run. OSError if the port is busy."""
        self.address = await self._server.start(host, port)
        self._began = time.monotonic()
        if self._timeless:
            self._racer = asyncio.create_task(self._race(), name="simulator")

    async def stop(self) -> None:
        """Close everything."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._racer is not None:
            self._racer.cancel()
            with suppress(asyncio.CancelledError):
                await self._racer
        await self._server.stop()

    # ---- calls ---------------------------------------------------------------------------------------------------

    @property
    def truth(self) -> list[Truth]:
        """Every call that has ended, in the order of their ends (the last 100,000)."""
        return list(self.engine.truth)

    @property
    def open(self) -> list[Truth]:
        """Every call that is going on, as far as it is true now."""
        return [call.truth for call in self.engine.open.values()]

    async def place(
        self,
        scenario: str,
        *,
        caller: SimCaller | None = None,
        did: str | None = None,
        agent: str | None = None,
        other: str | None = None,
        digit: str | None = None,
        pace: Pace = "auto",
    ) -> SimCall:
        """Place one call now; its first events are sent when this returns.

        agent: who is called, or calls, by extension, endpoint or login: the phone of a direct call, the first to ring
        in a linear queue, the one who answers when all ring. other: the colleague of an internal call, the target of a
        transfer. digit: the key pressed in the menu. SimulatorError if the PBX has no such thing.
        """
        find = self.config.agent
        if digit is not None and digit not in {str(key) for key in range(1, len(self.config.queues) + 1)}:
            raise SimulatorError(f"the menu has no key {digit!r}; it has 1 to {len(self.config.queues)}")
        order = CallOrder(caller, did, find(agent) if agent else None, find(other) if other else None, digit)
        self.tick()
        call = self.engine.place(scenario, order, manual=pace == "manual")
        handle = SimCall(call, self)
        if not call.ended:
            self._handles[call] = handle
        self.flush()
        return handle

    def run_traffic(self, calls: int | None = None) -> None:
        """Random calls at `calls_per_second` from now on: `calls` of them, or until stop_traffic."""
        self.tick()
        self.engine.start_traffic(calls)
        self.flush()

    def stop_traffic(self) -> None:
        """No further random calls; those under way go on."""
        self.engine.stop_traffic()

    async def quiet(self) -> None:
        """Return when nothing is to come by itself: no calls but those in manual pace."""
        while self.engine.due is not None:
            self._idle.clear()
            await self._idle.wait()

    async def ended(self, calls: int) -> None:
        """Return when so many calls have ended since the start."""
        if self.engine.ended < calls:
            future = asyncio.get_running_loop().create_future()
            self._counted.append((calls, future))
            await future

    async def watched(self) -> None:
        """Return when some client is logged in and hears events."""
        await self._server.watched()

    # ---- faults --------------------------------------------------------------------------------------------------

    def drop_clients(self) -> None:
        """Cut every client's connection; they may come back at once."""
        self._server.drop()

    def freeze(self) -> None:
        """Go silent with the sockets open: nothing is read, answered or sent. Calls go on unseen."""
        self._server.thawed.clear()

    def thaw(self) -> None:
        """Speak again; what happened meanwhile was not sent and will not be."""
        self._server.thawed.set()

    def send_raw(self, data: bytes) -> None:
        """Write any bytes to every client, between two events."""
        for client in list(self._server.clients):
            client.send(data)

    def restart(self) -> None:
        """Die and come back: channels vanish without events, clients are cut off, counters start from 0."""
        self.tick()
        self.engine.restart()
        self._server.drop()

    # ---- inside --------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what the engine has written, and look at the clock again."""
        packets = self.engine.take()
        if packets:
            self._server.publish(packets)
        self._changed.set()
        self._set_timer()

    def _set_timer(self) -> None:
        """Something may be due earlier than the timer says."""
        due = self.engine.due
        if due is None or self._timeless or self._stopped:
            self._idle.set()
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, (due - self._now()) / self.config.time_scale)
        if self._timer is None or at < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(at, self._look)

    @property
    def _timeless(self) -> bool:
        return math.isinf(self.config.time_scale)

    def _now(self) -> float:
        """The PBX's clock."""
        if self._timeless:
            return self.engine.pbx.now
        return self._epoch + (time.monotonic() - self._began) * self.config.time_scale

    def tick(self) -> None:
        """Bring the PBX's clock up to now without doing what is due: an order from outside comes first."""
        self.engine.pbx.now = max(self.engine.pbx.now, self._now())

    def _look(self) -> None:
        """Do what is due by now, send it in one go, and set the timer for what comes next.

        A timer and not a task that waits: at 200 calls/s there are a thousand wake-ups a second, and each would cost
        the task's wait, its deadline and the loop's turns between them.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop, engine = asyncio.get_running_loop(), self.engine
        until = self._now()
        steps = 0
        while steps < BURST and engine.step(until):
            steps += 1
        packets = engine.take()
        if packets:
            self._server.publish(packets)
        due = engine.due
        if due is None:
            self._idle.set()
            return
        pause = 0.0 if steps == BURST else max(TICK, (due - until) / self.config.time_scale)
        self._timer = loop.call_later(pause, self._look)

    async def _race(self) -> None:
        """Traffic without a clock: as fast as the clients read."""
        while True:
            self._changed.clear()
            steps = 0
            while self.engine.step(math.inf):
                steps += 1
                if steps % BURST == 0:
                    self.flush()
                    await self._breathe()
            self.flush()
            await self._breathe()
            if self.engine.due is None:
                self._idle.set()
                await self._changed.wait()

    async def _breathe(self) -> None:
        await self._server.drained()
        await asyncio.sleep(0)

    def _staged(self, call: Call, stage: Stage) -> None:
        if stage is Stage.ENDED:
            for count, future in self._counted:
                if self.engine.ended >= count and not future.done():
                    future.set_result(None)
        handle = self._handles.get(call)
        if handle is not None:
            handle.reaches(stage)
            if stage is Stage.ENDED:
                del self._handles[call]
