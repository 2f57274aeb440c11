-- Returns the slot's mark, then each requested page or nil, read atomically.
--
-- KEYS: the mark, the pages. ARGV: the name of each page.
local found = redis.call('HMGET', KEYS[2], unpack(ARGV))
table.insert(found, 1, redis.call('GET', KEYS[1]))
return found
