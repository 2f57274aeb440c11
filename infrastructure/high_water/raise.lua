-- Raises the marks of a log: pairs of epoch and position. A higher mark stays.
for index = 1, #ARGV, 2 do
    local epoch, position = ARGV[index], ARGV[index + 1]
    local known = redis.call('HGET', KEYS[1], epoch)
    if not known or tonumber(known) < tonumber(position) then
        redis.call('HSET', KEYS[1], epoch, position)
    end
end
