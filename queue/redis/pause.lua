-- Pauses the queue if ARGV[1] is 1, otherwise resumes it.
if ARGV[1] == '1' then redis.call('HSET', M, 'p', '1') else redis.call('HDEL', M, 'p') end
return 1
