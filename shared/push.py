"""The push bus on Redis: what `card_api` publishes and `push_gateway` hands to the tabs.

A channel (`agent:101`, `line:support`, `notices`) has two keys in one hash slot, both named after it:

    state    hash    epoch (names this incarnation of the channel) and offset (counts publications, by one); in agents'
                     channels `c:<call_id>` -> each open card as it was published, and for these and those closed not
                     long ago `r:<call_id>` -> the highest rev seen, `u:<call_id>` -> the milliseconds since 1970 after
                     which the call is forgotten
    log      stream  its history, the last publications; the entry id is `<offset>-0`

Publishing is one script (count, append, keep the desk, PUBLISH), reading is one script; so the desk, the history and
what is heard live can't disagree. A reader subscribes to `bus_name(channel)` first, reads then, and drops what it heard
live up to the offset it read.

A message on the bus is `epoch SP offset SP published_at SP key LF data`, published_at in microseconds since 1970 by the
clock of who publishes. The key of a card is its call_id; what is not a card has one or has none. An epoch that changed,
with no data, says: read the desk anew (and Redis' own clock says when).

Stays within Redis 7.0 commands; works on Redis Cluster because no script touches two channels.
"""

import secrets
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple, Protocol, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.cluster import ClusterRedis, incarnation
from shared.cluster_link import link_to
from shared.contracts.card import Card, CardState
from shared.contracts.push import Receipt
from shared.link import Command
from shared.push_scripts import CLOSED_SECONDS, HISTORY, HISTORY_SECONDS, PUBLISH, READ, REBUILD
from shared.script import Script, run_each

NOTICES = "notices"
"""The channel everybody hears."""

RECEIPTS_STREAM = "callcard:receipts"
"""What the tabs showed: entries `{"r": Receipt}`. Bounded: a reader that is away loses figures, not cards."""

# About a day of 500 busy agents' receipts; 300 bytes each.
RECEIPTS_LENGTH = 50_000

# Counts with the layout of the keys: after an upgrade that changes it all desks are rebuilt.
_DESK_WHOLE = "callcard:push:desks-whole-2"
_RECEIPT_FIELD = b"r"
_STATE = ":state"
_LOG = ":log"
_CARD_HEAD = b'{"type":"card","card":'
_CARD_TAIL = b"}"


def agent_channel(login: str) -> str:
    """`agent:101`: the cards and the own state of one agent."""
    return f"agent:{login}"


def bus_name(channel: str) -> str:
    """The pub/sub channel in Redis. The braces keep it and the channel's keys in one slot of a cluster."""
    return f"callcard:push:{{{channel}}}"


def state_key(channel: str) -> str:
    """Of the hash `state`."""
    return bus_name(channel) + _STATE


def log_key(channel: str) -> str:
    """Of the stream `log`."""
    return bus_name(channel) + _LOG


# Tuples, because some are made for every card: frozen dataclasses take twice as long.
class Position(NamedTuple):
    """Where a reader is in a channel: it has everything up to `offset` of the incarnation `epoch`."""

    epoch: str
    offset: int


class Publication(NamedTuple):
    """One publication: `data` is the JSON as it was published."""

    offset: int
    data: bytes


class Heard(NamedTuple):
    """A message of the bus. `data` is empty for "the desk was rebuilt under a new epoch".

    `published_at`: seconds since 1970 by the clock of who published it. `key`: what it is the newest state of, a card's
    call_id; '' if it is nothing's.
    """

    epoch: str
    offset: int
    published_at: float
    key: str
    data: bytes

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """From what pub/sub delivers. Raises ValueError when it is not ours."""
        head, separator, data = payload.partition(b"\n")
        if not separator:
            raise ValueError("not a message of the push bus")
        epoch, offset, at, key = head.decode().split(" ", 3)
        return cls(epoch, int(offset), int(at) / 1e6, key, data)


@dataclass(frozen=True, slots=True)
class ChannelState:
    """A channel at one moment: the position, the open cards (JSON each, by call_id), and what a reader missed.

    `recovered`: `missed` is everything after the position that was asked about. If not, `missed` is empty.
    `complete`: False when Redis lost the desks and nobody has rebuilt them yet (`DeskSnapshot.complete`).
    """

    position: Position
    cards: tuple[bytes, ...]
    recovered: bool
    missed: tuple[Publication, ...]
    complete: bool = True


class CardPublisher(Protocol):
    """Who brings cards to the tabs: `PushPublisher` through our gateway, `CentrifugoPublisher` through Centrifugo.
    Every method raises `redis.RedisError` when Redis, where the desks are, is away; again is safe."""

    async def publish_cards(self, cards: Sequence[Card]) -> list[int | RedisError | None]:
        """See `PushPublisher.publish_cards`."""
        ...

    async def rebuild_desk(self, cards: Iterable[Card], logins: Collection[str]) -> None:
        """See `PushPublisher.rebuild_desk`."""
        ...

    async def desk_is_fresh(self) -> bool:
        """See `PushPublisher.desk_is_fresh`."""
        ...


class PushPublisher:
    """The writing end. Every method raises `redis.RedisError` when Redis is away; doing it again is safe for cards,
    because a card that is known already (by its rev) is not published twice."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._link = link_to(redis)
        self._publish_script = Script(PUBLISH)
        self._rebuild = redis.register_script(REBUILD)
        self._incarnation: bytes | None = None
        # Begins a name that no channel's incarnation has had; the number behind it ends it.
        self._epochs = secrets.token_hex(4)
        self._published = count()

    async def publish_card(self, card: Card) -> int:
        """Put a card on its agent's desk, or take it off when it is closed, and tell the tabs.

        Returns the offset in `agent:<login>`; 0 if the desk knows this rev of the call or a higher one: then nothing
        happened, and nothing needs to.
        """
        (answer,) = await self._publish([self._card_args(card)])
        if isinstance(answer, RedisError):
            raise answer
        return answer if isinstance(answer, int) else 0

    async def publish_cards(self, cards: Sequence[Card]) -> list[int | RedisError | None]:
        """Several cards (a ring-all) in one round trip; each is atomic by itself. Returns for each None, or the rev
        that its desk knows and that it does not replace, or why it could not be published: in a cluster some of the
        desks may be away. Raises RedisError if all are."""
        if not cards:
            return []
        answers = await self._publish([self._card_args(card) for card in cards])
        return [int(answer) if isinstance(answer, bytes) else _error_or_none(answer) for answer in answers]

    async def _publish(self, calls: Sequence[Command]) -> list[int | bytes | RedisError]:
        """Run the script with each of these keys and arguments; what it returned."""
        # Before, because in the script it would cost twice as much, and because Redis writes last to whom it had
        # something to say first: so the gateways have their cards before we are told that all is well.
        commands: list[Command] = [("EXPIRE", log, HISTORY_SECONDS) for _, _, log, *_ in calls]
        commands += [("EVALSHA", self._publish_script.sha, *call) for call in calls]
        return (await run_each(self._link, [self._publish_script], commands))[len(calls) :]

    async def publish(self, channel: str, data: bytes, key: str = "") -> int:
        """Publish any JSON document (the agent's state, a line's board). Returns its offset in the channel.

        `data` goes into the frames as it is, so it must be on one line. `key`: what `data` is the whole and newest
        state of (a queue, an agent); a tab that is behind gets only the newest of a key. Raises ValueError.
        """
        if b"\n" in data or "\n" in key:
            raise ValueError(
                "a publication must be JSON on one line: a line break separates messages in a frame"
            )
        (answer,) = await self._publish([self._args(channel, data, ("", 0, 0, 0), key)])
        if isinstance(answer, RedisError):
            raise answer
        return int(answer)

    def _card_args(self, card: Card) -> Command:
        if card.rev < 0:
            raise ValueError(f"the card of {card.call_id} has a negative rev: {card.rev}")
        is_open = card.state is not CardState.CLOSED
        kept_until = _expires_ms(card) if is_open else int((time.time() + CLOSED_SECONDS) * 1000)
        about = (card.call_id, card.rev, int(is_open), kept_until)
        return self._args(agent_channel(card.agent), card_publication(card), about, card.call_id)

    def _args(self, channel: str, data: bytes, about: Command, key: str) -> Command:
        """What follows the script's name: the number of keys, the keys, the arguments."""
        name = bus_name(channel)
        epoch = f"{self._epochs}{next(self._published):x}"
        between = f" {time.time_ns() // 1000} {key}\n"
        return (2, name + _STATE, name + _LOG, epoch, name, *about, between, data)

    async def desk_is_fresh(self) -> bool:
        """Has Redis kept the desks since the last `rebuild_desk`? False after a first start or a loss of data; in a
        cluster also after a fail-over, because what a master was told last its replica may not have heard."""
        now = await incarnation(self._redis)
        if self._incarnation is None:
            self._incarnation = now
        # Each process puts back what it has published itself: that another has done so is not enough.
        return bool(now == self._incarnation == await self._redis.get(_DESK_WHOLE))

    async def rebuild_desk(self, cards: Iterable[Card], logins: Collection[str]) -> None:
        """After Redis lost its data: put back every open card, take off those that are closed, then call the desks
        whole.

        `logins`: all agents, those without a card too, because their tabs may show one that is over. Their channels
        begin a new epoch: every tab is asked to reconnect and gets the desk anew. A card published in the meantime
        stays, if its rev is higher. Safe to repeat.
        """
        now = await incarnation(self._redis)
        desks: dict[str, list[Card]] = {login: [] for login in logins}
        for card in cards:
            desks.setdefault(card.agent, []).append(card)
        for login, of_agent in desks.items():
            channel = agent_channel(login)
            args: list[Any] = [_new_epoch(), bus_name(channel)]
            for card in of_agent:
                closed = card.state is CardState.CLOSED
                args += [card.call_id, card.rev, _expires_ms(card), b"" if closed else card_publication(card)]
            await self._rebuild(keys=_keys(channel), args=args)
        await self._redis.set(_DESK_WHOLE, now)
        self._incarnation = now


class DeskReader:
    """The reading end. Every method raises `redis.RedisError` when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._read = redis.register_script(READ)
        self._history = redis.register_script(HISTORY)

    async def read(self, channel: str, known: Position | None = None) -> ChannelState:
        """The channel now, and what was published after `known`, if the history still has all of it."""
        at = known or Position("", 0)
        epoch, offset, desk, whole, entries = await self._read(
            keys=_keys(channel), args=[_new_epoch(), at.epoch, at.offset]
        )
        # Asked after the read: a rebuild in between is then heard live, as a new epoch.
        complete = not _has_desk(channel) or await self._desks_are_whole()
        cards = sorted(zip(desk[::2], desk[1::2], strict=True))
        return ChannelState(
            Position(epoch.decode(), offset),
            tuple(published[len(_CARD_HEAD) : -len(_CARD_TAIL)] for _, published in cards),
            whole == 1,
            _entries(entries),
            complete,
        )

    async def _desks_are_whole(self) -> bool:
        try:
            return bool(await self._redis.exists(_DESK_WHOLE))
        except (RedisError, OSError):
            if not isinstance(self._redis, ClusterRedis):
                raise
            # Another node is away than the one that has this desk; when it is back, all desks are written anew.
            return True

    async def history(
        self, channel: str, since: int | None, limit: int, *, reverse: bool = False
    ) -> tuple[Position, tuple[Publication, ...]]:
        """At most `limit` publications (0: the position alone) after offset `since`; reversed: before it."""
        first, last = "-", "+"
        if since is not None:
            if reverse and not since:
                limit = 0  # nothing is before the first, and Redis takes no such end
            elif reverse:
                last = f"({since}-0"
            else:
                first = f"({since}-0"
        epoch, offset, entries = await self._history(
            keys=_keys(channel), args=[_new_epoch(), first, last, limit, int(reverse)]
        )
        return Position(epoch.decode(), offset), _entries(entries)


async def add_receipt(redis: Redis, receipt: Receipt) -> None:
    """Append to the receipts stream, dropping the oldest beyond its bound."""
    await redis.xadd(
        RECEIPTS_STREAM, {_RECEIPT_FIELD: receipt.to_json()}, maxlen=RECEIPTS_LENGTH, approximate=True
    )


def decode_receipt(fields: dict[bytes, bytes]) -> Receipt:
    """The receipt in a stream entry. Raises ValueError if it is not one."""
    raw = fields.get(_RECEIPT_FIELD)
    if raw is None:
        raise ValueError("the entry has no field 'r'")
    return Receipt.model_validate_json(raw)


def _error_or_none(answer: int | RedisError) -> RedisError | None:
    return answer if isinstance(answer, RedisError) else None


def _keys(channel: str) -> list[str]:
    return [state_key(channel), log_key(channel)]


def _has_desk(channel: str) -> bool:
    return channel.startswith("agent:")


def _new_epoch() -> str:
    return secrets.token_hex(4)


def _expires_ms(card: Card) -> int:
    return int(card.expires_at.timestamp() * 1000)


def card_publication(card: Card) -> bytes:
    """What is published of a card: `{"type":"card","card":{…}}`."""
    return _CARD_HEAD + card.to_json() + _CARD_TAIL


def _entries(entries: Sequence[tuple[bytes, Sequence[bytes]]]) -> tuple[Publication, ...]:
    return tuple(Publication(int(name.split(b"-")[0]), fields[1]) for name, fields in entries)
