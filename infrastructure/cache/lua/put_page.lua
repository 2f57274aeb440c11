-- Stores a page if its slot has not changed since before the page was read.
--
-- KEYS: the mark, the pages.
-- ARGV: the slot's mark before the read, the page's position, its name, the page, seconds that the
--       pages live, the maximum number of pages, their maximum size in bytes.
--
-- If there is no room, all pages are deleted; pages that are still requested come back.
local mark = redis.call('GET', KEYS[1])
if mark ~= ARGV[1] then
    return 0
end
if tonumber(ARGV[2]) < tonumber(string.match(mark, '^%x+:(%d+):')) then
    return 0
end
local pages, name, page = KEYS[2], ARGV[3], ARGV[4]
local size = tonumber(redis.call('HGET', pages, 'size') or '0') + #page
    - redis.call('HSTRLEN', pages, name)
if redis.call('HLEN', pages) > tonumber(ARGV[6]) or size > tonumber(ARGV[7]) then
    redis.call('UNLINK', pages)
    size = #page
end
local begins = redis.call('EXISTS', pages) == 0
redis.call('HSET', pages, name, page, 'size', size)
if begins then
    redis.call('EXPIRE', pages, ARGV[5])
end
return 1
