-- Stores documents of one slot and advances its position, or does neither.
--
-- KEYS: the mark, the pages, then the key of each document.
-- ARGV: the incarnation that the caller saw before it read the documents, after, reached,
--       seconds that a document lives, seconds that the mark lives;
--       then for each document: the position it was read at, its version, the document.
-- Returns the number of stored documents.
--
-- The mark is "<incarnation>:<position>:<repairs>", a document "<incarnation> <version> …".
local mark = redis.call('GET', KEYS[1]) or ''
local incarnation, found, repairs = string.match(mark, '^(%x+):(%d+):(%d+)$')
local position = tonumber(found)
if incarnation ~= ARGV[1] or position < tonumber(ARGV[2]) then
    -- The documents may be from before a repair, or lack the streams that changed in between.
    return 0
end
local count = 0
for n = 3, #KEYS do
    local read_at, version, document = unpack(ARGV, 3 * n - 3, 3 * n - 1)
    -- A document that was read before the position may be stale, even if the cache has no newer
    -- one: a newer document may have been evicted.
    if tonumber(read_at) >= position then
        local head = redis.call('GETRANGE', KEYS[n], 0, 63)
        local kept_in, kept = string.match(head, '^(%x+) (%d+) ')
        -- At an equal version the later document wins: erasing a parked user keeps the version.
        if kept_in ~= incarnation or tonumber(kept) <= tonumber(version) then
            redis.call('SET', KEYS[n], incarnation .. ' ' .. document, 'EX', ARGV[4])
            count = count + 1
        end
    end
end
if tonumber(ARGV[3]) > position then
    local moved = incarnation .. ':' .. ARGV[3] .. ':' .. repairs
    redis.call('SET', KEYS[1], moved, 'EX', ARGV[5])
    redis.call('UNLINK', KEYS[2])
end
return count
