-- wrk script, open loop: every call has a moment at which it is due, fixed before the run, and its
-- latency counts from then, however late it was sent. One connection a thread: a call that is not
-- answered holds up the next of its connection, whose latency grows meanwhile.
-- Arguments: the lanes' directory, the number of threads, calls a second of all of them, the moments
-- at which the calls begin and end (seconds of the monotonic clock), then each lane's start position.

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "lane.lua")

local ffi = require("ffi")
ffi.cdef([[
  typedef struct { long seconds; long nanoseconds; } moment;
  int clock_gettime(int clock, moment *now);
]])
local MONOTONIC = 1
local FOR_EVER_MS = 86400000
local clock = ffi.new("moment")

local function now()
  ffi.C.clock_gettime(MONOTONIC, clock)
  return tonumber(clock.seconds) + tonumber(clock.nanoseconds) / 1e9
end

function init(args)
  count, rate = tonumber(args[2]), tonumber(args[3])
  begins, ends = tonumber(args[4]), tonumber(args[5])
  refused, latencies = 0, {}
  open_lane(args[1], args[6 + number])
end

function delay()
  due = begins + (sent * count + number) / rate
  if due >= ends or exhausted then
    return FOR_EVER_MS
  end
  return math.max(0, math.ceil((due - now()) * 1000))
end

function response(status)
  table.insert(latencies, math.floor((now() - due) * 1e6))
  if status < 200 or status > 299 then
    refused = refused + 1
  end
end

function done(summary)
  local every, failed = {}, 0
  for _, thread in ipairs(threads) do
    for _, latency in ipairs(thread:get("latencies")) do
      table.insert(every, latency)
    end
    failed = failed + thread:get("refused")
  end
  table.sort(every)
  local function percentile(share)
    return every[math.max(1, math.ceil(share * #every))] or 0
  end
  local lanes, any_exhausted = lanes_done()
  local errors = summary.errors
  print(string.format(
    'RESULT {"answers": %d, "p50_us": %d, "p99_us": %d, "p999_us": %d, "refused": %d, '
      .. '"broken": %d, "exhausted": %s, "lanes": %s}',
    #every, percentile(0.5), percentile(0.99), percentile(0.999), failed,
    errors.connect + errors.read + errors.write, any_exhausted, lanes))
end
