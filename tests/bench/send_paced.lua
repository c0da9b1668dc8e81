-- wrk script, open loop: every call has a moment at which it is due, fixed before the run, and its
-- latency counts from then, however late it was sent. One connection a thread: a call that is not
-- answered holds up the next of its connection, whose latency grows meanwhile.
-- Sends each pre-signed request of the thread's lane once, as send_once.lua.
-- Arguments: the lanes' directory, the number of threads, calls a second of all of them, the moments
-- at which the calls begin and end (seconds of the monotonic clock), then each lane's start position.

local ffi = require("ffi")
ffi.cdef([[
  typedef struct { long seconds; long nanoseconds; } moment;
  int clock_gettime(int clock, moment *now);
]])
local MONOTONIC = 1
local FOR_EVER_MS = 86400000
local clock = ffi.new("moment")
local threads = {}

local function now()
  ffi.C.clock_gettime(MONOTONIC, clock)
  return tonumber(clock.seconds) + tonumber(clock.nanoseconds) / 1e9
end

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  lane = assert(io.open(args[1] .. "/lane-" .. number .. ".bin", "rb"))
  count, rate = tonumber(args[2]), tonumber(args[3])
  begins, ends = tonumber(args[4]), tonumber(args[5])
  position = tonumber(args[6 + number])
  lane:seek("set", position)
  sent, refused, latencies = 0, 0, {}
  exhausted = false
  -- wrk calls request() once on its first thread before the run, and throws that request away
  probing = number == 0
end

function delay()
  due = begins + (sent * count + number) / rate
  if due >= ends or exhausted then
    return FOR_EVER_MS
  end
  return math.max(0, math.ceil((due - now()) * 1000))
end

function request()
  if probing then
    probing = false
    return "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
  end
  local length = lane:read(5)
  if not length then
    exhausted = true
    wrk.thread:stop()
    return "GET /exhausted HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
  end
  local frame = lane:read(tonumber(length))
  position = position + 5 + #frame
  sent = sent + 1
  return frame
end

function response(status)
  table.insert(latencies, math.floor((now() - due) * 1e6))
  if status < 200 or status > 299 then
    refused = refused + 1
  end
end

function done(summary)
  local every, lanes, failed, any_exhausted = {}, {}, 0, false
  for _, thread in ipairs(threads) do
    for _, latency in ipairs(thread:get("latencies")) do
      table.insert(every, latency)
    end
    table.insert(lanes, string.format("[%d, %d]", thread:get("sent"), thread:get("position")))
    failed = failed + thread:get("refused")
    any_exhausted = any_exhausted or thread:get("exhausted")
  end
  table.sort(every)
  local function percentile(share)
    return every[math.max(1, math.ceil(share * #every))] or 0
  end
  local errors = summary.errors
  print(string.format(
    'RESULT {"answers": %d, "p50_us": %d, "p99_us": %d, "p999_us": %d, "refused": %d, '
      .. '"broken": %d, "exhausted": %s, "lanes": [%s]}',
    #every, percentile(0.5), percentile(0.99), percentile(0.999), failed,
    errors.connect + errors.read + errors.write, tostring(any_exhausted),
    table.concat(lanes, ", ")))
end
