-- Sends the requests of a file in turn, whichever connection is free: the file's name, then a number of writers.
-- The file: method, path and body (or nothing) of each request, a line each.
--
-- In a body, @n@ is a number that grows with every request, and @c@ the writer's whose turn it is.

local writers
local requests, number = {}, 0

function init(arguments)
  writers = tonumber(arguments[2])
  local lines = {}
  for line in io.lines(arguments[1]) do
    lines[#lines + 1] = line
  end
  for at = 1, #lines - 2, 3 do
    requests[#requests + 1] = { method = lines[at], path = lines[at + 1], body = lines[at + 2] }
  end
  for at, request in ipairs(requests) do
    request.varies = request.body:find("@", 1, true) ~= nil
    if not request.varies then
      requests[at] = made(request, request.body)
    end
  end
end

function made(request, body)
  local headers = { ["Content-Type"] = "application/json", ["Authorization"] = wrk.headers["Authorization"] }
  return wrk.format(request.method, request.path, headers, body ~= "" and body or nil)
end

function request()
  number = number + 1
  local chosen = requests[number % #requests + 1]
  if type(chosen) == "string" then
    return chosen
  end
  return made(chosen, (chosen.body:gsub("@(%l)@", { n = number, c = number % writers })))
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %.3f, "rejected": %d, "lost": %d, "timeouts": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status, errors.connect + errors.read + errors.write,
    errors.timeout, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  ))
end
