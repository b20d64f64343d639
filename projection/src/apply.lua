-- Applies one batch to one slot, if the slot is where the batch expects it.
--
-- KEYS: the watermark, the stream, then the hashes that the batch names by their number here.
-- ARGV: the watermark expected ('' for none), the one to store, the stream's length, then operations:
--   e ID JSON                     an event
--   h KEY TTL N FIELD VALUE ...   N fields are set; the key lives TTL seconds from now, or for ever if that is 0
--   d KEY N FIELD ...             N fields are removed
-- Returns 1, or the stored watermark if it was another. Whatever fails does so before the first change: out of memory,
-- read-only and missing rights are found by the first writing command.
local stored = redis.call('GET', KEYS[1]) or ''
if stored ~= ARGV[1] then
  return stored
end
local i, last = 4, #ARGV
while i <= last do
  local op = ARGV[i]
  if op == 'e' then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], ARGV[i + 1], 'e', ARGV[i + 2])
    i = i + 3
  elseif op == 'h' then
    local key, ttl, n = KEYS[tonumber(ARGV[i + 1])], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    redis.call('HSET', key, unpack(ARGV, i + 4, i + 3 + 2 * n))
    if ttl > 0 then
      redis.call('EXPIRE', key, ttl)
    end
    i = i + 4 + 2 * n
  else
    local n = tonumber(ARGV[i + 2])
    redis.call('HDEL', KEYS[tonumber(ARGV[i + 1])], unpack(ARGV, i + 3, i + 2 + n))
    i = i + 3 + n
  end
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
