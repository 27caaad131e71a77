"""Processes that live as long as a block: started on their core, waited for, ended with all their children."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.machine import Missing, listening


class Ended(Missing):
    """The subject's process ended before it served."""


@contextmanager
def running(
    command: list[str],
    *,
    prefix: list[str],
    folder: Path,
    name: str,
    environ: Mapping[str, str | None] | None = None,
    output: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` pinned by `prefix` in a process group of its own, which is ended with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    errors = folder / f"{name}.err"
    with errors.open("wb") as err, (output or folder / f"{name}.out").open("wb") as out:
        process = subprocess.Popen(
            [*prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=folder,
            env=_environment(environ or {}),
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return this process's environment with `changes`; None takes a variable out."""
    changed = {**os.environ, **changes}
    return {name: value for name, value in changed.items() if value is not None}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the group to end, and make it after ten seconds."""
    for sign, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        if sign == signal.SIGTERM:
            continue  # the leader is gone; the second round takes any child that stayed
    process.wait()


def wait_until_listening(
    process: subprocess.Popen[bytes], port: int, *, folder: Path, name: str, limit: float
) -> float:
    """Return the seconds until `port` accepts; `Ended` with the last words of the process if it dies."""
    begun = time.monotonic()
    while time.monotonic() - begun < limit:
        if process.poll() is not None:
            words = (folder / f"{name}.err").read_text(errors="replace") + (folder / f"{name}.out").read_text(
                errors="replace"
            )
            raise Ended(f"{name} ended with {process.returncode}: {words.strip()[-600:]}")
        if listening(port):
            return time.monotonic() - begun
        time.sleep(0.05)
    raise Missing(f"{name} did not listen within {limit:.0f} s")
