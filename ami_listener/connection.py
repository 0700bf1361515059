"""One AMI link that stays up: panoramisk's Manager, hardened at its seams.

What is kept of panoramisk: its configuration, how it opens a connection, `send_action`, `send_command`,
`send_agi_command`. What is ours: the protocol class (framing on bytes), one ordered handler of events, deadlines, and
the life cycle, written as one coroutine instead of call-backs so that it can be read from top to bottom.
"""

import asyncio
import random
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panoramisk import Manager

from ami_listener.clock import Clock, SystemClock
from ami_listener.message import AmiMessage
from ami_listener.privileges import events_header, filters
from ami_listener.protocol import FramedProtocol
from ami_listener.wire import AmiFramer, encode_action
from shared.contracts.call import PbxLink
from shared.observability import logger

EventHandler = Callable[[AmiMessage, datetime], None]
"""Takes each wanted event in the order of the wire, with the moment its bytes arrived (UTC). Must not block."""

LinkHandler = Callable[[PbxLink, str | None], None]
"""Takes each change of the link, with a sentence for people when it is not up."""

FieldValue = str | Iterable[str]
"""A header's value; several make a repeated header."""

# Known to the framer whatever the tracker wants: late FullyBooted means "look again", Shutdown explains the end.
_OWN_EVENTS = frozenset({"FullyBooted", "Shutdown"})


class AmiError(Exception):
    """An action did not do what was asked."""


class ActionTimeout(AmiError):
    """No answer within the deadline. It may have been done all the same: never repeat it blindly."""


class ActionFailed(AmiError):
    """The PBX said no; `answer` is what it said."""

    def __init__(self, sentence: str, answer: AmiMessage) -> None:
        super().__init__(sentence)
        self.answer = answer


class LinkLost(AmiError):
    """There is no link, or it broke before the answer. An action that was sent is not sent again."""


class LoginRefused(AmiError):
    """The PBX does not accept this account from here."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, each with its reason.

    connect, login: a PBX in the same network answers in milliseconds; a busy one that is starting, in a few seconds.
    ping_interval, silence_limit: a half-open link is noticed after three pings without any sign of life.
    backoff_first, backoff_cap: a restarted PBX is found at once; one that stays away is asked twice a minute.
    refused_retry: a wrong password does not heal by itself; slow enough not to look like an attack to fail2ban.
    """

    connect: float = 5.0
    login: float = 10.0
    ping_interval: float = 5.0
    silence_limit: float = 15.0
    backoff_first: float = 0.5
    backoff_cap: float = 30.0
    refused_retry: float = 30.0


_DEFAULT_TIMING = Timing()


@dataclass(frozen=True, slots=True)
class AmiAccount:
    """Where to log in, and as whom."""

    host: str
    port: int
    username: str
    secret: str

    def __repr__(self) -> str:  # never the secret
        return f"AmiAccount({self.username}@{self.host}:{self.port})"


@dataclass(slots=True)
class _Waiting:
    """An action under way. items: None for a plain answer, else the list's events so far."""

    done: asyncio.Future[AmiMessage]
    items: list[AmiMessage] | None = None
    until: str | None = None  # name of the event that brings the result, instead of the answer


class AmiConnection(Manager):  # type: ignore[misc]
    """Keeps one PBX connected and hands its events to `on_event`, strictly in order.

    pbx: its name in logs. wanted: names of events to deliver, None for all. variables: channel variables whose VarSet
    is wanted as well; the class `dialplan` that carries it is asked for only then. Events that `on_event` fails on are
    logged and skipped. `start()` inside a running loop; `close()` is final.
    """

    protocol: FramedProtocol | None

    def __init__(
        self,
        pbx: str,
        account: AmiAccount,
        *,
        on_event: EventHandler,
        on_link: LinkHandler,
        wanted: frozenset[str] | None = None,
        variables: frozenset[str] = frozenset(),
        timing: Timing = _DEFAULT_TIMING,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(host=account.host, port=account.port, encoding="utf-8", forgetable_actions=())
        self.link = PbxLink.CONNECTING
        self.banner: str | None = None
        self.filtered = False  # does the PBX itself hold back what nobody wants?
        self.events_failed = 0
        self.problems_seen = 0
        self._account = account
        self._on_event = on_event
        self._on_link = on_link
        self.wanted = None if wanted is None else wanted | _OWN_EVENTS | ({"VarSet"} if variables else set())
        self._variables = variables
        self._timing = timing
        self._clock = clock or SystemClock()
        self._jitter = jitter
        self._log = logger("ami").bind(pbx=pbx)
        self._waiting: dict[str, _Waiting] = {}
        self._lists = 0
        # Unique among everything that ever logged in to this PBX, so no answer of another is taken for ours.
        self._id_prefix = f"callcard-{secrets.token_hex(4)}-"
        self._sent = 0
        self._last_heard = 0.0
        self._problems_logged = 0
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    # -- life cycle ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect. Must be called in the running loop; once."""
        if self._task is not None or self._closed:
            raise RuntimeError("an AmiConnection is started once")
        self.loop = asyncio.get_running_loop()
        self._task = self.loop.create_task(self._run(), name="ami connection")

    def close(self) -> None:
        """End for good: no reconnect follows, actions under way fail with LinkLost."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        self._drop()

    async def wait_closed(self) -> None:
        """Wait until nothing of it runs any more."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        attempt = 0
        while not self._closed:
            try:
                await self._connect_and_login()
                attempt = 0
                self._say(PbxLink.UP, None)
                reason = await self._watch()
            except LoginRefused as error:
                self._drop()
                self._say(PbxLink.REFUSED, str(error))
                await self._clock.sleep(self._timing.refused_retry * (1 + self._jitter() / 2))
                continue
            except (AmiError, OSError, TimeoutError) as error:
                reason = str(error) or "no answer in time"
            except Exception as error:
                # A bug must not end the link for ever; it is logged with its traceback and tried again.
                self._log.exception("the AMI link failed in an unforeseen way")
                reason = f"internal error ({type(error).__name__})"
            self._drop()
            delay = self._backoff(attempt)
            attempt += 1
            self._say(
                PbxLink.LOST,
                f"{reason[:1].upper()}{reason[1:].rstrip('.')}. Trying {self._where} again until it answers.",
            )
            await self._clock.sleep(delay)

    async def _connect_and_login(self) -> None:
        account, timing = self._account, self._timing
        try:
            async with asyncio.timeout(timing.connect):
                await self.connect()
        except TimeoutError:
            raise LinkLost(f"no connection to {self._where} within {timing.connect:g} s") from None
        except OSError as error:
            raise LinkLost(f"no connection to {self._where} ({error.strerror or error})") from None
        self._last_heard = self._clock.monotonic()
        try:
            await self.action(
                "Login",
                timeout=timing.login,
                Username=account.username,
                Secret=account.secret,
                Events=events_header(self.wanted),
            )
        except ActionFailed as error:
            said = error.answer.get("Message", "no reason given")
            raise LoginRefused(
                f"{self._where} refused the login as '{account.username}' ({said}). Check the user name, the secret"
                " and the permit= lines in the PBX's manager.conf; it is tried again every half minute."
            ) from None
        if self.wanted is not None:
            self.filtered = await self._filter(self.wanted)

    async def _filter(self, wanted: frozenset[str]) -> bool:
        """Ask the PBX itself to hold back what nobody wants. Needs write=system; without it `Events:` must do."""
        try:
            for expression in filters(wanted, self._variables):
                await self.action("Filter", timeout=self._timing.login, Operation="Add", Filter=expression)
        except ActionFailed:
            self._log.info("the PBX does not let this account filter events; they are dropped here instead")
            return False
        return True

    async def _watch(self) -> str:
        """Returns why the link ended: closed by the PBX, or nothing heard for too long."""
        protocol, timing = self._protocol(), self._timing
        while True:
            pause = asyncio.ensure_future(self._clock.sleep(timing.ping_interval))
            try:
                ends: set[asyncio.Future[Any]] = {protocol.lost, pause}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
            if protocol.lost.done():
                return protocol.lost.result()
            silent = self._clock.monotonic() - self._last_heard
            if silent >= timing.silence_limit:
                return f"nothing was heard from {self._where} for {silent:.0f} s, in spite of pings"
            if silent >= timing.ping_interval:
                # Its answer is a sign of life like any other byte, so nobody waits for it.
                protocol.write(encode_action([("Action", "Ping"), ("ActionID", self._next_id())]))

    def _backoff(self, attempt: int) -> float:
        """Doubles up to the cap; half of it is random, so that many listeners do not come back as one."""
        timing = self._timing
        full: float = min(timing.backoff_cap, timing.backoff_first * 2 ** min(attempt, 16))
        return full * (1 + self._jitter()) / 2

    def _drop(self) -> None:
        protocol = self.protocol
        self.protocol = None
        if protocol is not None:
            protocol.close()
        for waiting in self._waiting.values():
            if not waiting.done.done():
                waiting.done.set_exception(LinkLost("The link to the PBX broke before the answer came."))
                waiting.done.exception()  # seen: whoever asked may have gone
        self._waiting.clear()
        self._lists = 0

    def _say(self, link: PbxLink, detail: str | None) -> None:
        if link is not self.link or detail is not None:
            write = self._log.info if link is PbxLink.UP else self._log.warning
            write("the PBX is connected" if link is PbxLink.UP else detail, link=link.value)
        self.link = link
        try:
            self._on_link(link, detail)
        except Exception:
            self._log.exception("the link's change could not be handled")

    # -- actions ------------------------------------------------------------------------------------------------

    async def action(self, name: str, *, timeout: float = 5.0, **fields: FieldValue) -> AmiMessage:  # noqa: ASYNC109
        """Send an action once and return the PBX's answer.

        timeout: seconds. Raises ActionTimeout, ActionFailed, LinkLost; UnsafeValueError (nothing was sent) for a
        value with control characters.
        """
        return await self._ask(name, fields, timeout, _Waiting(self._future()))

    async def action_list(
        self,
        name: str,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109
        **fields: FieldValue,
    ) -> list[AmiMessage]:
        """Send an action that answers with a list; its events, without the closing `…Complete`. Raises as `action`."""
        waiting = _Waiting(self._future(), items=[])
        await self._ask(name, fields, timeout, waiting)
        return waiting.items or []

    async def originate(self, *, timeout: float = 60.0, **fields: FieldValue) -> AmiMessage:  # noqa: ASYNC109
        """Dial, always `Async` and never twice; the `OriginateResponse` event. Raises as `action`.

        timeout: seconds until the called phone must have answered or failed; set the PBX's own `Timeout` (ms) below it.
        """
        return await self._ask(
            "Originate", fields, timeout, _Waiting(self._future(), until="OriginateResponse")
        )

    def send_action(
        self, action: Mapping[str, Any], as_list: bool | None = None, **kwargs: Any
    ) -> asyncio.Future[Any]:
        """panoramisk's way to send, on the hardened path: the same deadlines, checks and errors as `action`."""
        fields = {**action, **kwargs}
        fields.pop("ActionID", None)  # ours, so that an answer is never taken for another's
        name = fields.pop("Action")
        send = self.action_list if as_list else self.action
        return asyncio.ensure_future(send(name, **fields))

    async def _ask(
        self,
        name: str,
        fields: Mapping[str, FieldValue],
        seconds: float,
        waiting: _Waiting,
    ) -> AmiMessage:
        action_id = self._next_id()
        packet = encode_action(_headers(name, action_id, fields))
        protocol = self._protocol()
        self._waiting[action_id] = waiting
        self._expect_lists(waiting, 1)
        protocol.write(packet)
        try:
            async with asyncio.timeout(seconds):
                ends: set[asyncio.Future[Any]] = {waiting.done, protocol.lost}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done.done():
                    raise LinkLost(f"The link broke before the PBX answered the action {name}.")
                answer = waiting.done.result()
        except TimeoutError:
            raise ActionTimeout(f"The PBX did not answer the action {name} within {seconds:g} s.") from None
        finally:
            if self._waiting.pop(action_id, None) is not None:
                self._expect_lists(waiting, -1)
        if answer.get("Response") == "Error":
            said = answer.get("Message", "no reason given")
            raise ActionFailed(f"The PBX refused the action {name}: {said}.", answer)
        return answer

    def _expect_lists(self, waiting: _Waiting, change: int) -> None:
        if waiting.items is not None:
            self._lists += change
        if self.protocol is not None:
            self.protocol.framer.answers_expected = self._lists > 0

    def _answer(self, action_id: str, message: AmiMessage) -> bool:
        """Give a message to the action it belongs to. True if nobody else should see it."""
        waiting = self._waiting.get(action_id)
        event = message.get("Event")
        if waiting is None:
            # Ours but too late, or a ping's: a list's item must not be taken for news.
            return action_id.startswith(self._id_prefix) and event != "OriginateResponse"
        result: AmiMessage | None = None
        if event is None:
            refused = message.get("Response") == "Error"
            if refused or (waiting.items is None and waiting.until is None):
                result = message
        elif event == waiting.until:
            result = message
        elif waiting.items is not None:
            if message.get("EventList") == "Complete" or event.endswith("Complete"):
                result = message
            else:
                waiting.items.append(message)
        if result is not None and not waiting.done.done():
            waiting.done.set_result(result)
        return event != "OriginateResponse"

    # -- receiving ----------------------------------------------------------------------------------------------

    def received(self, messages: list[AmiMessage]) -> None:
        """What one read of the socket brought: answers to their actions, events on in order."""
        self._last_heard = self._clock.monotonic()
        if messages:
            at = self._clock.now()
            for message in messages:
                action_id = message.get("ActionID")
                if action_id is not None and self._answer(action_id, message):
                    continue
                if "Event" in message:
                    self.dispatch(message, at)
                elif action_id is None and message.get("Response") == "Error":
                    self._log.warning("the PBX reports an error", said=message.get("Message"))
        if self.protocol is not None:
            framer = self.protocol.framer
            self.banner = framer.banner
            if framer.problems.total != self._problems_logged:
                self._log_problems(framer)

    def dispatch(self, event: AmiMessage, at: datetime) -> None:
        """Hand one event on. A handler's error costs that event, nothing else."""
        try:
            self._on_event(event, at)
        except Exception:
            self.events_failed += 1
            self._log.exception("an event could not be handled and was skipped", ami_event=event.event)

    def _log_problems(self, framer: AmiFramer) -> None:
        new = framer.problems.total - self._problems_logged
        self._problems_logged = framer.problems.total
        self.problems_seen += new
        self._log.warning(
            "bytes from the PBX could not be understood", problem=framer.problems.recent[-1], new=new
        )

    # -- seams of panoramisk ------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the TCP connection by panoramisk's own way, into our protocol class."""
        self._problems_logged = 0
        protocol = FramedProtocol(AmiFramer(self.wanted, variables=self._variables), self.received)
        self.protocol = protocol
        self.config["protocol_factory"] = lambda: protocol
        await super().connect()

    def connection_made(self, f: "asyncio.Task[Any]") -> None:
        """panoramisk would log in, start its pinger and retry from here; `_run` does that in order."""
        if not f.cancelled():
            f.exception()

    def register_event(self, pattern: str, callback: Any = None) -> Any:
        """Refused: several call-backs, some of them coroutines, have no order. `on_event` is the one handler."""
        if callback is not None and callback == self.send_awaiting_actions:
            return callback  # panoramisk registers its own repeating of actions: exactly what must not be
        raise TypeError("events of a PBX go in order to the one on_event handler; register_event is not used")

    def _protocol(self) -> FramedProtocol:
        protocol = self.protocol
        if protocol is None or protocol.lost.done():
            raise LinkLost("There is no link to the PBX now; the action was not sent.")
        return protocol

    @property
    def _where(self) -> str:
        return f"{self._account.host}:{self._account.port}"

    def _next_id(self) -> str:
        self._sent += 1
        return f"{self._id_prefix}{self._sent}"

    def _future(self) -> "asyncio.Future[AmiMessage]":
        return asyncio.get_running_loop().create_future()


def _headers(name: str, action_id: str, fields: Mapping[str, FieldValue]) -> list[tuple[str, str]]:
    headers = [("Action", name), ("ActionID", action_id)]
    dialling = name.lower() == "originate"
    if dialling:
        # Without Async the PBX answers nothing else on this link until the phone is answered.
        headers.append(("Async", "true"))
    for field, value in fields.items():
        if field.lower() in {"action", "actionid"} or (dialling and field.lower() == "async"):
            raise ValueError(f"{field} is set by the connection itself; leave it out")
        headers += [(field, v) for v in ([value] if isinstance(value, str) else value)]
    return headers
