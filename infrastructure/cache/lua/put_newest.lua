-- Stores a document that begins with its position, "<position>\n…", unless a newer one exists.
--
-- KEYS: the key of the document. ARGV: its position, the document, seconds that it lives, and
-- whether it replaces a document with the same position: "1" or "0".
local kept = string.match(redis.call('GETRANGE', KEYS[1], 0, 31), '^(%d+)\n')
if kept then
    local behind = tonumber(kept) - tonumber(ARGV[1])
    if behind > 0 or (behind == 0 and ARGV[4] ~= '1') then
        return 0
    end
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
