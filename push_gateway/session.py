"""One connection as a state machine: commands and the clock in, effects out. No socket, no Redis, no clock of its own.

Times are seconds of one monotonic clock.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum, auto
from typing import Any

from push_gateway.channels import Identity, has_presence, refusal
from push_gateway.codes import (
    ALREADY_SUBSCRIBED,
    BAD_REQUEST,
    CLOSE_BAD_REQUEST,
    INSUFFICIENT_STATE,
    INTERNAL,
    INVALID_TOKEN,
    LIMIT_EXCEEDED,
    METHOD_NOT_FOUND,
    NOT_AVAILABLE,
    PERMISSION_DENIED,
    TOKEN_EXPIRED,
    UNAUTHORIZED,
    UNRECOVERABLE_POSITION,
    UNSUBSCRIBED_BY_SERVER,
    UNSUBSCRIBED_INSUFFICIENT,
    Close,
    Error,
)
from push_gateway.effects import (
    Effect,
    End,
    GiveReceipt,
    Join,
    Leave,
    Open,
    Ping,
    Question,
    ReadHistory,
    ReadPresence,
    Send,
)
from push_gateway.lifetime import PING_SECONDS, Lifetime
from push_gateway.limits import Limits
from push_gateway.pace import Pace
from push_gateway.protocol import (
    FLAG_REJECT_UNRECOVERED,
    BadFrame,
    Command,
    connect_result,
    error_reply,
    history_result,
    parse_position,
    presence_result,
    presence_stats_result,
    raw_reply,
    reply,
    subscribe_result,
    unsubscribe_frame,
)
from push_gateway.receipts import RECEIPTS, parse_receipt
from shared.desk import desk_json
from shared.push import ChannelState, Position, Publication, agent_channel
from shared.push_scripts import HISTORY_LENGTH
from shared.security import TokenError
from shared.token_keys import UnknownKeyError

# `ttl` ends this long before the token does, so that the page can still get a new one with the old.
RENEW_EARLY_SECONDS = 60
# Browsers' timers overflow after 24.8 days; once a day is often enough to look.
MAX_TTL_SECONDS = 24 * 3600
# Longer names are nobody's channel.
MAX_CHANNEL_CHARS = 255


class _Phase(Enum):
    NEW = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    ENDED = auto()


class Session:
    """The state of one connection.

    `authenticate` turns a token into an `Identity` or raises `TokenError`. `deadline` is when `tick` is wanted next.
    `name`: secret, for a tab that speaks by post: it names the session in its posts. Empty for one with a socket.
    `spread`: see `Lifetime`.
    """

    def __init__(
        self,
        client_id: str,
        node: str,
        authenticate: Callable[[str], Identity],
        limits: Limits,
        now: float,
        name: str = "",
        spread: float = 1.0,
    ) -> None:
        self.client_id = client_id
        self.identity: Identity | None = None
        self._node = node
        self._name = name
        self._authenticate = authenticate
        self._limits = limits
        self._phase = _Phase.NEW
        self._channels: set[str] = set()
        self._lifetime = Lifetime(now + limits.first_command_seconds, spread)
        self._pace = Pace(limits.commands_per_second, now)

    @property
    def deadline(self) -> float:
        """When `tick` must be called next; never again (infinity) once the session has ended."""
        return self._lifetime.deadline

    def tick(self, now: float) -> list[Effect]:
        """What the clock alone brings about: pings, and the end of who is silent."""
        due = self._lifetime.tick(now)
        if due is None:
            return []
        return self._end(due) if isinstance(due, Close) else [Ping()]

    def command(self, command: Command, now: float) -> list[Effect]:
        """What a command brings about."""
        self._lifetime.heard()
        if self._phase is _Phase.ENDED:
            return []
        if self._phase is not _Phase.CONNECTED and command.method != "connect":
            return self._end(CLOSE_BAD_REQUEST)
        # Pongs count as well: a flood of them is a flood.
        too_many = self._pace.step(now)
        if isinstance(too_many, Close):
            return self._end(too_many)
        if command.method == "pong":
            return []
        if too_many is not None:
            return _error(command, too_many) if command.id else []
        try:
            return self._do(command, now)
        except BadFrame:
            return self._end(CLOSE_BAD_REQUEST)

    def _do(self, command: Command, now: float) -> list[Effect]:
        match command.method:
            case "connect":
                return self._connect(command)
            case "refresh":
                return self._refresh(command, now)
            case "subscribe":
                return self._subscribe(command)
            case "unsubscribe":
                return self._unsubscribe(command)
            case "history":
                return self._history(command)
            case "presence" | "presence_stats":
                return self._presence(command)
            case "rpc":
                return self._rpc(command)
            case "send":
                return self._send(command)
            case "ping":
                return [Send(reply(command.id, "ping"))]
            case "sub_refresh":
                return self._sub_refresh(command)
            case "publish":
                # An agent acts by REST; nobody publishes from a tab.
                return _error(command, PERMISSION_DENIED)
        return _error(command, METHOD_NOT_FOUND)

    # --- answers to effects -----------------------------------------------------------------------------------

    def opened(self, effect: Open, state: ChannelState, now: float, wall: datetime) -> list[Effect]:
        """The desk was read: the connect reply. `wall` is UTC."""
        identity = effect.identity
        self._phase = _Phase.CONNECTED
        self._channels.add(effect.channel)
        self._lifetime.connected(now)
        fields = {
            **self._token_fields(identity, now),
            "ping": PING_SECONDS,
            "pong": True,
            "node": self._node,
            "time": int(wall.timestamp() * 1000),
        }
        if self._name:
            fields["session"] = self._name
        desk = desk_json(identity.login, identity.role, state, wall)
        result = connect_result(fields, desk, effect.channel, state, effect.known)
        return [Send(raw_reply(effect.command, "connect", result))]

    def joined(self, effect: Join, state: ChannelState) -> list[Effect]:
        """The channel was read: the subscribe reply."""
        if effect.reject_unrecovered and effect.known is not None and not state.recovered:
            return [Leave(effect.channel), Send(error_reply(effect.command, UNRECOVERABLE_POSITION))]
        self._channels.add(effect.channel)
        return [Send(raw_reply(effect.command, "subscribe", subscribe_result(state, effect.known)))]

    def history_read(
        self, effect: ReadHistory, position: Position, publications: tuple[Publication, ...]
    ) -> list[Effect]:
        if effect.since is not None and effect.since.epoch not in ("", position.epoch):
            return [Send(error_reply(effect.command, UNRECOVERABLE_POSITION))]
        return [Send(raw_reply(effect.command, "history", history_result(position, publications)))]

    def presence_read(self, effect: ReadPresence, present: Mapping[str, str]) -> list[Effect]:
        """Who is there: clients and their logins."""
        result = presence_result if effect.method == "presence" else presence_stats_result
        return [Send(reply(effect.command, effect.method, result(present)))]

    def lost(self, channel: str) -> list[Effect]:
        """Publications of the channel were lost, or it was begun anew: the client must read it again. The desk is in
        the connect reply alone, so for the agent's own channel that means a new connection."""
        if self.identity is None or channel == agent_channel(self.identity.login):
            return self._end(INSUFFICIENT_STATE)
        self._channels.discard(channel)
        return [Leave(channel), Send(unsubscribe_frame(channel, UNSUBSCRIBED_INSUFFICIENT))]

    def failed(self, effect: Question, error: Error) -> list[Effect]:
        """What was asked for is not to be had now."""
        if isinstance(effect, Open):
            self._phase = _Phase.NEW
            self.identity = None
        return [Send(error_reply(effect.command, error))]

    # --- commands ---------------------------------------------------------------------------------------------

    def _connect(self, command: Command) -> list[Effect]:
        if self._phase is not _Phase.NEW:
            return self._end(CLOSE_BAD_REQUEST)
        token = command.params.get("token")
        if not isinstance(token, str) or not token:
            return _error(command, UNAUTHORIZED)
        try:
            identity = self._authenticate(token)
        except TokenError as error:
            return self._refuse_token(command, error)
        subs = command.params.get("subs") or {}
        if not isinstance(subs, dict):
            raise BadFrame("subs must be an object")
        channel = agent_channel(identity.login)
        known = parse_position(subs.get(channel) or {})
        self.identity = identity
        self._phase = _Phase.CONNECTING
        return [Open(command.id, identity, channel, known)]

    def _refresh(self, command: Command, now: float) -> list[Effect]:
        token = command.params.get("token")
        if not isinstance(token, str) or not token:
            return _error(command, BAD_REQUEST)
        try:
            identity = self._authenticate(token)
        except TokenError as error:
            return self._refuse_token(command, error)
        if self.identity is None or identity.login != self.identity.login:
            # A connection never changes hands: its channels are the first agent's.
            return self._end(INVALID_TOKEN)
        self.identity = identity
        done: list[Effect] = [Send(reply(command.id, "refresh", self._token_fields(identity, now)))]
        for channel in sorted(c for c in self._channels if refusal(identity, c)):
            self._channels.discard(channel)
            done += [Leave(channel), Send(unsubscribe_frame(channel, UNSUBSCRIBED_BY_SERVER))]
        return done

    def _subscribe(self, command: Command) -> list[Effect]:
        channel = command.params.get("channel")
        if not isinstance(channel, str) or not 0 < len(channel) <= MAX_CHANNEL_CHARS:
            return _error(command, BAD_REQUEST)
        if channel in self._channels:
            return _error(command, ALREADY_SUBSCRIBED)
        assert self.identity is not None
        refused = refusal(self.identity, channel)
        if refused is not None:
            return _error(command, refused)
        if len(self._channels) >= self._limits.channels:
            return _error(command, LIMIT_EXCEEDED)
        flags = command.params.get("flag") or 0
        reject = type(flags) is int and bool(flags & FLAG_REJECT_UNRECOVERED)
        return [Join(command.id, channel, parse_position(command.params), reject)]

    def _unsubscribe(self, command: Command) -> list[Effect]:
        channel = command.params.get("channel")
        if not isinstance(channel, str):
            return _error(command, BAD_REQUEST)
        done: list[Effect] = [Send(reply(command.id, "unsubscribe"))]
        if channel not in self._channels:
            return done
        self._channels.discard(channel)
        return [Leave(channel), *done]

    def _history(self, command: Command) -> list[Effect]:
        channel, limit = command.params.get("channel"), command.params.get("limit") or 0
        since, reverse = command.params.get("since"), bool(command.params.get("reverse"))
        if not isinstance(channel, str) or type(limit) is not int:
            return _error(command, BAD_REQUEST)
        if channel not in self._channels:
            return _error(command, PERMISSION_DENIED)
        if not 0 <= limit <= HISTORY_LENGTH:
            limit = HISTORY_LENGTH
        known = None if since is None else parse_position({**_object(since), "recover": True})
        return [ReadHistory(command.id, channel, known, limit, reverse)]

    def _presence(self, command: Command) -> list[Effect]:
        channel = command.params.get("channel")
        if not isinstance(channel, str):
            return _error(command, BAD_REQUEST)
        if channel not in self._channels:
            return _error(command, PERMISSION_DENIED)
        if not has_presence(channel):
            return _error(command, NOT_AVAILABLE)
        return [ReadPresence(command.id, channel, command.method)]

    def _sub_refresh(self, command: Command) -> list[Effect]:
        """No channel has a token of its own: the token of the connection says what may be heard, and `refresh` renews
        it. A subscription never expires, so an SDK never asks; who asks keeps the connection."""
        channel = command.params.get("channel")
        if not isinstance(channel, str) or not channel:
            return _error(command, BAD_REQUEST)
        return _error(command, NOT_AVAILABLE if channel in self._channels else PERMISSION_DENIED)

    def _rpc(self, command: Command) -> list[Effect]:
        method = command.params.get("method")
        if method not in RECEIPTS:
            return _error(command, METHOD_NOT_FOUND)
        receipt = self._receipt(method, command.params.get("data"))
        return (
            [receipt, Send(reply(command.id, "rpc", {"data": {}}))]
            if receipt
            else _error(command, BAD_REQUEST)
        )

    def _send(self, command: Command) -> list[Effect]:
        """A message nobody answers: one that is not understood is dropped."""
        data = command.params.get("data")
        receipt = self._receipt(data.get("type"), data) if isinstance(data, dict) else None
        return [receipt] if receipt else []

    def _receipt(self, what: Any, data: Any) -> GiveReceipt | None:
        assert self.identity is not None
        return parse_receipt(what, self.identity.login, data)

    # --- rules ------------------------------------------------------------------------------------------------

    def _refuse_token(self, command: Command, error: TokenError) -> list[Effect]:
        if isinstance(error, UnknownKeyError):
            return _error(command, INTERNAL)  # temporary: the SDK asks again, and then the key may be known
        return _error(command, TOKEN_EXPIRED) if error.expired else self._end(INVALID_TOKEN)

    def _token_fields(self, identity: Identity, now: float) -> dict[str, Any]:
        left = identity.seconds_left
        self._lifetime.token_until(now + left)
        # A short-lived token is renewed after nine tenths of its life.
        ttl = max(1, int(min(left - min(RENEW_EARLY_SECONDS, left / 10), MAX_TTL_SECONDS)))
        return {"client": self.client_id, "version": "callcard", "expires": True, "ttl": ttl}

    def _end(self, close: Close) -> list[Effect]:
        self._phase = _Phase.ENDED
        self._lifetime.end()
        return [End(close)]


def _error(command: Command, error: Error) -> list[Effect]:
    return [Send(error_reply(command.id, error))]


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadFrame("since must be an object")
    return value
