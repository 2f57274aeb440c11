-- Starts a slot over, unless it has another incarnation than the caller saw.
--
-- KEYS: the mark, the pages. ARGV: the incarnation that the caller saw ("" for none), the new mark,
-- seconds that it lives.
local mark = redis.call('GET', KEYS[1]) or ''
if (string.match(mark, '^(%x+):%d+:%d+$') or '') ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
-- No longer valid, and nothing else would delete them.
redis.call('UNLINK', KEYS[2])
return 1
