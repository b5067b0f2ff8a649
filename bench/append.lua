-- wrk script: POSTs one record a request, to one log after another.
--
--     wrk -t1 -c64 -d5s -s bench/append.lua http://127.0.0.1:PORT -- [RECORD_BYTES [LOGS]]
--
-- Requests are built once, so that wrk and not this script is what is measured. There is no response() on purpose:
-- it would halve wrk's speed; statuses over 399 are counted by wrk itself.

local requests = {}
local turn = 0

function init(args)
  local record_bytes = tonumber(args[1] or 128)
  local logs = tonumber(args[2] or 16)
  local record = string.rep("x", record_bytes)
  local headers = { ["Content-Type"] = "application/octet-stream", ["Host"] = "127.0.0.1" }
  for log = 0, logs - 1 do
    local path = string.format("/v1/logs/bench-%02d/records", log)
    requests[log + 1] = wrk.format("POST", path, headers, record)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

-- One line that bench/run reads; latencies in microseconds.
function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %.6f, "p50_us": %d, "p99_us": %d, "max_us": %d, ' ..
    '"refused": %d, "broken": %d, "late": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
