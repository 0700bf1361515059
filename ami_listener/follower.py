"""Following one PBX: its link feeds the tracker and the floor, what they say goes to the publishers."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from redis.exceptions import RedisError

from ami_listener.agents import AgentPhoneBook, rules_for
from ami_listener.clock import Clock, SystemClock
from ami_listener.connection import ActionTimeout, AmiAccount, AmiConnection, LinkLost
from ami_listener.floor.events import FLOOR_WANTED
from ami_listener.floor.floor import Floor
from ami_listener.floor_publisher import FloorPublisher
from ami_listener.lease import Lease
from ami_listener.message import AmiMessage
from ami_listener.publisher import Publisher
from ami_listener.resync import read_pbx
from ami_listener.tracker.endpoints import EndpointRules
from ami_listener.tracker.events import WANTED
from ami_listener.tracker.tracker import Tracker
from shared.contracts.call import PbxLink, PbxRoster, PbxStatus
from shared.observability import logger
from shared.settings import PbxSettings

# A third of the time a status lives in Redis, so that one lost write does not look like a dead listener.
_HEARTBEAT_SECONDS = 10.0
# A PBX that did not answer its lists in time is busy; asking again at once would not help it.
_RESYNC_RETRY_SECONDS = 10.0
# What other listeners have told is read before the first event. A Redis that does not answer must not keep us from
# following the PBX for longer than this.
_RECALL_SECONDS = 1.0
# Redis has just given us the lease, so it is there; a failure is a hiccup, and each try costs a part of the lease.
_TAKE_OVER_RETRY_SECONDS = 0.1


class PbxFollower:
    """One PBX from its socket to the publisher.

    `start()` in the running loop, `await close()` at the end. `taken()` when this listener becomes the one that speaks
    for the PBX. on_seeing: told when the link comes up or goes. `status` is what is published about the PBX; `events`
    counts what the tracker was given, `taken_over` how often this listener became the speaker.
    """

    def __init__(
        self,
        name: str,
        settings: PbxSettings,
        country: str,
        publisher: Publisher,
        floors: FloorPublisher,
        phones: AgentPhoneBook,
        lease: Lease,
        *,
        on_seeing: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
        make_connection: Callable[..., AmiConnection] = AmiConnection,
    ) -> None:
        self.events = 0
        self.taken_over = 0
        self._clock = clock or SystemClock()
        self._publisher = publisher
        self._floors = floors
        self._on_seeing = on_seeing
        self.lease = lease
        self._log = logger("follower").bind(pbx=name)
        self._settings, self._country, self._phones = settings, country, phones
        self.status = PbxStatus(pbx=name, link=PbxLink.CONNECTING, since=self._clock.now())
        self.tracker = Tracker(name, self._rules())
        self.floor = Floor(
            name, self._rules(), self.tracker.stamp, call_of=self.tracker.call_id_of, wrapup=settings.wrapup
        )
        phones.on_change(self._agents_changed)
        account = AmiAccount(
            settings.host, settings.port, settings.username, settings.secret.get_secret_value()
        )
        self.connection = make_connection(
            name,
            account,
            on_event=self._on_event,
            on_link=self._on_link,
            wanted=WANTED | FLOOR_WANTED,
            variables=frozenset(settings.variables),
            clock=clock,
        )
        self._resync_wanted = asyncio.Event()
        self._out_of_sight()
        self._problems_logged = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._taking: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._begin(), name="begin"),
            asyncio.create_task(self._resync_when_wanted(), name="resync"),
            asyncio.create_task(self._heartbeat(), name="heartbeat"),
        ]

    async def close(self) -> None:
        """Stop following. Open calls stay open: they go on without us."""
        self.connection.close()
        tasks = [*self._tasks, self._taking] if self._taking is not None else self._tasks
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.connection.wait_closed()

    def taken(self) -> None:
        """Redis gave us the lease. Writing begins when it is known what was told before."""
        self._publisher.hold(self.status.pbx)
        if self._taking is not None:
            self._taking.cancel()
        self._taking = asyncio.create_task(self._take_over(), name="take over")

    async def _begin(self) -> None:
        """Learn of the open calls' history, then follow."""
        try:
            async with asyncio.timeout(_RECALL_SECONDS):
                recalled = await self._publisher.recall(self.status.pbx)
        except (RedisError, OSError, TimeoutError) as error:
            self._log.warning(
                "Redis does not say which calls were open; what the PBX says is all there is",
                reason=str(error) or type(error).__name__,
            )
        else:
            self.tracker.remember(recalled.open, self._clock.now())
        self.connection.start()

    async def _take_over(self) -> None:
        while True:
            try:
                recalled = await self._publisher.recall(self.status.pbx)
                break
            except (RedisError, OSError, TimeoutError):
                await self._clock.sleep(_TAKE_OVER_RETRY_SECONDS)
        tracker, now = self.tracker, self._clock.now()
        tracker.raise_floor(max((update.version for update in recalled.open), default=0))
        ended = self._publisher.speak(self.status.pbx, recalled, tracker.stamp)
        found = tracker.remember([u for u in recalled.open if u.call_id not in ended], now)
        for update in tracker.resend(now):
            self._publisher.offer(update)
        self.floor.resend()
        self._publish(self.status)
        self.taken_over += 1
        self._log.info(
            "calls are told from here on",
            open_calls=len(tracker.open_calls()),
            remembered=found,
            ended_meanwhile=len(ended),
        )
        # What was remembered is judged by the PBX, and a roster tells which calls go on. A link that is not up yet has
        # it done when it comes; asked before, the question goes nowhere and its deadline holds up all others.
        if self.connection.link is PbxLink.UP:
            self._resync_wanted.set()

    def _on_event(self, event: AmiMessage, at: datetime) -> None:
        self.events += 1
        if event.event == "FullyBooted":
            # Minutes after the login when a starting PBX has loaded everything: what was read before is too old.
            # Just before the link is up it is part of the greeting, and the link's coming up has the state read.
            if self.connection.link is PbxLink.UP:
                self._resync_wanted.set()
            return
        for update in self.tracker.handle(event, at):
            self._publisher.offer(update)
        if self.floor.handle(event, at):
            self._offer_floor()
        if self.problems != self._problems_logged:
            self._problems_logged = self.problems
            self._log.error(
                "an event could not be used", problem=self.tracker.last_problem or self.floor.last_problem
            )

    @property
    def problems(self) -> int:
        """Events that a defect of ours made unusable."""
        return self.tracker.problems + self.floor.problems

    def _rules(self) -> EndpointRules:
        return rules_for(self._settings, self._country, self._phones.endpoints(self.status.pbx))

    def _agents_changed(self) -> None:
        rules = self._rules()
        self.tracker.use_rules(rules)
        self.floor.know(rules)
        self._offer_floor()

    def _offer_floor(self) -> None:
        # Its keys have no fence: two who write would tell the same, but nobody should be told it twice.
        if self._publisher.speaks(self.status.pbx):
            self._floors.offer(self.floor)

    def _on_link(self, link: PbxLink, detail: str | None) -> None:
        since = self.status.since if link is self.status.link else self._clock.now()
        version = self.status.version or self.connection.banner
        self._publish(PbxStatus(pbx=self.status.pbx, link=link, since=since, detail=detail, version=version))
        if self.lease.seeing is not (link is PbxLink.UP):
            self.lease.seeing = link is PbxLink.UP
            if not self.lease.seeing:
                self._out_of_sight()
            self._on_seeing()
        if link is PbxLink.UP:
            self._resync_wanted.set()

    def _out_of_sight(self) -> None:
        """The PBX is not seen any more, or not yet. It will be asked what goes on; until then its first events may tell
        of half a call."""
        now = self._clock.now()
        for update in self.tracker.lose_sight(now):
            self._publisher.offer(update)
        self.tracker.begin_resync(now)

    def _publish(self, status: PbxStatus) -> None:
        self.status = status.model_copy(update={"open_calls": len(self.tracker.open_calls())})
        self._publisher.offer_status(self.status)
        self._offer_floor()

    async def _resync_when_wanted(self) -> None:
        while True:
            await self._resync_wanted.wait()
            self._resync_wanted.clear()
            try:
                await self._resync()
            except LinkLost:
                continue  # the next link asks again
            except ActionTimeout as error:
                self._log.warning(
                    "the PBX did not say in time what is going on; it is asked again", reason=str(error)
                )
                await self._clock.sleep(_RESYNC_RETRY_SECONDS)
                self._resync_wanted.set()
            except Exception:
                self._log.exception(
                    "reading the state of the PBX failed; calls are followed from their events only"
                )
                for update in self.tracker.forget_unseen(self._clock.now()):
                    self._publisher.offer(update)

    async def _resync(self) -> None:
        self.tracker.begin_resync(self._clock.now())
        self.floor.begin_resync()
        state = await read_pbx(self.connection)
        for sentence in state.missing:
            self._log.warning("the account may not read everything", missing=sentence)
        now = self._clock.now()
        if state.snapshot is None:
            for update in self.tracker.forget_unseen(now):
                self._publisher.offer(update)
        else:
            for update in self.tracker.settle(state.snapshot, now):
                self._publisher.offer(update)
            self._publisher.offer_roster(
                PbxRoster(
                    pbx=self.status.pbx,
                    version=self.tracker.stamp(now),
                    at=now,
                    open=[call.call_id for call in self.tracker.open_calls()],
                )
            )
        self.floor.settle(state.floor, now)
        self._log.info(
            "the state of the PBX is read",
            channels=len(state.snapshot.channels) if state.snapshot is not None else None,
            open_calls=len(self.tracker.open_calls()),
            version=state.version,
        )
        self._publish(self.status.model_copy(update={"version": state.version or self.status.version}))

    async def _heartbeat(self) -> None:
        while True:
            self._publish(self.status)
            await self._clock.sleep(_HEARTBEAT_SECONDS)
