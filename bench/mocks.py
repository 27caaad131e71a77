"""The mock upstreams of a run: nginx, which answers at once, plain and over TLS, and the one that takes its time."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import nginx
from bench.machine import ROOT, Missing, free_port, require
from bench.nginx import Upstream
from bench.processes import Ended, running, wait_until_listening


@dataclass(frozen=True)
class Mocks:
    """The upstreams of this run."""

    ports: dict[Upstream, int]
    ca: Path
    roots: list[int]

    def base(self, upstream: Upstream) -> str:
        """Return the base URL a gateway is given."""
        return f"{'https' if upstream == 'tls' else 'http'}://127.0.0.1:{self.ports[upstream]}/v1"


@contextmanager
def upstreams(folder: Path, prefix: list[str], certificates: tuple[Path, Path, Path]) -> Iterator[Mocks]:
    """Run the mock upstreams for the block."""
    program = require("nginx", "nginx-light")
    ca, certificate, key = certificates
    home = folder / "mock"
    home.mkdir(parents=True)
    plain, tls = free_port(), free_port()
    config = home / "nginx.conf"
    config.write_text(nginx.mock(home, plain, tls, certificate, key))
    with running([program, "-p", str(home), "-c", str(config)], prefix=prefix, folder=home, name="mock") as first:
        wait_until_listening(first, plain, folder=home, name="mock", limit=10)
        paced_command = [sys.executable, "-m", "bench.pacer"]
        environ = {"PYTHONPATH": str(ROOT)}
        with running(paced_command, prefix=prefix, folder=home, name="pacer", environ=environ) as second:
            paced = _said_port(home / "pacer.out", second, home)
            yield Mocks({"plain": plain, "tls": tls, "paced": paced}, ca, [first.pid, second.pid])


def _said_port(output: Path, process: subprocess.Popen[bytes], folder: Path) -> int:
    begun = time.monotonic()
    while time.monotonic() - begun < 10:
        text = output.read_text()
        if text.endswith("\n"):
            return int(text)
        if process.poll() is not None:
            raise Ended((folder / "pacer.err").read_text().strip()[-600:])
        time.sleep(0.02)
    raise Missing("the paced mock did not say its port within 10 s")
