-- Decides over all rate limits of a call at once, and takes of all of them or of none.
--
-- KEYS: the counters that are named below, by their places in this list.
-- ARGV[1], as MessagePack:
--   now     microseconds since 1970; the time of this server where it is absent
--   take    whether to take, or only to look
--   slot    the id of the call among those that run at once, lease  how long it holds, in µs
--   ends    what calls that have ended give back or owe, and what runs on; done first
--   limits  in order; each names its kind, limit, amount and counter
-- Answer: {1 taken | 0 no room | 2 a day is not known, now, {a, b} of each limit as it stood before}
--
-- All numbers are whole and below 2^53, so that nothing is rounded: the level of a bucket is held
-- as whole requests or tokens and a part of one, in 60,000,000ths.

local MINUTE = 60000000
local DAY_MS = 86400000
local IDLE_MS = 60000
local LONGEST_MS = 400 * DAY_MS

local ask = cmsgpack.unpack(ARGV[1])
local now = ask.now
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function text(number)
  return string.format('%.0f', number)
end

-- What is left of a level after a bucket has lost `limit` a minute for so many microseconds.
local function drained(whole, part, limit, elapsed)
  local minutes = math.floor(elapsed / MINUTE)
  local gone = limit * minutes
  if gone > whole then return 0, 0 end
  -- limit × rest would not fit: its millions and what is left of them are multiplied apart.
  local rest = elapsed - minutes * MINUTE
  local millions, ones = math.floor(limit / 1000000) * rest, (limit % 1000000) * rest
  gone = gone + math.floor(millions / 60) + math.floor(ones / MINUTE)
  part = part - (millions % 60) * 1000000 - ones % MINUTE
  whole = whole - gone
  while part < 0 do
    part = part + MINUTE
    whole = whole - 1
  end
  if whole < 0 then return 0, 0 end
  return whole, part
end

local function level(key, limit)
  local held = redis.call('HMGET', key, 'whole', 'part', 'at')
  if not held[1] then return 0, 0 end
  local at = tonumber(held[3])
  if at > now then  -- the clock was set back: from now on it counts as it goes
    redis.call('HSET', key, 'at', text(now))
    at = now
  end
  return drained(tonumber(held[1]), tonumber(held[2]), limit, now - at)
end

local function set_level(key, limit, whole, part)
  redis.call('HSET', key, 'whole', text(whole), 'part', text(part), 'at', text(now))
  local empty_ms = math.ceil((whole + 1) * 60000 / limit)
  redis.call('PEXPIRE', key, text(math.min(empty_ms + IDLE_MS, LONGEST_MS)))
end

local function hold_slot(key, slot)
  redis.call('ZADD', key, text(now + ask.lease), slot)
  redis.call('PEXPIRE', key, text(math.ceil(ask.lease / 1000) + IDLE_MS))
end

local function end_of_call(done)
  local kind, key = done[1], KEYS[done[2]]
  if kind == 'minute' then
    local limit, amount = done[3], done[4]
    local whole, part = level(key, limit)
    if whole + amount < 0 then
      whole, part = 0, 0
    else
      whole = whole + amount
    end
    set_level(key, limit, whole, part)
  elseif kind == 'day' then
    -- A day that is not here, or was read from the books since, has it already.
    local amount, before = done[3], done[4]
    local held = redis.call('HMGET', key, 'used', 'made')
    if held[1] and (not before or tonumber(held[2]) <= before) then
      redis.call('HSET', key, 'used', text(math.max(0, tonumber(held[1]) + amount)))
    end
  elseif kind == 'slot' then
    redis.call('ZREM', key, done[3])
  elseif kind == 'renew' then
    hold_slot(key, done[3])
  elseif kind == 'node' then
    redis.call('ZADD', key, text(now + done[4]), done[3])
    redis.call('PEXPIRE', key, text(math.ceil(done[4] / 1000) + IDLE_MS))
  elseif kind == 'gone' then
    redis.call('ZREM', key, done[3])
  end
end

for _, done in ipairs(ask.ends) do
  end_of_call(done)
end

-- Each of these reads how a limit stands: {a, b, room}, or nothing for a day that is not known.
local read = {}

function read.minute(limit)
  local whole, part = level(KEYS[limit.key], limit.limit)
  local after = whole + limit.amount
  local room = after < limit.most or (after == limit.most and part == 0)
  return {whole, part, room}
end

function read.day(limit)
  -- By the clock of this server, whatever that of the caller says: yesterday, today or tomorrow.
  local nth = 1
  for place, start_ms in ipairs(limit.starts) do
    if start_ms * 1000 <= now then nth = place end
  end
  limit.place = limit.key + nth - 1
  limit.start = limit.starts[nth]
  local used = redis.call('HGET', KEYS[limit.place], 'used')
  if not used then
    local known = limit.known
    if not known or known[1] ~= limit.start then return {limit.start, 0, false, true} end
    used = known[2]
    redis.call('HSET', KEYS[limit.place], 'used', text(used), 'made', text(now))
    redis.call('PEXPIREAT', KEYS[limit.place], text(limit.start + 3 * DAY_MS))
  end
  used = tonumber(used)
  return {limit.start, used, used + limit.amount <= limit.limit}
end

function read.slots(limit)
  local key = KEYS[limit.key]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now))
  local taken = redis.call('ZCARD', key)
  return {taken, 0, taken + limit.amount <= limit.limit}
end

local take = {}

function take.minute(limit, stood)
  set_level(KEYS[limit.key], limit.limit, stood[1] + limit.amount, stood[2])
end

function take.day(limit, stood)
  redis.call('HSET', KEYS[limit.place], 'used', text(stood[2] + limit.amount))
end

function take.slots(limit, stood)
  hold_slot(KEYS[limit.key], ask.slot)
end

local states, all, known = {}, true, true
for place, limit in ipairs(ask.limits) do
  local stood = read[limit.kind](limit)
  states[place] = stood
  if stood[4] then known = false end
  if not stood[3] and not limit.shadow then all = false end
end

local status = 0
if ask.take and not known then
  status = 2
elseif all then
  status = 1
  if ask.take then
    for place, limit in ipairs(ask.limits) do
      -- A shadow without room takes nothing, as if it had refused.
      if states[place][3] then take[limit.kind](limit, states[place]) end
    end
  end
end

local answer = {}
for place, stood in ipairs(states) do
  answer[place] = {stood[1], stood[2], stood[4] and 1 or 0}
end
return {status, now, answer}
