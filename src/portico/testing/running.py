"""A whole Portico as its own processes, for a test: started on a free port, looked at, and stopped.

with running_portico({"providers": {...}}) as portico:
    status, headers, body = portico.request("GET", "/readyz")
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

PATIENCE = 30.0
"""Seconds to wait for what should come soon; reached only when it never will."""

INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "PYTHONWARNINGS", "COVERAGE_PROCESS_START")


class NeverHappenedError(AssertionError):
    """Something that was waited for did not come; the message has what Portico wrote meanwhile."""


def eventually(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Ask until the answer is true, and return it. Raises NeverHappenedError that names `what`."""
    until = time.monotonic() + patience
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > until:
            raise NeverHappenedError(f"after {patience:g} s still not so: {what}")
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether there is a process of this id that has not ended (one that waits to be reaped has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Lines:
    """The lines of a stream, read as they come by a thread of their own."""

    def __init__(self, stream: IO[str]) -> None:
        self.lines: list[str] = []
        self.ended = False
        self._more = threading.Condition()
        self._stream = stream
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for(self, text: str, *, after: int = 0, patience: float = PATIENCE) -> str:
        """Return the first line that holds `text`, from line `after` on, once it is there."""
        until = time.monotonic() + patience
        at = after
        with self._more:
            while True:
                while at < len(self.lines):
                    if text in self.lines[at]:
                        return self.lines[at]
                    at += 1
                if self.ended or not self._more.wait(max(0.0, until - time.monotonic())):
                    raise NeverHappenedError(f"no line with {text!r} came; these did:\n" + "\n".join(self.lines))

    def join(self) -> None:
        """Wait for the end of the stream."""
        self._thread.join(PATIENCE)
        self._stream.close()

    def __len__(self) -> int:
        return len(self.lines)

    def _read(self) -> None:
        for line in self._stream:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self.ended = True
            self._more.notify_all()


class RunningPortico:
    """A Portico that serves. `errors` has its stderr, `records` its stdout: a JSON line for each call."""

    def __init__(self, process: "subprocess.Popen[str]", config: Path | None, data_dir: Path) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.config = config
        self.data_dir = data_dir
        self.records = Lines(process.stdout)
        self.errors = Lines(process.stderr)
        self.url = ""

    def __repr__(self) -> str:
        return f"<RunningPortico {self.url} process {self.pid}>"

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self.process.pid

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.rpartition("//")[2].rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def master_key(self) -> str:
        """The generated key; a configuration or an environment that names another wins over it."""
        return (self.data_dir / "master_key").read_text().strip()

    def workers(self) -> list[int]:
        """Return the process ids of the workers, in the order of their slots (Linux)."""
        return [pid for _, pid in sorted((command, pid) for pid, command in self._children("portico.worker"))]

    def control(self) -> int | None:
        """Return the process id of control (Linux)."""
        return next((pid for pid, _ in self._children("portico.control")), None)

    def _children(self, module: str) -> Iterator[tuple[int, str]]:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, parent = stat.read_text().rpartition(")")[2].split()[:2]
                command = (stat.parent / "cmdline").read_text().replace("\0", " ")
                if int(parent) == self.pid and state != "Z" and f"-m {module} " in command:
                    yield int(stat.parent.name), command

    def rewrite(self, config: str | Mapping[str, Any]) -> None:
        """Replace the configuration's file, as an editor does: whole, by a rename."""
        assert self.config is not None, "this Portico was started without a file"
        draft = self.config.with_name("draft.yaml")
        draft.write_text(config if isinstance(config, str) else json.dumps(config))
        draft.replace(self.config)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, Any] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        key: str | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Make one request on a connection of its own; return status, headers (lowercase) and body."""
        sent = dict(headers)
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the supervisor a signal, wait for its end, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the supervisor's end and return its exit code."""
        code = self.process.wait(PATIENCE)
        self.records.join()
        self.errors.join()
        return code

    def end(self) -> None:
        """See that nothing is left of it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.wait()


def start_portico(
    directory: Path, config: str | Mapping[str, Any] | None, arguments: Sequence[str], environ: Mapping[str, str]
) -> RunningPortico:
    """Start `portico serve` in `directory` on a free port, without waiting for it. Who calls this stops it."""
    data_dir = directory / "data"
    file = None
    options = ["--port", "0", "--data-dir", str(data_dir), *arguments]
    if config is not None:
        file = directory / "portico.yaml"
        file.write_text(config if isinstance(config, str) else json.dumps(config))
        options += ["--config", str(file)]
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    process = subprocess.Popen(  # noqa: S603  # our own interpreter
        [sys.executable, "-P", "-m", "portico", "serve", *options],
        cwd=directory,
        env={**inherited, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    return RunningPortico(process, file, data_dir)


@contextlib.contextmanager
def running_portico(
    config: str | Mapping[str, Any] | None = None,
    *,
    arguments: Sequence[str] = ("--workers", "2"),
    **environ: str,
) -> Iterator[RunningPortico]:
    """Run `portico serve` on a free port with a data directory of its own, until the block ends.

    `config` is a file's text, or the same as data; None means no file. The environment has nothing but what is given
    and what a process needs, so that keys of this machine are not found. Raises NeverHappenedError when it does not
    serve.
    """
    with tempfile.TemporaryDirectory(prefix="portico-test-") as directory:
        portico = start_portico(Path(directory), config, arguments, environ)
        try:
            portico.url = portico.errors.wait_for("serves at").rpartition(" ")[2]
            yield portico
        finally:
            portico.end()
