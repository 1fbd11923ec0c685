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

/** KEYS: what to read; ARGV: `hash` or `string` for each. Answers with the flat fields, or the string. */
export const READ = `${PRELUDE}
local answer = {}
for i, key in ipairs(KEYS) do
  local wrong = wrongType(key, ARGV[i])
  if wrong then return wrong end
  answer[i] = redis.call(ARGV[i] == 'hash' and 'HGETALL' or 'GET', key)
end
return answer
`;

/**
 * Compares, writes, publishes: all or nothing. KEYS: the guard's hash, then the keys to write. ARGV: the guard's fields and the values
 * that they must have ('' for absent); for each key `hash` with its fields, `string` with its value, `del`, or `dated` (a hash whose
 * values begin with a number: field, value, the least number that stays, and for how many ms the key lasts); channels and payloads.
 * Answers 1, or 0 when the guard did not hold.
 */
export const TRANSACT = `${PRELUDE}
local wrong
local guard = takeMany()
if #guard > 0 then wrong = wrongType(KEYS[1], 'hash') end
if wrong then return wrong end
for i = 1, #guard, 2 do
  if (redis.call('HGET', KEYS[1], guard[i]) or '') ~= guard[i + 1] then return 0 end
end
local writes = {}
for i = 2, #KEYS do
  local kind = take()
  if kind ~= 'del' then
    wrong = wrongType(KEYS[i], kind == 'dated' and 'hash' or kind)
    if wrong then return wrong end
  end
  writes[i] = { kind = kind, values = kind ~= 'del' and takeMany() or nil }
end
local messages = takeMany()
for i = 2, #KEYS do
  local write = writes[i]
  if write.kind == 'hash' then redis.call('HMSET', KEYS[i], unpack(write.values))
  elseif write.kind == 'dated' then
    local field, value, least, ttl = unpack(write.values)
    local entries = redis.call('HGETALL', KEYS[i])
    for j = 1, #entries, 2 do
      local date = tonumber(string.match(entries[j + 1], '^%d+'))
      if not date or date < tonumber(least) then redis.call('HDEL', KEYS[i], entries[j]) end
    end
    redis.call('HSET', KEYS[i], field, value)
    redis.call('PEXPIRE', KEYS[i], ttl)
  elseif write.kind == 'string' then redis.call('SET', KEYS[i], write.values[1])
  else redis.call('DEL', KEYS[i]) end
end
for i = 1, #messages, 2 do redis.call('PUBLISH', messages[i], messages[i + 1]) end
return 1
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
