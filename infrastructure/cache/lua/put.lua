-- Stores documents of one slot and advances its position, or does neither.
--
-- KEYS: the position, the pages, then the key of each document.
-- ARGV: after, reached, seconds that a document lives, seconds that the position lives,
--       "1" if the view was repaired without an event, else "0";
--       then for each document: the position it was read at, its version, the document.
-- Returns the number of stored documents.
--
-- The position is "<incarnation>:<position>:<repairs>", a document "<incarnation> <version> …".
local mark = redis.call('GET', KEYS[1])
if not mark then
    return 0
end
local incarnation, found, mends = string.match(mark, '^(%x+):(%d+):(%d+)$')
local position = tonumber(found)
if position < tonumber(ARGV[1]) then
    -- The documents lack the streams that changed in between.
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
            redis.call('SET', KEYS[n], incarnation .. ' ' .. document, 'EX', ARGV[3])
            count = count + 1
        end
    end
end
local moves = tonumber(ARGV[2]) > position
if moves then
    found = ARGV[2]
elseif ARGV[5] == '1' then
    -- A new mark at the same position: a page whose read began earlier may lack the change.
    mends = tonumber(mends) + 1
end
if moves or ARGV[5] == '1' then
    redis.call('SET', KEYS[1], incarnation .. ':' .. found .. ':' .. mends, 'EX', ARGV[4])
    redis.call('UNLINK', KEYS[2])
end
return count
