"""One run of wrk, the load generator: the script it is given, and what it says at the end."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

MARK = "BENCH "

SCRIPT = """\
local f = assert(io.open(%(body)s, "rb"))
wrk.body = f:read("*a")
f:close()
%(headers)s
-- As clients do, and wrk does not: the headers in one order, whichever run it is.
function wrk.format()
  local lines = { "POST " .. wrk.path .. " HTTP/1.1", "Host: " .. wrk.headers["Host"] }
  for _, name in ipairs({%(names)s}) do table.insert(lines, name .. ": " .. wrk.headers[name]) end
  table.insert(lines, "Content-Length: " .. #wrk.body)
  return table.concat(lines, "\\r\\n") .. "\\r\\n\\r\\n" .. wrk.body
end
%(keys)s
local threads = {}
function setup(thread) table.insert(threads, thread) end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '%(mark)s{"requests":%%d,"microseconds":%%d,"connect":%%d,"read":%%d,"write":%%d,"status":%%d,"timeout":%%d,' ..
    '"p50":%%d,"p99":%%d,"max":%%d}\\n',
    summary.requests, summary.duration, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
"""


@dataclass(frozen=True)
class Load:
    """What one run did. Latencies are microseconds; `failed` counts replies of 400 and above and broken connections."""

    requests: int
    seconds: float
    failed: int
    p50: float
    p99: float
    max: float

    @property
    def rate(self) -> float:
        """Replies a second."""
        return self.requests / self.seconds if self.seconds else 0.0


class LoadFailed(Exception):  # a condition of a run, told to a person
    """wrk did not run to its end."""


KEYS = """\
local requests = {}
function init(args)
  for number = 1, %(count)d do
    wrk.headers["Authorization"] = string.format("Bearer %(shape)s", number)
    requests[number] = wrk.format()
  end
end
local turn = 0
function request()
  turn = turn %% %(count)d + 1
  return requests[turn]
end
"""
"""One key after another, their requests made beforehand."""


def script(body: Path, headers: dict[str, str], keys: tuple[str, int] | None = None) -> str:
    """Return a Lua script that posts the file `body` with `headers` and reports as JSON.

    `keys` is the shape of a key (with `%05d` for its number) and how many there are: they are used in turn.
    """
    names = ", ".join(json.dumps(name) for name in headers)
    lines = "\n".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items())
    turns = KEYS % {"shape": keys[0], "count": keys[1]} if keys is not None else ""
    mark = MARK.replace('"', "")
    return SCRIPT % {"body": json.dumps(str(body)), "headers": lines, "names": names, "mark": mark, "keys": turns}


def parse(output: str) -> Load:
    """Read what the script printed."""
    for line in output.splitlines():
        if line.startswith(MARK):
            said = json.loads(line[len(MARK) :])
            failed = sum(said[kind] for kind in ("connect", "read", "write", "status", "timeout"))
            return Load(said["requests"], said["microseconds"] / 1e6, failed, said["p50"], said["p99"], said["max"])
    raise LoadFailed(f"wrk printed no result: {output.strip()[-500:]!r}")


def run(url: str, lua: Path, *, connections: int, seconds: float, prefix: list[str], timeout: float = 30.0) -> Load:
    """Drive `url` for `seconds` (whole ones) from one thread; `prefix` pins it to its core."""
    command = [*prefix, "wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", f"--timeout={round(timeout)}s"]
    command += ["--latency", "-s", str(lua), url]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + timeout + 30, check=False)
    except subprocess.TimeoutExpired as late:
        raise LoadFailed(f"wrk did not end {late.timeout:.0f} s after its start") from late
    if done.returncode:
        raise LoadFailed(f"wrk ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return parse(done.stdout)
