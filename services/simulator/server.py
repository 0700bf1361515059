"""The AMI server: sockets, logins and back-pressure. What is said on them is decided elsewhere."""

import asyncio
import hmac
import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from services.simulator.actions import Request, answer, error, fully_booted, success
from services.simulator.engine import Engine
from services.simulator.packets import BANNER, SECURITY, Category, Packet, headers, packet
from services.simulator.session import Session

OnSent = Callable[[str, str, int], None]
"""(event name, uniqueid, time.monotonic_ns()) of each event, the time taken just before its bytes go to the sockets."""

MAX_LINE = 1024 * 4
"""Bytes of a line of an action; Asterisk's own limit is 1024, tests may send long values."""

WRITE_TIMEOUT = 5.0
"""Seconds that traffic without a clock waits for a client that does not read (`writetimeout` of manager.conf)."""

REFUSED_PAUSE = 0.05
"""Seconds between the refusal of a password and the close (Asterisk sleeps a second; tests need not)."""


class Client:
    """One connection."""

    def __init__(self, writer: asyncio.StreamWriter, max_backlog: int) -> None:
        self.writer = writer
        self.session = Session()
        self._max_backlog = max_backlog

    def send(self, data: bytes) -> None:
        """Hand bytes to the socket; a client that does not read is cut off."""
        transport = self.writer.transport
        if transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > self._max_backlog:
            transport.abort()


class AmiServer:
    """All clients of one PBX.

    thawed: while it is not set the sockets stay open and nothing is answered or sent (a half-open link). before and
    after: called around each action, to set the PBX's clock and to send what the action caused.
    """

    def __init__(
        self,
        engine: Engine,
        before: Callable[[], None],
        after: Callable[[], None],
        on_sent: OnSent | None = None,
    ) -> None:
        self.engine = engine
        self.on_sent = on_sent
        self.clients: set[Client] = set()
        self.thawed = asyncio.Event()
        self.thawed.set()
        self._logged_in = asyncio.Event()
        self._before = before
        self._after = after
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions = itertools.count(0x7FD638002930, 0x30)

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; the address that was really taken. OSError if the port is busy."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_LINE)
        name: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return name

    async def stop(self) -> None:
        """Close everything."""
        self.thawed.set()
        if self._server is not None:
            self._server.close()
        self.drop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop(self) -> None:
        """Close every client's socket."""
        for client in list(self.clients):
            client.writer.transport.abort()
        self.clients.clear()

    async def watched(self) -> None:
        """Return when some client is logged in and hears events."""
        while not any(client.session.mask for client in self.clients):
            self._logged_in.clear()
            await self._logged_in.wait()

    @property
    def frozen(self) -> bool:
        return not self.thawed.is_set()

    def publish(self, packets: list[Packet]) -> None:
        """Send events to everybody who may and wants to see them."""
        if self.frozen or not self.clients:
            return
        sent = time.monotonic_ns()
        somebody = 0
        rendered: dict[int, bytes] = {}  # clients with the same rights share the bytes
        for client in list(self.clients):
            session = client.session
            if not session.mask:
                continue
            somebody |= int(session.mask)
            if session.filtered:
                data = "".join([p.text for p in packets if session.wants(p)]).encode()
            else:
                mask = int(session.mask)
                if mask not in rendered:
                    rendered[mask] = "".join([p.text for p in packets if p.category & mask]).encode()
                data = rendered[mask]
            if data:
                client.send(data)
        if self.on_sent is not None:
            for one in packets:
                if one.category & somebody:
                    self.on_sent(one.event, one.uniqueid, sent)

    async def drained(self) -> None:
        """Wait until every client has taken what it was sent (only for traffic faster than any clock)."""
        for client in list(self.clients):
            try:
                # Not `wait_for`: of Python 3.11 it forgets that it was cancelled when the client goes at that moment.
                async with asyncio.timeout(WRITE_TIMEOUT):
                    await client.writer.drain()
            except TimeoutError:
                client.writer.transport.abort()
            except ConnectionError:
                pass  # it has gone by itself

    # ---- one client ----------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        client = Client(writer, self.engine.config.max_backlog)
        self.clients.add(client)
        client.send(BANNER)
        with suppress(ConnectionError, ValueError, asyncio.CancelledError):
            while (message := await read_action(reader)) is not None:
                await self.thawed.wait()
                self._before()
                fields, variables = message
                if fields and not await self._answer(client, fields, variables):
                    break
        self.clients.discard(client)
        with suppress(ConnectionError, asyncio.CancelledError):
            writer.close()
            await writer.wait_closed()

    async def _answer(self, client: Client, fields: dict[str, str], variables: tuple[str, ...]) -> bool:
        """Answer one action; False when the connection is over."""
        request = Request(fields, variables, client.session, self.engine)
        action = request.get("Action").lower()
        if action == "login":
            return await self._log_in(client, request)
        if action == "logoff":
            text = f"Response: Goodbye\r\n{request.action_id}Message: Thanks for all the fish.\r\n\r\n"
            client.send(text.encode())
            return False
        if client.session.account is None:
            client.send(error(request, "Permission denied").encode())
            return True
        reply = answer(request)
        client.send(reply.encode())
        self._after()
        return True

    async def _log_in(self, client: Client, request: Request) -> bool:
        given = request.get("Secret").encode()
        account = next(
            (a for a in self.engine.config.accounts if a.username == request.get("Username")), None
        )
        if account is None or not hmac.compare_digest(account.secret.encode(), given):
            client.send(error(request, "Authentication failed").encode())
            await asyncio.sleep(REFUSED_PAUSE)
            return False
        mask = Category.parse(request.get("Events")) if "events" in request.fields else Category.ALL
        client.session.log_in(account, Category.NONE if mask is None else mask)
        self._logged_in.set()
        text = success(request, "Authentication accepted")
        pbx = self.engine.pbx
        if client.session.mask & Category.SYSTEM:
            text += fully_booted(int(pbx.now - pbx.started))
        client.send(text.encode())
        pbx.out.append(self._authenticated(client, account.username))
        self._after()
        return True

    def _authenticated(self, client: Client, username: str) -> Packet:
        """The security event of a login: everybody with `security` sees it, the new client too."""
        moment = (
            datetime.fromtimestamp(self.engine.pbx.now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
        )
        local, remote = (client.writer.get_extra_info(name) for name in ("sockname", "peername"))
        body = headers(
            ("EventTV", moment),
            ("Severity", "Informational"),
            ("Service", "AMI"),
            ("EventVersion", 1),
            ("AccountID", username),
            ("SessionID", f"0x{next(self._sessions):x}"),
            ("LocalAddress", f"IPV4/TCP/{local[0]}/{local[1]}"),
            ("RemoteAddress", f"IPV4/TCP/{remote[0]}/{remote[1]}"),
            ("UsingPassword", 0),
            ("SessionTV", moment),
        )
        return packet("SuccessfulAuth", SECURITY, body)


async def read_action(reader: asyncio.StreamReader) -> tuple[dict[str, str], tuple[str, ...]] | None:
    """The next action: its headers (names in small letters, first values) and every `Variable`; None at the end.

    ValueError if a line is longer than MAX_LINE.
    """
    fields: dict[str, str] = {}
    variables: list[str] = []
    while True:
        line = await reader.readline()
        if not line:
            return None
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            return fields, tuple(variables)
        name, _, value = text.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name == "variable":
            variables.append(value)
        fields.setdefault(name, value)
