"""The scripts of the push bus: what Redis does in one step. `shared.push` says what they are for.

KEYS of each: state, log of one channel, in one hash slot. Redis 7.0 commands only.
"""

from shared.revision import LAST_ENRICHMENT, REVS_A_VERSION

# A busy agent's tab misses about ten publications a call; 128 of some 3 kB are an hour of work and stay well below the
# megabyte a connect reply may have.
HISTORY_LENGTH = 128
# Who was away longer has the desk from the snapshot, and what was missed from the REST API.
HISTORY_SECONDS = 600
# Position and desk outlive a week of absence; after that the next sign-in begins a new epoch, which is harmless.
KEEP_SECONDS = 7 * 24 * 3600
# Late updates come from a stream that is read again after a crash: minutes, not hours.
CLOSED_SECONDS = 3600
# The state is tidied and its life prolonged once in so many publications: each is a command more in the script, and a
# busy agent's channel has this many in a quarter of an hour.
TIDY_EVERY = 16

# `shared.revision.replaces`. Revisions are compared as decimal text: Lua's numbers are doubles and would mix up those
# beyond 2^53. The enrichment of an equal one is in the last five digits, because 32 divides 100000.
_NEWER = f"""
local function newer(rev, than)
  if rev == than then return tonumber(string.sub(rev, -5)) % {REVS_A_VERSION} == {LAST_ENRICHMENT} end
  return not than or #rev > #than or (#rev == #than and rev > than)
end
"""

# Takes out of the state, of all of its fields, those of calls that are over for good, and returns which calls; prolongs
# the state's life.
_FORGET_OLD = f"""
local function forget_old(fields, now_ms)
  local gone = {{}}
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'u:' and tonumber(fields[i + 1]) <= now_ms then
      local id = string.sub(fields[i], 3)
      redis.call('HDEL', KEYS[1], 'u:' .. id, 'r:' .. id, 'c:' .. id)
      gone[id] = true
    end
  end
  redis.call('EXPIRE', KEYS[1], {KEEP_SECONDS})
  return gone
end
"""

_PRELUDE = (
    _FORGET_OLD
    + """
local time = redis.call('TIME')
local state, log = KEYS[1], KEYS[2]

local function epoch_or(new)
  local epoch = redis.call('HGET', state, 'epoch')
  if not epoch then
    epoch = new
    redis.call('DEL', log)
    redis.call('HSET', state, 'epoch', epoch, 'offset', 0)
  end
  return epoch
end
"""
)

# The way of a ring: as few commands and arguments as it can be, because each costs Redis more than its own work.
# ARGV: new epoch, bus name, call_id ('' = no card), rev, open 1|0, milliseconds since 1970 until the call is kept,
#       what stands between offset and data on the bus, data.
# Who runs it has prolonged the life of a log that is there. What could fail, the log, comes before what would have the
# next try refused.
# Returns the offset; as text the rev that is known, if the card does not replace it.
PUBLISH = (
    _NEWER
    + """
local state, id, rev = KEYS[1], ARGV[3], ARGV[4]
local known = redis.call('HMGET', state, 'epoch', 'offset', 'r:' .. id)
if id ~= '' and not newer(rev, known[3]) then return known[3] end
local epoch, offset = known[1], (known[2] or 0) + 1
if not epoch then
  epoch, offset = ARGV[1], 1
  redis.call('HSET', state, 'epoch', epoch)
  redis.call('DEL', KEYS[2])
"""
    + f"""
  redis.call('EXPIRE', state, {KEEP_SECONDS})
end
if not redis.call('XADD', KEYS[2], 'NOMKSTREAM', 'MAXLEN', {HISTORY_LENGTH}, offset .. '-0', 'd', ARGV[8]) then
  redis.call('XADD', KEYS[2], offset .. '-0', 'd', ARGV[8])
  redis.call('EXPIRE', KEYS[2], {HISTORY_SECONDS})
end
"""
    + """
if id == '' then
  redis.call('HSET', state, 'offset', offset)
elseif ARGV[5] == '1' then
  redis.call('HSET', state, 'offset', offset, 'r:' .. id, rev, 'u:' .. id, ARGV[6], 'c:' .. id, ARGV[8])
else
  redis.call('HSET', state, 'offset', offset, 'r:' .. id, rev, 'u:' .. id, ARGV[6])
  redis.call('HDEL', state, 'c:' .. id)
end
"""
    + f"""
redis.call('PUBLISH', ARGV[2], epoch .. ' ' .. offset .. ARGV[7] .. ARGV[8])
if offset % {TIDY_EVERY} == 0 then
"""
    + _FORGET_OLD
    + """
  forget_old(redis.call('HGETALL', state), redis.call('TIME')[1] * 1000)
end
return offset
"""
)

# ARGV: new epoch, bus name, then for each card call_id, rev, milliseconds since 1970 until it is kept, its publication
#       ('' = it is closed).
# A closed one is only taken off: whoever never had it need not hear of it.
REBUILD = (
    _NEWER
    + _PRELUDE
    + """
forget_old(redis.call('HGETALL', state), time[1] * 1000)
redis.call('DEL', log)
redis.call('HSET', state, 'epoch', ARGV[1], 'offset', 0)
for i = 3, #ARGV, 4 do
  local id, rev, card = ARGV[i], ARGV[i + 1], ARGV[i + 3]
  local known = redis.call('HGET', state, 'r:' .. id)
  if newer(rev, known) and (known or card ~= '') then
    redis.call('HSET', state, 'r:' .. id, rev, 'u:' .. id, ARGV[i + 2])
    if card ~= '' then redis.call('HSET', state, 'c:' .. id, card) else redis.call('HDEL', state, 'c:' .. id) end
  end
end
redis.call('PUBLISH', ARGV[2], string.format('%s 0 %.0f \\n', ARGV[1], time[1] * 1000000 + time[2]))
"""
    + f"redis.call('EXPIRE', state, {KEEP_SECONDS})"
)

# ARGV: new epoch, known epoch ('' = none), known offset.
# Returns epoch, offset, desk (call_id, publication, …), 1 if everything after the known offset follows, those entries.
READ = (
    _PRELUDE
    + """
local epoch = epoch_or(ARGV[1])
local desk, fields = {}, redis.call('HGETALL', state)
local gone = forget_old(fields, time[1] * 1000)
for i = 1, #fields, 2 do
  local id = string.sub(fields[i], 3)
  if string.sub(fields[i], 1, 2) == 'c:' and not gone[id] then
    desk[#desk + 1] = id
    desk[#desk + 1] = fields[i + 1]
  end
end
local offset = tonumber(redis.call('HGET', state, 'offset'))
local known = tonumber(ARGV[3])
local whole, missed = 0, {}
if ARGV[2] == epoch and known <= offset then
  if known < offset then
    missed = redis.call('XRANGE', log, string.format('%.0f-0', known + 1), '+')
  end
  if known == offset or (missed[1] and missed[1][1] == string.format('%.0f-0', known + 1)) then whole = 1 end
end
if whole == 0 then missed = {} end
return {epoch, offset, desk, whole, missed}
"""
)

# ARGV: new epoch, first id, last id, count (0 = position only), reverse 1|0.
HISTORY = (
    _PRELUDE
    + f"""
local epoch = epoch_or(ARGV[1])
redis.call('EXPIRE', state, {KEEP_SECONDS})
"""
    + """
local offset = tonumber(redis.call('HGET', state, 'offset'))
local entries = {}
if ARGV[4] ~= '0' then
  if ARGV[5] == '1' then
    entries = redis.call('XREVRANGE', log, ARGV[3], ARGV[2], 'COUNT', ARGV[4])
  else
    entries = redis.call('XRANGE', log, ARGV[2], ARGV[3], 'COUNT', ARGV[4])
  end
end
return {epoch, offset, entries}
"""
)
