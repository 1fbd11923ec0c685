// The Lua scripts: whatever must happen in one step in Redis. They know no key and no field by name; the wire files name them all.
// Each first checks the type of every key, because Redis does not roll a script back that fails half-way. HMSET instead of HSET with
// many fields, so that Redis 3 (CentOS 7) will do. Comes from store/redis.ts.

const PRELUDE = `
local at = 0
local function take() at = at + 1 return ARGV[at] end
local function takeMany()
  local many = {}
  for i = 1, tonumber(take()) do many[i] = take() end
  return many
end
local function wrongType(key, wanted)
  local is = redis.call('TYPE', key)['ok']
  if is ~= 'none' and is ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. is .. ', expected a ' .. wanted)
  end
end
`;

/**
 * KEYS: what to read; ARGV: `hash` or `string` for each. Answers with the flat fields, or the string. More ARGV: what stands before and
 * after a name in the keys of further hashes, then the fields (of any hash that was read) that hold such names. Then the answer ends
 * with a list of those names, each followed by its hash.
 */
export const READ = `${PRELUDE}
local answer, beside, seen = {}, {}, {}
for i, key in ipairs(KEYS) do
  local wrong = wrongType(key, ARGV[i])
  if wrong then return wrong end
  answer[i] = redis.call(ARGV[i] == 'hash' and 'HGETALL' or 'GET', key)
end
if #ARGV == #KEYS then return answer end
local before, after = ARGV[#KEYS + 1], ARGV[#KEYS + 2]
local names = {}
for i = #KEYS + 3, #ARGV do names[ARGV[i]] = true end
for i = 1, #KEYS do
  for j = 1, ARGV[i] == 'hash' and #answer[i] or 0, 2 do
    local name = answer[i][j + 1]
    if names[answer[i][j]] and not seen[name] then
      seen[name] = true
      local key = before .. name .. after
      local wrong = wrongType(key, 'hash')
      if wrong then return wrong end
      beside[#beside + 1] = name
      beside[#beside + 1] = redis.call('HGETALL', key)
    end
  end
end
answer[#KEYS + 1] = beside
return answer
`;

/** Reads a change from KEYS[first] on, checks every type before anything is written, and can then do it. See TRANSACT. */
const CHANGE = `
local function readChange(first)
  local guards, writes, wrong = {}, {}
  local written = first + tonumber(take())
  for i = first, written - 1 do
    wrong = wrongType(KEYS[i], 'hash')
    if wrong then return nil, wrong end
    guards[i] = takeMany()
  end
  for i = written, #KEYS do
    local kind = take()
    wrong = kind ~= 'del' and wrongType(KEYS[i], kind == 'dated' and 'hash' or kind)
    if wrong then return nil, wrong end
    writes[i] = { kind = kind, values = kind ~= 'del' and takeMany() or nil }
  end
  return { first = first, written = written, guards = guards, writes = writes, messages = takeMany() }
end
local function put(key, write)
  if write.kind == 'hash' then redis.call('HMSET', key, unpack(write.values))
  elseif write.kind == 'string' then redis.call('SET', key, write.values[1])
  elseif write.kind == 'del' then redis.call('DEL', key)
  else
    local field, value, least, ttl = unpack(write.values)
    local entries = redis.call('HGETALL', key)
    for j = 1, #entries, 2 do
      local date = tonumber(string.match(entries[j + 1], '^%d+'))
      if not date or date < tonumber(least) then redis.call('HDEL', key, entries[j]) end
    end
    redis.call('HSET', key, field, value)
    redis.call('PEXPIRE', key, ttl)
  end
end
local function transact(change)
  for i = change.first, change.written - 1 do
    local guard = change.guards[i]
    for j = 1, #guard, 2 do
      if (redis.call('HGET', KEYS[i], guard[j]) or '') ~= guard[j + 1] then return 0 end
    end
  end
  for i = change.written, #KEYS do put(KEYS[i], change.writes[i]) end
  for i = 1, #change.messages, 2 do redis.call('PUBLISH', change.messages[i], change.messages[i + 1]) end
  return 1
end
`;

/**
 * Compares, writes, publishes: all or nothing. KEYS: the hash of each guard, then the keys to write. ARGV: how many guards; for each its
 * fields and the values that they must have ('' for absent); for each key `hash` with its fields, `string` with its value, `del`, or `dated` (a hash whose
 * values begin with a number: field, value, the least number that stays, and for how many ms the key lasts); channels and payloads.
 * Answers 1, or 0 when a guard did not hold.
 */
export const TRANSACT = `${PRELUDE}${CHANGE}
local change, wrong = readChange(1)
if wrong then return wrong end
return transact(change)
`;

/**
 * KEYS: the names of those that are there, one's own record. ARGV: one's name, the record, for how many ms it lasts, and what every
 * record's key begins with. Names without a record are dropped; the last one takes the set along.
 */
export const ENTER = `${PRELUDE}
local wrong = wrongType(KEYS[1], 'set') or wrongType(KEYS[2], 'string')
if wrong then return wrong end
local name, record, ttl, prefix = unpack(ARGV)
redis.call('SET', KEYS[2], record, 'PX', ttl)
redis.call('SADD', KEYS[1], name)
for _, known in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if redis.call('EXISTS', prefix .. known) == 0 then redis.call('SREM', KEYS[1], known) end
end
redis.call('PEXPIRE', KEYS[1], ttl)
return 1
`;

/** KEYS: the names of those that are there. ARGV: what every record's key begins with. Answers names and records, flat. */
export const PRESENT = `${PRELUDE}
local wrong = wrongType(KEYS[1], 'set')
if wrong then return wrong end
local answer = {}
for _, name in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local key = ARGV[1] .. name
  wrong = wrongType(key, 'string')
  if wrong then return wrong end
  local record = redis.call('GET', key)
  if record then
    answer[#answer + 1] = name
    answer[#answer + 1] = record
  end
end
return answer
`;

/**
 * Goes, and does what the last one must. KEYS: the names of those that are there, one's own record, then as TRANSACT. ARGV: one's name,
 * what every record's key begins with, what the record of one that counts begins with, for how many ms it still lasts at least, then as
 * TRANSACT. Answers 2 when somebody else counts; else as TRANSACT. One's own record is gone in each case.
 */
export const LEAVE = `${PRELUDE}${CHANGE}
local wrong = wrongType(KEYS[1], 'set') or wrongType(KEYS[2], 'string')
if wrong then return wrong end
local name, prefix, counts, least = take(), take(), take(), tonumber(take())
local change
change, wrong = readChange(3)
if wrong then return wrong end
local others = false
for _, known in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  wrong = wrongType(prefix .. known, 'string')
  if wrong then return wrong end
  local record = known ~= name and redis.call('GET', prefix .. known)
  local isLate = record and redis.call('PTTL', prefix .. known) < least
  if record and not isLate and string.sub(record, 1, #counts) == counts then others = true end
end
redis.call('SREM', KEYS[1], name)
redis.call('DEL', KEYS[2])
if others then return 2 end
return transact(change)
`;

/** KEYS: strings, then one set. ARGV: the strings' values, then the set's two members. Writes what differs; answers 1 when it wrote. */
export const DESCRIBE = `${PRELUDE}
for i, key in ipairs(KEYS) do
  local wrong = wrongType(key, i == #KEYS and 'set' or 'string')
  if wrong then return wrong end
end
local wrote = 0
for i = 1, #KEYS - 1 do
  local value = take()
  if redis.call('GET', KEYS[i]) ~= value then
    redis.call('SET', KEYS[i], value)
    wrote = 1
  end
end
local set, one, two = KEYS[#KEYS], take(), take()
if redis.call('SCARD', set) ~= 2 or redis.call('SISMEMBER', set, one) == 0 or redis.call('SISMEMBER', set, two) == 0 then
  redis.call('DEL', set)
  redis.call('SADD', set, one, two)
  wrote = 1
end
return wrote
`;

/** KEYS: the lead. ARGV: who wants it, for how many ms. Answers 1 to its owner, 0 to anybody else. */
export const LEAD = `${PRELUDE}
local wrong = wrongType(KEYS[1], 'string')
if wrong then return wrong end
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`;

/** KEYS: the lead. ARGV: who gives it up. */
export const RESIGN = `${PRELUDE}
local wrong = wrongType(KEYS[1], 'string')
if wrong then return wrong end
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
`;
