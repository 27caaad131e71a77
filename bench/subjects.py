"""The things that are measured: how each is started on one core, and how a call to each upstream is addressed.

A subject that cannot be had here (not installed, no network, will not start) raises `Missing` with the reason, and is
named as left out.
"""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import nginx
from bench.installing import HONO, install_litellm, install_portkey, install_reference
from bench.machine import ROOT, Missing, free_port, listening, require
from bench.mocks import Mocks
from bench.nginx import UPSTREAMS, Upstream
from bench.processes import Ended, running, wait_until_listening

PATH = "/v1/chat/completions"


COMPILED = ROOT / "build" / "compiled"
KEY = "sk-bench-0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Place:
    """Where a call goes so that it ends at a certain upstream."""

    port: int
    model: str
    headers: dict[str, str]
    path: str = PATH
    keys: tuple[str, int] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"


@dataclass
class Subject:
    """A running thing under test. `heavy` ones take a hundred times the CPU and are driven with smaller loads."""

    name: str
    places: dict[Upstream, Place]
    roots: list[int] = field(default_factory=list)
    heavy: bool = False
    version: str = ""
    note: str = ""
    started_in: float = 0.0
    records: Path | None = None
    """The data folder, of a subject that keeps records."""
    plain_only: bool = False
    streams_only: bool = False
    crosses: dict[Upstream, str] = field(default_factory=dict)  # models whose callers may speak other dialects
    completed: int = 0  # calls that the load generators saw to their end
    cut: int = 0  # calls that a load generator dropped half-way, at most


JSON_HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}


@contextmanager
def direct(mocks: Mocks, _: Path, __: list[str]) -> Iterator[Subject]:
    """Nothing between: the upstream itself, the ceiling of this machine. TLS is left out: wrk would speak it."""
    places: dict[Upstream, Place] = {
        upstream: Place(mocks.ports[upstream], "gpt-4o-mini", JSON_HEADERS)
        for upstream in UPSTREAMS
        if upstream != "tls"
    }
    yield Subject("direct", places)


@contextmanager
def nginx_proxy(mocks: Mocks, folder: Path, prefix: list[str]) -> Iterator[Subject]:
    """nginx with one worker as a reverse proxy: no key, no accounting, bytes only."""
    program = require("nginx", "nginx-light")
    folder = folder / "nginx"
    folder.mkdir(parents=True)
    routes = {upstream: (free_port(), mocks.ports[upstream]) for upstream in UPSTREAMS}
    config = folder / "nginx.conf"
    config.write_text(nginx.proxy(folder, routes, mocks.ca))
    with running(
        [program, "-p", str(folder), "-c", str(config)], prefix=prefix, folder=folder, name="nginx"
    ) as process:
        took = wait_until_listening(process, routes["plain"][0], folder=folder, name="nginx", limit=10)
        places = {upstream: Place(routes[upstream][0], "gpt-4o-mini", JSON_HEADERS) for upstream in UPSTREAMS}
        version = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
        yield Subject("nginx", places, [process.pid], version=version.split("/")[-1].split()[0], started_in=took)


PORTICO = """\
server:
  host: 127.0.0.1
  port: {port}
  workers: 1
  master_key: sk-master-0123456789abcdef0123456789abcdef
  data_dir: {data}
providers:
{providers}
models:
{models}
{callers}
prices:
{prices}
logs: {{calls: none, bodies: {bodies}}}
"""
CALLER = """\
keys:
  bench: {{key: {key}, models: ["bench-*"]}}"""
GOVERNED_KEY = "sk-bench-%05d-0123456789abcdef"
GOVERNED_KEYS, GOVERNED_TEAMS = 5000, 50


def governed_callers() -> str:
    """Return 5,000 keys of 50 teams: three limits and a budget each, and a budget for each team."""
    lines = ["teams:"]
    lines += [f"  team{n}: {{budgets: [{{usd: 1000000, per: month}}]}}" for n in range(GOVERNED_TEAMS)]
    lines.append("keys:")
    limits = "limits: [{requests: 10000000}, {tokens: 100000000000}, {in_flight: 10000}]"
    for number in range(1, GOVERNED_KEYS + 1):
        key, team = GOVERNED_KEY % number, f"team{number % GOVERNED_TEAMS}"
        lines.append(f"  key{number}: {{key: {key}, team: {team}, {limits}, budgets: [{{usd: 1000000, per: day}}]}}")
    return "\n".join(lines)


def portico_config(mocks: Mocks, port: int, data: Path, *, governed: bool = False, bodies: str = "none") -> str:
    """Return Portico's configuration: a key with its models, an alias and a price for every upstream, records on.

    `governed` has 5,000 keys under limits and budgets in its place.
    """
    providers, models, prices = "", "", ""
    for upstream in UPSTREAMS:
        trust = f", ca: {mocks.ca}" if upstream == "tls" else ""
        providers += f"  {upstream}: {{like: openai, base_url: {mocks.base(upstream)!r}, api_key: sk-mock{trust}}}\n"
        models += f"  bench-{upstream}: {{targets: [{upstream}/gpt-4o-mini]}}\n"
        prices += f"  {upstream}/gpt-4o-mini: {{input: 0.15, output: 0.6, cache_read: 0.075}}\n"
        # One that has no other operation, so that callers of other dialects must cross.
        base = f"base_url: {mocks.base(upstream)!r}, api_key: sk-mock{trust}"
        providers += f"  chat-{upstream}: {{like: openai, operations: [chat], {base}}}\n"
        models += f"  bench-chat-{upstream}: {{targets: [chat-{upstream}/gpt-4o-mini]}}\n"
        prices += f"  chat-{upstream}/gpt-4o-mini: {{input: 0.15, output: 0.6, cache_read: 0.075}}\n"
    callers = governed_callers() if governed else CALLER.format(key=KEY)
    return PORTICO.format(
        port=port, data=data, providers=providers, models=models, prices=prices, callers=callers, bodies=bodies
    )


@contextmanager
def portico(mocks: Mocks, folder: Path, prefix: list[str]) -> Iterator[Subject]:
    """Portico with one worker: a key that is checked, usage read and priced, a permit and a journaled record a call."""
    with _portico("portico", mocks, folder, prefix) as subject:
        subject.crosses = {upstream: f"bench-chat-{upstream}" for upstream in UPSTREAMS}
        yield subject


@contextmanager
def source(mocks: Mocks, folder: Path, prefix: list[str]) -> Iterator[Subject]:
    """The same as it is without a compiler: the interpreter runs its source."""
    if compiled_library() is None:
        raise Missing("nothing is compiled: portico is its source")
    with _portico("source", mocks, folder, prefix, compiled=False) as subject:
        subject.plain_only = True
        yield subject


@contextmanager
def governed(mocks: Mocks, folder: Path, prefix: list[str]) -> Iterator[Subject]:
    """Portico with 5,000 keys in turn, under three limits and two budgets each, and the bodies of all calls kept."""
    with _portico("governed", mocks, folder, prefix, governed=True, bodies="all") as subject:
        subject.plain_only = True
        yield subject


@contextmanager
def governed_bare(mocks: Mocks, folder: Path, prefix: list[str]) -> Iterator[Subject]:
    """The same without bodies."""
    with _portico("governed, no bodies", mocks, folder, prefix, governed=True) as subject:
        subject.plain_only = True
        yield subject


@contextmanager
def _portico(
    name: str,
    mocks: Mocks,
    folder: Path,
    prefix: list[str],
    *,
    governed: bool = False,
    bodies: str = "none",
    compiled: bool = True,
) -> Iterator[Subject]:
    folder = folder / name.replace(", ", "-").replace(" ", "-")
    folder.mkdir(parents=True)
    port = free_port()
    config = folder / "portico.yaml"
    config.write_text(portico_config(mocks, port, folder / "data", governed=governed, bodies=bodies))
    command = [sys.executable, "-m", "portico", "serve", "--config", str(config)]
    library = compiled_library() if compiled else None
    environ = {"PORTICO_WORKER_PATH": str(library)} if library is not None else {}
    if not (ROOT / "src" / "portico" / "__main__.py").exists():
        command = [sys.executable, "-c", "from portico.cli import main; main()", "serve", "--config", str(config)]
    with running(command, prefix=prefix, folder=folder, name="portico", environ=environ) as process:
        try:
            took = wait_until_listening(process, port, folder=folder, name="portico", limit=20)
        except FileNotFoundError as error:
            raise Ended((folder / "portico.err").read_text(errors="replace").strip()[-600:]) from error
        keys = (GOVERNED_KEY, GOVERNED_KEYS) if governed else None
        headers = JSON_HEADERS | {"Authorization": f"Bearer {GOVERNED_KEY % 1}"} if governed else JSON_HEADERS
        places = {upstream: Place(port, f"bench-{upstream}", headers, keys=keys) for upstream in UPSTREAMS}
        data = folder / "data"
        version = _revision() + (", compiled" if library is not None else "")
        yield Subject(name, places, [process.pid], version=version, started_in=took, records=data)


def compiled_library() -> Path | None:
    """Return where `make compiled` put the package with its data path in C; None where a source is newer than that."""
    asked = ["make", "--question", "build/compiled/.made"]
    fresh = not subprocess.run(asked, cwd=ROOT, capture_output=True, check=False).returncode
    return COMPILED if fresh else None


def _revision() -> str:
    command = ["git", "describe", "--always", "--dirty=, with changes"]
    git = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return git.stdout.strip()


def prototype_folder() -> Path:
    """Return the folder of the reference programs: PORTICO_PROTOTYPE, or beside the checkout."""
    folder = Path(os.environ.get("PORTICO_PROTOTYPE") or ROOT.parent / "shared" / "prototype")
    if not (folder / "unary.py").exists():
        raise Missing("no reference programs: PORTICO_PROTOTYPE is not set and nothing is beside the checkout")
    return folder


@contextmanager
def _reference(
    name: str, port: int, upstream: Upstream, mocks: Mocks, folder: Path, prefix: list[str]
) -> Iterator[Subject]:
    source = prototype_folder()
    if listening(port):
        raise Missing(f"{name} has the fixed port {port}, which is taken")
    folder = folder / name
    environ = {"UP": str(mocks.ports[upstream]), "PYTHONPATH": str(install_reference()), "PYTHONDONTWRITEBYTECODE": "1"}
    with running(
        [sys.executable, str(source / f"{name}.py")], prefix=prefix, folder=folder, name=name, environ=environ
    ) as process:
        took = wait_until_listening(process, port, folder=folder, name=name, limit=10)
        # the one key that these programs know
        headers = JSON_HEADERS | {"Authorization": "Bearer sk-gateway-0123456789abcdef0123456789abcdef"}
        subject = Subject(name, {upstream: Place(port, "gpt-4o-mini", headers)}, [process.pid], started_in=took)
        subject.streams_only = upstream == "paced"
        yield subject


@contextmanager
def unary(mocks: Mocks, folder: Path, prefix: list[str]) -> Iterator[Subject]:
    """The reference program for whole calls."""
    with _reference("unary", 9105, "plain", mocks, folder, prefix) as subject:
        yield subject


@contextmanager
def stream(mocks: Mocks, folder: Path, prefix: list[str]) -> Iterator[Subject]:
    """The reference program for streams."""
    with _reference("stream", 9104, "paced", mocks, folder, prefix) as subject:
        yield subject


LITELLM = """\
model_list:
{models}
general_settings: {{master_key: {key}}}
litellm_settings: {{set_verbose: false, request_timeout: 600, num_retries: 0}}
"""


@contextmanager
def litellm(mocks: Mocks, folder: Path, prefix: list[str]) -> Iterator[Subject]:
    """LiteLLM's proxy from PyPI, one worker, master key checked, no database, set as its pages say for production."""
    program = install_litellm()
    folder = folder / "litellm"
    folder.mkdir(parents=True)
    port = free_port()
    models = "".join(
        f"  - model_name: bench-{upstream}\n"
        f"    litellm_params: {{model: openai/gpt-4o-mini, api_base: {mocks.base(upstream)!r}, api_key: sk-mock}}\n"
        for upstream in UPSTREAMS
    )
    config = folder / "config.yaml"
    config.write_text(LITELLM.format(models=models, key=KEY))
    environ = {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "SSL_CERT_FILE": str(mocks.ca),
        "NO_PROXY": "127.0.0.1,localhost",
        "DATABASE_URL": None,
    }
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with running(command, prefix=prefix, folder=folder, name="litellm", environ=environ) as process:
        took = wait_until_listening(process, port, folder=folder, name="litellm", limit=180)
        places = {upstream: Place(port, f"bench-{upstream}", JSON_HEADERS) for upstream in UPSTREAMS}
        version = subprocess.run(
            [str(program.parent / "python"), "-c", "import importlib.metadata as m; print(m.version('litellm'))"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        subject = Subject("litellm", places, [process.pid], heavy=True, version=version, started_in=took)
        subject.crosses = {upstream: f"bench-{upstream}" for upstream in UPSTREAMS}
        yield subject


@contextmanager
def portkey(mocks: Mocks, folder: Path, prefix: list[str]) -> Iterator[Subject]:
    """Portkey's gateway from npm, one process. It has no keys and no accounts of its own: nothing is checked."""
    node, program = install_portkey()
    port = free_port()
    environ = {"NODE_ENV": "production", "NODE_EXTRA_CA_CERTS": str(mocks.ca)}
    command = [node, str(program), "--headless", f"--port={port}"]
    with running(command, prefix=prefix, folder=folder / "portkey", name="portkey", environ=environ) as process:
        took = wait_until_listening(process, port, folder=folder / "portkey", name="portkey", limit=60)
        places = {
            upstream: Place(
                port,
                "gpt-4o-mini",
                JSON_HEADERS | {"x-portkey-provider": "openai", "x-portkey-custom-host": mocks.base(upstream)},
            )
            for upstream in UPSTREAMS
        }
        package = json.loads((program.parent.parent / "package.json").read_text())
        subject = Subject("portkey", places, [process.pid], heavy=True, started_in=took)
        subject.version = f"{package['version']} (hono {HONO})"
        subject.crosses = dict.fromkeys(UPSTREAMS, "gpt-4o-mini")
        yield subject


SUBJECTS = {
    "direct": direct,
    "nginx": nginx_proxy,
    "portico": portico,
    "source": source,
    "governed": governed,
    "governed-bare": governed_bare,
    "unary": unary,
    "stream": stream,
    "litellm": litellm,
    "portkey": portkey,
}


def count_records(data: Path) -> int:
    """Return how many calls have a record: those in the store of a data directory, and those still in its journal.

    Control takes records from there at its leisure, and lets segments go that it has read to the end.
    """
    from portico.journal.entries import Kind
    from portico.journal.reader import read
    from portico.journal.segments import segments

    stored, done = 0, dict[str, int]()
    if (store := data / "portico.db").exists():
        with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
            connection.execute("BEGIN")
            [(stored,)] = connection.execute("SELECT count(*) FROM calls")
            done = dict(connection.execute("SELECT name, done_to FROM segments"))
    left = 0
    for segment in segments(str(data / "journal")):
        entries = read(segment.path, done.get(segment.name, 0))
        left += sum(entry.kind == Kind.RECORD for _, entry in entries)
    return stored + left
