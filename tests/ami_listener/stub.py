"""A small AMI server on a real socket, and a clock that the test moves."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

BANNER = b"Asterisk Call Manager/11.0.0\r\n"


async def until(condition: Callable[[], bool]) -> None:
    """For what no event tells, such as bytes that were read but made no message yet."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


class TestClock:
    """Time stands still until `advance`; `sleeping` tells that somebody waits for it."""

    __test__ = False

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._changed = asyncio.Condition()

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 12, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        sleeper = (self.seconds + seconds, woken)
        self._sleepers.append(sleeper)
        self.slept.append(seconds)
        async with self._changed:
            self._changed.notify_all()
        try:
            await woken
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    async def sleeping(self, at_least: float = 0) -> None:
        """Wait until somebody sleeps to a moment at least that many seconds ahead."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: any(due - self.seconds >= at_least and not f.done() for due, f in self._sleepers)
            )

    async def advance(self, seconds: float) -> None:
        self.seconds += seconds
        for due, woken in list(self._sleepers):
            if due <= self.seconds and not woken.done():
                woken.set_result(None)
        await asyncio.sleep(0)


class Session:
    """One client that connected. Actions that the stub does not answer by itself wait in `actions`."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.received = bytearray()
        self.seen: list[dict[str, str]] = []
        self.actions: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.pings: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.ended = asyncio.Event()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def packet(self, *fields: tuple[str, str]) -> None:
        self.send("".join(f"{name}: {value}\r\n" for name, value in fields).encode() + b"\r\n")

    def event(self, name: str, **fields: str) -> None:
        self.packet(("Event", name), ("Privilege", "call,all"), *fields.items())

    def answer(self, action: dict[str, str], response: str = "Success", **fields: str) -> None:
        self.packet(("Response", response), ("ActionID", action["ActionID"]), *fields.items())

    def items(
        self, action: dict[str, str], event: str, rows: Iterable[dict[str, str]], complete: str
    ) -> None:
        self.answer(action, EventList="start", Message="will follow")
        listed = list(rows)
        for row in listed:
            self.packet(("Event", event), ("ActionID", action["ActionID"]), *row.items())
        self.packet(
            ("Event", complete),
            ("ActionID", action["ActionID"]),
            ("EventList", "Complete"),
            ("ListItems", str(len(listed))),
        )

    async def next(self, name: str) -> dict[str, str]:
        """The next action of that name; others before it are passed over."""
        while True:
            action = await self.actions.get()
            if action["Action"] == name:
                return action

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()


class AmiStub:
    """Answers Login, Ping and Filter as told; everything else is the test's.

    login: "Success" or "Error". pings: answer them? may_filter: has the account write=system?
    """

    def __init__(
        self,
        *,
        banner: bytes = BANNER,
        login: str = "Success",
        pings: bool = True,
        may_filter: bool = True,
        port: int = 0,
    ) -> None:
        self.banner = banner
        self.login = login
        self.pings = pings
        self.may_filter = may_filter
        self.port = port
        self.accepted = 0
        self.sessions: asyncio.Queue[Session] = asyncio.Queue()
        self._open: set[Session] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for session in list(self._open):
            session.abort()
        await self._server.wait_closed()

    async def session(self) -> Session:
        """The next client that has connected."""
        return await self.sessions.get()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(writer)
        self.accepted += 1
        self._open.add(session)
        session.send(self.banner)
        self.sessions.put_nowait(session)
        packet: dict[str, str] = {}
        try:
            while line := await reader.readline():
                session.received += line
                text = line.decode().rstrip("\r\n")
                if text:
                    name, _, value = text.partition(": ")
                    packet[name] = value
                elif packet:
                    session.seen.append(packet)
                    self._react(session, packet)
                    packet = {}
        except OSError:
            pass
        finally:
            self._open.discard(session)
            session.ended.set()
            writer.close()

    def _react(self, session: Session, action: dict[str, str]) -> None:
        name = action["Action"]
        if name == "Login":
            if self.login == "Success":
                session.answer(action, Message="Authentication accepted")
            else:
                session.answer(action, "Error", Message="Authentication failed")
                session.close()
        elif name == "Filter":
            if self.may_filter:
                session.answer(action)
            else:
                session.answer(action, "Error", Message="Permission denied")
        elif name == "Ping":
            session.pings.put_nowait(action)
            if self.pings:
                session.answer(action, Ping="Pong")
        else:
            session.actions.put_nowait(action)
