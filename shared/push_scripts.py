"""The scripts of the push bus: what Redis does in one step. `shared.push` says what they are for.

KEYS of each: meta, history, desk, until of one channel, in one hash slot. Redis 7.0 commands only.
"""

from shared.revision import LAST_ENRICHMENT, REVS_A_VERSION

# `shared.revision.replaces`. Revisions are compared as decimal text: Lua's numbers are doubles and would mix up those
# beyond 2^53. The enrichment of an equal one is in the last five digits, because 32 divides 100000.
_NEWER = f"""
local function newer(rev, than)
  if rev == than then return tonumber(string.sub(rev, -5)) % {REVS_A_VERSION} == {LAST_ENRICHMENT} end
  return not than or #rev > #than or (#rev == #than and rev > than)
end
"""

_FORGET = """
local function forget_old(now_ms)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now_ms)) do
    redis.call('HDEL', KEYS[3], id)
    redis.call('HDEL', KEYS[1], 'r:' .. id)
    redis.call('ZREM', KEYS[4], id)
  end
end

local function keep(seconds)
  for _, key in ipairs({KEYS[1], KEYS[3], KEYS[4]}) do redis.call('EXPIRE', key, seconds) end
end
"""

_PRELUDE = (
    _FORGET
    + """
local time = redis.call('TIME')
local now_us = string.format('%.0f', time[1] * 1000000 + time[2])
local now_ms = string.format('%.0f', math.floor(time[1] * 1000 + time[2] / 1000))
local meta, history, desk = KEYS[1], KEYS[2], KEYS[3]

local function epoch_or(new)
  local epoch = redis.call('HGET', meta, 'epoch')
  if not epoch then
    epoch = new
    redis.call('DEL', history)
    redis.call('HSET', meta, 'epoch', epoch, 'offset', 0)
  end
  return epoch
end
"""
)

# The way of a ring: as few commands as it can be, because each costs Redis more than its own work.
# ARGV: new epoch, bus name, head, body, tail, call_id ('' = no card), rev, open 1|0, expires_ms,
#       history length, history seconds, keep seconds, closed seconds, tidy every, key of what is no card.
#       Returns the offset; as text the rev that is known, if the card does not replace it.
PUBLISH = (
    _NEWER
    + """
local id, rev = ARGV[6], ARGV[7]
local known = redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'r:' .. id)
local epoch, offset = known[1], (known[2] or 0) + 1
if id ~= '' and not newer(rev, known[3]) then return known[3] end
local time = redis.call('TIME')
if not epoch then
  epoch, offset = ARGV[1], 1
  redis.call('DEL', KEYS[2])
end
if id == '' then
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'offset', offset)
else
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'offset', offset, 'r:' .. id, rev)
  if ARGV[8] == '1' then
    redis.call('HSET', KEYS[3], id, ARGV[4])
    redis.call('ZADD', KEYS[4], ARGV[9], id)
  else
    redis.call('HDEL', KEYS[3], id)
    redis.call('ZADD', KEYS[4], string.format('%.0f', (time[1] + ARGV[13]) * 1000), id)
  end
end
local data = ARGV[3] .. ARGV[4] .. ARGV[5]
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[10], offset .. '-0', 'd', data)
redis.call('EXPIRE', KEYS[2], ARGV[11])
if id == '' then id = ARGV[15] end
local head = string.format('%s %d %.0f %s %s\\n', epoch, offset, time[1] * 1000000 + time[2], rev, id)
redis.call('PUBLISH', ARGV[2], head .. data)
if offset % ARGV[14] == 1 then
"""
    + _FORGET
    + """
  forget_old(string.format('%.0f', time[1] * 1000))
  keep(ARGV[12])
end
return offset
"""
)

# ARGV: new epoch, bus name, keep seconds, then for each card call_id, rev, expires_ms, card ('' = it is closed).
# A closed one is only taken off: whoever never had it need not hear of it.
REBUILD = (
    _NEWER
    + _PRELUDE
    + """
forget_old(now_ms)
redis.call('DEL', history)
redis.call('HSET', meta, 'epoch', ARGV[1], 'offset', 0)
for i = 4, #ARGV, 4 do
  local id, rev, card = ARGV[i], ARGV[i + 1], ARGV[i + 3]
  local known = redis.call('HGET', meta, 'r:' .. id)
  if newer(rev, known) and (known or card ~= '') then
    redis.call('HSET', meta, 'r:' .. id, rev)
    redis.call('ZADD', KEYS[4], ARGV[i + 2], id)
    if card ~= '' then redis.call('HSET', desk, id, card) else redis.call('HDEL', desk, id) end
  end
end
keep(ARGV[3])
redis.call('PUBLISH', ARGV[2], table.concat({ARGV[1], 0, now_us, 0, ''}, ' ') .. '\\n')
"""
)

# ARGV: new epoch, keep seconds, known epoch ('' = none), known offset.
# Returns epoch, offset, desk (call_id, card, …), 1 if everything after the known offset follows, those entries.
READ = (
    _PRELUDE
    + """
forget_old(now_ms)
local epoch = epoch_or(ARGV[1])
keep(ARGV[2])
local offset = tonumber(redis.call('HGET', meta, 'offset'))
local known = tonumber(ARGV[4])
local whole, missed = 0, {}
if ARGV[3] == epoch and known <= offset then
  if known < offset then
    missed = redis.call('XRANGE', history, string.format('%.0f-0', known + 1), '+')
  end
  if known == offset or (missed[1] and missed[1][1] == string.format('%.0f-0', known + 1)) then whole = 1 end
end
if whole == 0 then missed = {} end
return {epoch, offset, redis.call('HGETALL', desk), whole, missed}
"""
)

# ARGV: new epoch, keep seconds, first id, last id, count (0 = position only), reverse 1|0.
HISTORY = (
    _PRELUDE
    + """
local epoch = epoch_or(ARGV[1])
keep(ARGV[2])
local offset = tonumber(redis.call('HGET', meta, 'offset'))
local entries = {}
if ARGV[5] ~= '0' then
  if ARGV[6] == '1' then
    entries = redis.call('XREVRANGE', history, ARGV[4], ARGV[3], 'COUNT', ARGV[5])
  else
    entries = redis.call('XRANGE', history, ARGV[3], ARGV[4], 'COUNT', ARGV[5])
  end
end
return {epoch, offset, entries}
"""
)
