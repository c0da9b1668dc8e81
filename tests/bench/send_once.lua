-- wrk script, closed loop: each connection sends its next request when the last was answered,
-- each pre-signed request of a thread's lane once.
-- Arguments: the lanes' directory, then the start position (bytes) of each lane.
-- A lane is a file of frames: five digits (the length), then the raw HTTP request. When a lane runs
-- out the thread stops and the run is reported as exhausted: a request is never sent twice.

threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function open_lane(directory, start)
  lane = assert(io.open(directory .. "/lane-" .. number .. ".bin", "rb"))
  lane:setvbuf("full", 1048576)
  position = tonumber(start)
  lane:seek("set", position)
  sent = 0
  exhausted = false
  -- wrk calls request() once on its first thread before the run, and throws that request away
  probing = number == 0
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

-- What was sent of every lane and how far that was, as JSON, and whether any of them ran out.
function lanes_done()
  local lanes, any_exhausted = {}, false
  for _, thread in ipairs(threads) do
    table.insert(lanes, string.format("[%d, %d]", thread:get("sent"), thread:get("position")))
    any_exhausted = any_exhausted or thread:get("exhausted")
  end
  return "[" .. table.concat(lanes, ", ") .. "]", tostring(any_exhausted)
end

function init(args)
  open_lane(args[1], args[2 + number])
end

function done(summary, latency, requests)
  local lanes, any_exhausted = lanes_done()
  local errors = summary.errors
  print(string.format(
    'RESULT {"answers": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, '
      .. '"refused": %d, "broken": %d, "timeouts": %d, "exhausted": %s, "lanes": %s}',
    summary.requests, summary.duration, latency:percentile(50.0), latency:percentile(99.0),
    latency.max, errors.status, errors.connect + errors.read + errors.write, errors.timeout,
    any_exhausted, lanes))
end
