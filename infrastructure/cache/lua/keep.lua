-- Keeps documents of one slot and moves its position on, or does neither.
--
-- KEYS: the position, then the key of each document.
-- ARGV: after, reached, seconds that a document lives, seconds that the position lives;
--       then for each document: the position it was read at, its version, the document.
--
-- The position is "<incarnation>:<position>", a document "<incarnation> <version> …".
local mark = redis.call('GET', KEYS[1])
if not mark then
    return 0
end
local incarnation, found = string.match(mark, '^(%x+):(%d+)$')
local position = tonumber(found)
if position < tonumber(ARGV[1]) then
    -- Streams that changed in between are not among these.
    return 0
end
for n = 2, #KEYS do
    local read_at, version, document = unpack(ARGV, 3 * n - 1, 3 * n + 1)
    -- What was read before the position may lack what changed since, even if nothing is kept that
    -- says so: a newer document may have been evicted.
    if tonumber(read_at) >= position then
        local head = redis.call('GETRANGE', KEYS[n], 0, 63)
        local kept_in, kept = string.match(head, '^(%x+) (%d+) ')
        if kept_in ~= incarnation or tonumber(kept) < tonumber(version) then
            redis.call('SET', KEYS[n], incarnation .. ' ' .. document, 'EX', ARGV[3])
        end
    end
end
if tonumber(ARGV[2]) > position then
    redis.call('SET', KEYS[1], incarnation .. ':' .. ARGV[2], 'EX', ARGV[4])
end
return 1
