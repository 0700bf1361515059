"""Redis as the bus: names of keys and channels, connecting, and call updates as stream entries.

Every key begins with `callcard:`. Those with `{calls}` are in one slot of a Redis Cluster: the listeners' scripts check
who may speak and write in one step. What is published beside a key has its braces too, so that whoever hears it does so
at the node that says it. Stay within Redis 7.0 commands.
"""

import socket
import sys
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, ResponseError

from shared.cluster import ClusterRedis
from shared.cluster_slots import Address
from shared.contracts.call import CallUpdate, PbxRoster
from shared.link import NODE_OF_CLUSTER
from shared.redis_url import is_cluster, named_nodes, node_url

CALLS_STREAM = "callcard:{calls}"
"""Call updates of all PBXs; the consumer group deletes an entry after it is stored."""

CALLS_GROUP = "card_api"

AGENTS_CHANGED = "callcard:agents:changed"
"""Pub/sub: the agents table changed; whoever keeps a copy reads it again."""

AGENT_PHONES = "callcard:{agents}:phones"
"""Key: whose phone is which (`AgentPhones`, JSON), for listeners, which never ask PostgreSQL."""

AGENT_PHONES_CHANGED = "callcard:{agents}:phones:changed"
"""Pub/sub: `AGENT_PHONES` was written. Its own channel: after AGENTS_CHANGED the key is old for a moment still."""

_KEEPALIVE = (
    {
        socket.TCP_KEEPIDLE: 5,
        socket.TCP_KEEPINTVL: 2,
        socket.TCP_KEEPCNT: 3,
        socket.TCP_USER_TIMEOUT: 10_000,
    }
    if sys.platform == "linux"
    else {}
)

_UPDATE_FIELD = b"u"
_ROSTER_FIELD = b"r"


def pbx_status_key(pbx: str) -> str:
    """The key of a PBX's last `PbxStatus`, as JSON; it expires when nobody follows the PBX any more."""
    return f"callcard:{{calls}}:pbx:{pbx}"


def lease_key(pbx: str) -> str:
    """Hash: which listener speaks for the PBX (owner, fence, token, seeing); it expires when that one is gone."""
    return f"callcard:{{calls}}:lease:{pbx}"


def fence_key(pbx: str) -> str:
    """The fence that was given out last for the PBX."""
    return f"callcard:{{calls}}:fence:{pbx}"


def open_calls_key(pbx: str) -> str:
    """Hash call_id -> `CallUpdate` as JSON: the open calls as they were told last."""
    return f"callcard:{{calls}}:open:{pbx}"


def ended_calls_key(pbx: str) -> str:
    """Sorted set of the call_ids whose end was told in the last minutes, by milliseconds since 1970."""
    return f"callcard:{{calls}}:ended:{pbx}"


def connect_redis(url: str) -> "Redis":
    """A client for `url` (`shared.redis_url`). Connects at first use, so it may be made while Redis is away.

    Answers are bytes. A command fails at once when Redis is away: whoever calls decides whether and when to
    try again, because only they know whether doing it twice is safe.

    No deadline on a command: put `asyncio.timeout` around it where waiting would matter. redis-py's own goes through
    `asyncio.wait_for`, which costs a task a command and, on Python 3.11, can swallow the cancellation of the caller.
    """
    if not is_cluster(url):
        return _plain(url, OneRedis)

    def connect(address: Address) -> Redis:
        return _plain(node_url(url, address))

    seeds = {node: connect(node) for node in named_nodes(url)}
    return ClusterRedis(seeds, connect)


class OneRedis(Redis):
    """A Redis that is not a cluster's, and says so in a sentence when it turns out to be one."""

    async def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        try:
            return await super().parse_response(connection, command_name, **options)
        except AskError as error:  # MOVED is one, too
            raise ResponseError(NODE_OF_CLUSTER) from error


def _plain(url: str, kind: type[Redis] = Redis) -> "Redis":
    return kind.from_url(
        url,
        decode_responses=False,
        protocol=2,
        # Nobody waits longer than this for a Redis on the same network.
        socket_connect_timeout=3,
        socket_timeout=None,
        # A machine that vanished without a word is noticed by the kernel after some ten seconds.
        socket_keepalive=True,
        socket_keepalive_options=_KEEPALIVE,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


def encode_update(update: CallUpdate) -> dict[bytes, bytes]:
    """The fields of a stream entry."""
    return {_UPDATE_FIELD: update.to_json()}


def decode_update(fields: Mapping[bytes, bytes]) -> CallUpdate:
    """The update in a stream entry. Raises ValueError (pydantic's ValidationError is one) if it is not one."""
    raw = fields.get(_UPDATE_FIELD)
    if raw is None:
        raise ValueError("the entry has no field 'u'")
    return CallUpdate.model_validate_json(raw)


def encode_roster(roster: PbxRoster) -> dict[Any, Any]:
    """A roster travels in the same stream, so it comes after the updates it is about."""
    return {_ROSTER_FIELD: roster.to_json()}


def decode_roster(fields: Mapping[bytes, bytes]) -> PbxRoster | None:
    """The roster in a stream entry; None if the entry is something else. Raises ValueError if it is malformed."""
    raw = fields.get(_ROSTER_FIELD)
    return None if raw is None else PbxRoster.model_validate_json(raw)
