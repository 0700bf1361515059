"""What is known of a PBX's calls in Redis: the stream of updates and, beside it, each open call as it was told last.

Both are written by one script that checks the fence first, so they cannot disagree, and so that a listener whose lease
is over changes nothing. A listener that starts or takes over finds here what it cannot learn from the PBX: versions
and history.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ami_listener.lease import Lease
from shared import bus
from shared.contracts.call import CallState, CallUpdate, PbxRoster, PbxStatus
from shared.link import Argument, Command, Link
from shared.observability import logger
from shared.script import Script, run_scripts

# How long a told end is remembered, so that no successor tells it again. Take-overs are done in seconds.
ENDED_SECONDS = 300

# KEYS: stream, lease, open, ended. ARGV: token, number of open calls, call_id and update of each, then
# call_id, update and milliseconds of each call that ended. A command of the script costs as much as the script itself,
# so there is one for all open calls. Returns 1, or 0 and nothing was written.
_APPEND = Script("""
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[1] then return 0 end
local last_open = 2 + 2 * ARGV[2]
for i = 4, last_open, 2 do redis.call('XADD', KEYS[1], '*', 'u', ARGV[i]) end
if last_open > 2 then redis.call('HSET', KEYS[3], unpack(ARGV, 3, last_open)) end
for i = last_open + 1, #ARGV, 3 do
  redis.call('XADD', KEYS[1], '*', 'u', ARGV[i + 1])
  redis.call('HDEL', KEYS[3], ARGV[i])
  redis.call('ZADD', KEYS[4], ARGV[i + 2], ARGV[i])
end
return 1
""")

# Ends that waited on disk. They need no lease: they are facts, and their version says how old they are. One that was
# told meanwhile, by us or by another, is not told again. KEYS: stream, open, ended. ARGV: call_id, update and
# milliseconds of each. Returns how many were new.
_APPEND_LATE = Script("""
local new = 0
for i = 1, #ARGV, 3 do
  if not redis.call('ZSCORE', KEYS[3], ARGV[i]) then
    redis.call('XADD', KEYS[1], '*', 'u', ARGV[i + 1])
    redis.call('HDEL', KEYS[2], ARGV[i])
    redis.call('ZADD', KEYS[3], ARGV[i + 2], ARGV[i])
    new = new + 1
  end
end
return new
""")

# KEYS: stream, lease. ARGV: token, roster.
_ROSTER = Script("""
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[1] then return 0 end
redis.call('XADD', KEYS[1], '*', 'r', ARGV[2])
return 1
""")

# KEYS: status, lease, ended. ARGV: token, status, seconds it lives, milliseconds before which told ends are forgotten.
# The heartbeat of the memory too.
_STATUS = Script("""
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[4])
return 1
""")

SCRIPTS = (_APPEND, _APPEND_LATE, _ROSTER, _STATUS)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the listeners have told of a PBX. open: the newest update of each open call. ended: call_ids whose end was
    told in the last minutes."""

    open: tuple[CallUpdate, ...] = ()
    ended: frozenset[str] = frozenset()


def append(lease: Lease, updates: Iterable[tuple[CallUpdate, bytes]]) -> Command:
    """The command that tells these updates, each with its JSON; answered 0 if the lease is not ours any more."""
    going_on: list[Argument] = []
    over: list[Argument] = []
    for update, raw in updates:
        if update.call.state is CallState.ENDED:
            over += (update.call_id, raw, _ms(update))
        else:
            going_on += (update.call_id, raw)
    keys = (
        bus.CALLS_STREAM,
        bus.lease_key(lease.pbx),
        bus.open_calls_key(lease.pbx),
        bus.ended_calls_key(lease.pbx),
    )
    return _APPEND.command(keys, lease.token, len(going_on) // 2, *going_on, *over)


def append_late(pbx: str, updates: Iterable[tuple[CallUpdate, bytes]]) -> Command:
    """The command that tells ends which waited on disk, whoever speaks now."""
    keys = (bus.CALLS_STREAM, bus.open_calls_key(pbx), bus.ended_calls_key(pbx))
    arguments: list[Argument] = []
    for update, raw in updates:
        arguments += (update.call_id, raw, _ms(update))
    return _APPEND_LATE.command(keys, *arguments)


def tell_roster(lease: Lease, roster: PbxRoster) -> Command:
    """The command that tells which calls go on; answered 0 if the lease is not ours any more."""
    return _ROSTER.command((bus.CALLS_STREAM, bus.lease_key(lease.pbx)), lease.token, roster.to_json())


def tell_status(lease: Lease, status: PbxStatus, seconds: int, now_ms: int) -> Command:
    """The command that says for so long how the PBX is seen; answered 0 if the lease is not ours any more."""
    keys = (bus.pbx_status_key(lease.pbx), bus.lease_key(lease.pbx), bus.ended_calls_key(lease.pbx))
    before = now_ms - ENDED_SECONDS * 1000
    return _STATUS.command(keys, lease.token, status.to_json(), seconds, before)


def probe() -> Command:
    """A command that fails unless Redis takes writes; it changes nothing."""
    return ("SET", f"{bus.CALLS_STREAM}:probe", "", "PX", 1)


async def recall(link: Link, pbx: str) -> Recalled:
    """What was told of this PBX. Raises RedisError."""
    raw, ended = await run_scripts(
        link,
        (),
        (("HVALS", bus.open_calls_key(pbx)), ("ZRANGE", bus.ended_calls_key(pbx), 0, -1)),
    )
    known = []
    for text in raw:
        try:
            known.append(CallUpdate.model_validate_json(text))
        except ValueError:
            # Of another version of this program: the PBX still says what goes on.
            logger("memory").warning("an open call in Redis cannot be read and is left out", pbx=pbx)
    return Recalled(tuple(known), frozenset(call_id.decode() for call_id in ended))


def _ms(update: CallUpdate) -> int:
    return int(update.at.timestamp() * 1000)
