-- wrk script, closed loop: each connection sends its next request when the last was answered.
-- Arguments: the lanes' directory, then the start position (bytes) of each lane.

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "lane.lua")

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
