package redis

import "github.com/redis/go-redis/v9"

// serverTime begins each script: now is in milliseconds, micros in microseconds. Numbers of Lua 5.1 are
// doubles, exact below 2^53, which microseconds reach in 2255.
const serverTime = `
local t = redis.call('TIME')
local micros = t[1] * 1000000 + t[2]
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local slack = 1000
`

// text is how integers are written: Lua's own way has 14 digits. whole divides integers that are not negative,
// and rounds down; the remainder is exact, and so is the quotient of what it leaves.
const arithmetic = `
local function text(n) return string.format('%.0f', n) end
local function whole(a, b) return (a - math.fmod(a, b)) / b end
`

// takeScript is the formula of package cache; its twin is decide in internal/cache/memory. The key has index, current and
// previous. It is kept for as long as its counters weigh something, and slack, in which they weigh nothing.
// Arguments: period, limit, cost. Answer: allowed, remaining, wait, at.
const takeScript = `
local period, limit, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local index, previous, current, at = whole(now, period), 0, 0, now
local kept = redis.call('GET', KEYS[1])
if kept then
	local i, c, p = string.match(kept, '^(%d+) (%d+) (%d+)$')
	if not i then
		return redis.error_reply('ERR what is stored is no window')
	end
	i, c, p = tonumber(i), tonumber(c), tonumber(p)
	if i == index + 1 then -- the clock stepped back
		index, at = i, i * period
	end
	if i == index then
		previous, current = p, c
	elseif i == index - 1 then
		previous = c
	end
end
local elapsed = at - index * period
local room = limit * period - previous * (period - elapsed) - current * period
if cost * period <= room then
	if cost > 0 then
		redis.call('SET', KEYS[1], text(index) .. ' ' .. text(current + cost) .. ' ' .. text(previous),
			'PX', text((index + 2) * period - now + slack))
	end
	return {1, whole(room - cost * period, period), 0, at}
end
local free, left = limit - cost - current, 0
if free > 0 and previous > 0 then
	left = whole(free * period, previous)
end
local wait
if left > 0 then
	wait = period - left - elapsed
else
	wait = period - elapsed
	if current > 0 then
		wait = wait + math.max(0, period - whole((limit - cost) * period, current))
	end
end
return {0, whole(math.max(room, 0), period), at - now + wait, at}
`

// A lease is a hash of owner, over (when it ends) and fence. Its key outlives it by an hour, so that a clock that steps
// back does not give a fencing token twice. After a flush the token is larger all the same, because it is
// at least the time.

// acquireScript: the same owner again gets the same lease. Arguments: owner, milliseconds. Answer: held, fence.
const acquireScript = `
local kept = redis.call('HMGET', KEYS[1], 'owner', 'over', 'fence')
local over, fence = tonumber(kept[2] or '0'), tonumber(kept[3] or '0')
local mine = kept[1] == ARGV[1]
if over > now and not mine then
	return {0, 0}
end
if not (over > now and mine) then
	fence = math.max(fence + 1, micros)
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'over', text(now + ARGV[2]), 'fence', text(fence))
redis.call('PEXPIRE', KEYS[1], text(ARGV[2] + 3600000))
return {1, fence}
`

// keepScript renews a lease, or ends it where the milliseconds are 0. Arguments: owner, milliseconds. Answer:
// whether it was held.
const keepScript = `
local kept = redis.call('HMGET', KEYS[1], 'owner', 'over')
if kept[1] ~= ARGV[1] or tonumber(kept[2] or '0') <= now then
	return {0}
end
local over = 0 -- not now, which a clock that steps back would reach again
if ARGV[2] ~= '0' then
	over = now + ARGV[2]
end
redis.call('HSET', KEYS[1], 'over', text(over))
redis.call('PEXPIRE', KEYS[1], text(ARGV[2] + 3600000))
return {1}
`

type scripts struct {
	take, acquire, keep *redis.Script
}

func newScripts(clock string) scripts {
	whole := func(body string) *redis.Script { return redis.NewScript(clock + arithmetic + body) }
	return scripts{whole(takeScript), whole(acquireScript), whole(keepScript)}
}
