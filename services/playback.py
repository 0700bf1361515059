"""A recording played into a running Callcard: a PBX that says what another one said, to a listener of its own.

The whole way is used: AMI over a socket, the listener, Redis. The PBX has a name of its own (`replay`) and gives each
run new Uniqueids, so no call of before, real or replayed, is touched.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ami_listener.app import ami_listener
from ami_listener.message import AmiMessage
from ami_listener.replay import Timing, pieces
from ami_listener.wire import AmiFramer
from services.simulator.server import read_action
from shared import bus
from shared.contracts.call import PbxLink, PbxStatus
from shared.settings import PbxSettings, Settings

# Without any time in it a recording is played at this pace: with some 50 to 100 messages a call it rings for seconds,
# as calls do.
_STEP_SECONDS = 0.1
# A listener that is started connects at once; one that runs already, within its back-off of half a minute.
_LISTENER_SECONDS = 15.0
# Redis and the consumer on the same network answer in milliseconds.
_ANSWER_SECONDS = 3.0
# The consumer asks Redis every second; after this long it is not running.
_CONSUMER_IDLE_MS = 10_000
# How often is looked at what tells no event when it changes.
_LOOK_AGAIN = 0.05
# After the last event a listener asks what goes on; then it has understood everything.
_SETTLE_SECONDS = 5.0

_EPOCH = re.compile(r"(.*?)(\d{9,10})(\.\d+)")
_SHOWN = (
    "Channel", "ChannelState", "ChannelStateDesc", "CallerIDNum", "CallerIDName", "ConnectedLineNum",
    "ConnectedLineName", "Language", "AccountCode", "Context", "Exten", "Priority", "Uniqueid", "Linkedid",
)  # fmt: skip


class PlaybackError(Exception):
    """It cannot be played there; a sentence for people."""


@dataclass(slots=True)
class Played:
    """events: how many were sent. channels: how many were still up when it ended."""

    events: int = 0
    channels: int = 0


class Recorded:
    """What the recording says, in time, as new calls. seconds: since its beginning."""

    def __init__(self, data: Iterable[bytes], timing: Iterable[Timing], began: float) -> None:
        self._data = data
        self._timing = timing
        self._began = int(began)
        self._shift: int | None = None

    def events(self) -> Iterator[tuple[float, AmiMessage]]:
        """Each event with the seconds since the beginning. What is no event is left out."""
        framer = AmiFramer()
        steps, first, now = 0, None, 0.0
        for ms, piece in pieces(self._data, self._timing):
            for message in framer.feed(piece):
                if not message.event:
                    continue
                steps += 1
                stamp = _seconds(message.get("Timestamp"))
                if ms is not None:
                    now = max(now, ms / 1000)
                elif stamp is not None:
                    first = stamp if first is None else first
                    now = max(now, stamp - first)
                else:
                    now = max(now, steps * _STEP_SECONDS)
                yield now, self._renewed(message)

    def _renewed(self, message: AmiMessage) -> AmiMessage:
        for name, value in message.items():
            if name.lower().endswith(("uniqueid", "linkedid")) and "Bridge" not in name:
                message[name] = self._id(value)
        return message

    def _id(self, value: str) -> str:
        """A Uniqueid of now: Asterisk begins them with the second. Others get a tail that no other run has."""
        if not value or value.startswith("<"):
            return value
        found = _EPOCH.fullmatch(value)
        if found is None:
            return f"{value}-{self._began}"
        if self._shift is None:
            self._shift = self._began - int(found[2])
        return f"{found[1]}{int(found[2]) + self._shift}{found[3]}"


class RecordedPbx:
    """An AMI server that anybody may log in to. `asked`: set at each question what goes on."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.asked = asyncio.Event()
        self.address = ("", 0)
        self._channels: dict[str, dict[str, str]] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._booted = time.strftime("%H:%M:%S")

    @property
    def channels(self) -> int:
        """How many are up."""
        return len(self._channels)

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[None]:
        """Listen while inside. Raises PlaybackError if the port cannot be had."""
        try:
            server = await asyncio.start_server(self._serve, host, port)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise PlaybackError(f"{host}:{port} cannot be listened on ({reason}).") from None
        self.address = server.sockets[0].getsockname()[:2]
        try:
            yield
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def say(self, event: AmiMessage) -> None:
        """Send an event to everybody; waits for those who read slowly."""
        self._note(event)
        data = _packet((name, value) for name in event for value in event.all(name))
        for writer in list(self._writers):
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()

    async def end(self) -> None:
        """Every channel is gone, and nobody said so: a listener finds out by asking."""
        self._channels.clear()
        self.asked.clear()
        await self.say(AmiMessage(Event="FullyBooted", Privilege="system,all", Status="Fully Booted"))

    def _note(self, event: AmiMessage) -> None:
        uniqueid, name = event.get("Uniqueid", ""), event.event
        if name == "Hangup":
            self._channels.pop(uniqueid, None)
        elif name in ("Newchannel", "CoreShowChannel") or uniqueid in self._channels:
            shown = self._channels.setdefault(uniqueid, {})
            shown.update((header, event[header]) for header in _SHOWN if header in event)
            if name == "Rename":
                shown["Channel"] = event.get("Newname", "")
            elif name == "BridgeEnter":
                shown["BridgeId"] = event.get("BridgeUniqueid", "")
            elif name == "BridgeLeave":
                shown["BridgeId"] = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        with contextlib.suppress(ConnectionError, ValueError, asyncio.CancelledError):
            while (read := await read_action(reader)) is not None:
                if read[0]:
                    self._answer(writer, read[0])
        self._writers.discard(writer)
        writer.transport.abort()

    def _answer(self, writer: asyncio.StreamWriter, action: dict[str, str]) -> None:
        name = action.get("action", "").lower()
        ident = [("ActionID", action["actionid"])] if "actionid" in action else []
        answer = [("Response", "Success"), *ident]
        if name == "login":
            writer.write(_packet([*answer, ("Message", "Authentication accepted")]))
            self._writers.add(writer)
            self.connected.set()
        elif name in ("ping", "filter"):
            writer.write(_packet(answer))
        elif name == "corestatus":
            writer.write(_packet([*answer, ("CoreStartupTime", self._booted)]))
        elif name == "coreshowchannels":
            writer.write(_packet([*answer, ("EventList", "start")]))
            for channel in self._channels.values():
                writer.write(_packet([("Event", "CoreShowChannel"), *ident, *channel.items()]))
            writer.write(_packet([("Event", "CoreShowChannelsComplete"), *ident, ("EventList", "Complete")]))
            self.asked.set()
        else:
            # Better no answer than one that the recording does not hold: the listener does without.
            writer.write(_packet([("Response", "Error"), *ident, ("Message", "Permission denied")]))


async def play(
    pbx: RecordedPbx,
    recorded: Recorded,
    speed: float,
    stop: asyncio.Event,
) -> Played:
    """Say everything at `speed` (0: as fast as it is read) to whoever is connected, until `stop` is set; then end what
    is open."""
    played = Played()
    began = time.monotonic()
    for due, event in recorded.events():
        wait = began + due / speed - time.monotonic() if speed else 0.0
        if wait > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await stop.wait()
        if stop.is_set():
            break
        await pbx.say(event)
        played.events += 1
    played.channels = pbx.channels
    await pbx.end()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SETTLE_SECONDS):
            await pbx.asked.wait()
    return played


async def play_to_listener(
    recorded: Recorded,
    host: str,
    port: int,
    speed: float,
    stop: asyncio.Event,
    on_ready: Callable[[str, int], None],
) -> Played:
    """Be the PBX at that address (port 0: any, told to `on_ready`): wait for a listener as long as it takes, then play.

    Raises PlaybackError.
    """
    pbx = RecordedPbx()
    async with pbx.serving(host, port):
        on_ready(*pbx.address)
        waiting = [asyncio.create_task(event.wait()) for event in (pbx.asked, stop)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if stop.is_set():
            return Played()
        return await play(pbx, recorded, speed, stop)


async def play_into_redis(
    recorded: Recorded,
    settings: Settings,
    rules: PbxSettings,
    name: str,
    redis_url: str,
    speed: float,
    stop: asyncio.Event,
) -> Played:
    """Follow the recording with a listener of our own that tells the Callcard behind this Redis.

    rules: settings of the PBX it was recorded at: which ends are ours. name: of the PBX in the calls. Raises
    PlaybackError if no Callcard is there, or if somebody follows a PBX of that name.
    """
    redis = bus.connect_redis(redis_url)
    pbx = RecordedPbx()
    try:
        await _refuse(redis, name)
        async with pbx.serving("127.0.0.1", 0):
            host, port = pbx.address
            own = rules.model_copy(update={"host": host, "port": port})
            alone = settings.model_copy(update={"pbx": {name: own}})
            async with ami_listener(alone, redis_url=redis_url):
                await _until(lambda: _speaks(redis, name), _LISTENER_SECONDS, "The listener did not come up.")
                played = await play(pbx, recorded, speed, stop)
                await _until(lambda: _told_all(redis, name), _SETTLE_SECONDS, "Calls stay open in Redis.")
        # Nobody follows it any more, and that is no fault to show for half a minute.
        await redis.delete(bus.pbx_status_key(name))
        return played
    except (RedisError, OSError) as error:
        raise PlaybackError(f"Redis went away while it was played ({error}).") from None
    finally:
        await redis.aclose()


async def _refuse(redis: Redis, name: str) -> None:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            followed = await redis.get(bus.pbx_status_key(name))
            groups = await redis.exists(bus.CALLS_STREAM)
            readers = await redis.xinfo_consumers(bus.CALLS_STREAM, bus.CALLS_GROUP) if groups else []
    except (RedisError, OSError, TimeoutError) as error:
        if "NOGROUP" not in str(error):
            raise PlaybackError(f"Redis does not answer there ({error or 'no answer in time'}).") from None
        readers = []
    if not any(reader["idle"] < _CONSUMER_IDLE_MS for reader in readers):
        raise PlaybackError(
            "Redis answers, but no Callcard reads calls from it. Start it (callcard run all) first."
        )
    if followed is not None:
        raise PlaybackError(
            f"Another replay is going on there as PBX {name!r}. Wait for its end; after a crash, half a minute."
        )


async def _speaks(redis: Redis, name: str) -> bool:
    """Has the listener the lease, and sees it the PBX?"""
    told = await redis.get(bus.pbx_status_key(name))
    return told is not None and PbxStatus.model_validate_json(told).link is PbxLink.UP


async def _told_all(redis: Redis, name: str) -> bool:
    return not await redis.hlen(bus.open_calls_key(name))


async def _until(true: Callable[[], Awaitable[bool]], seconds: float, complaint: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not await true():  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_AGAIN)
    except TimeoutError:
        raise PlaybackError(complaint) from None


def _packet(headers: Iterable[tuple[str, str]]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("utf-8", "replace") + b"\r\n"


def _seconds(stamp: str | None) -> float | None:
    try:
        return None if stamp is None else float(stamp)
    except ValueError:
        return None
