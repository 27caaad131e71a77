"""Frameworks that people build agents with, each with providers that its adapters were not written for.

They bring much along, so they live in folders of their own under `.cache`, and are skipped where they cannot be
installed. Each script runs a loop of parallel tools of three rounds by itself, with each provider; here it is seen that
every call was made, that every answer went to its call, and that the last words are the provider's.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tests.clients.expect import answered, facts, plan
from tests.clients.stage import DIALECTS, KEY, Stage, model
from tests.dialects.crossing import cohere
from tests.dialects.crossing.facts import squeezed
from tests.e2e.nodes import ROOT, Node
from tests.e2e.nodes import install as install_node

from portico.testing import Entry

pytestmark = [pytest.mark.xdist_group("clients-frameworks"), pytest.mark.timeout(240)]

SCRIPTS = Path(__file__).parent / "frameworks"
PYTHON = ROOT / ".cache" / "frameworks" / "python"
NODE = ROOT / ".cache" / "frameworks" / "node"
PACKAGES = (
    "langchain-anthropic==1.7.7",
    "langchain-openai==1.7.3",
    "openai-agents==0.24.0",
    "pydantic-ai-slim[anthropic,google,openai]==2.68.0",
)
NODE_PACKAGES = {"ai": "7.0.173", "@ai-sdk/openai": "4.0.118", "@ai-sdk/anthropic": "4.0.105"}
QUESTION = "Look around. [mock turns=3 calls=3 rare=true]"
SOME = ("messages", "gemini", "cohere")
"""Providers for the short form: two of them or more are foreign to every adapter."""
PATIENCE = 120
"""Seconds to install in, and for one script."""


def install() -> Path:
    """Return a Python that has the frameworks; skips, saying why, where they cannot be installed."""
    PYTHON.mkdir(parents=True, exist_ok=True)
    done, wanted, program = PYTHON / "installed.json", json.dumps(PACKAGES), PYTHON / "venv" / "bin" / "python"
    with (PYTHON / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes of tests may come here at once
        if done.exists() and done.read_text() == wanted:
            return program
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if uv is None:
            pytest.skip(f"no uv to install {', '.join(PACKAGES)} with")
        venv = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(PYTHON / "venv")]
        for command in (
            venv,
            [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(program), *PACKAGES],
        ):
            try:
                ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
            except subprocess.TimeoutExpired:
                pytest.skip(f"{', '.join(PACKAGES)} could not be installed within {PATIENCE} seconds")
            if ran.returncode:
                pytest.skip(f"{', '.join(PACKAGES)} could not be installed: {ran.stderr[-300:]}")
        done.write_text(wanted)
    return program


@pytest.fixture(scope="session")
def python() -> Path:
    return install()


@pytest.fixture(scope="session")
def node() -> Node:
    node = install_node(NODE, NODE_PACKAGES)
    copy = NODE / f"with_vercel.mjs.{os.getpid()}"
    shutil.copy(SCRIPTS / "with_vercel.mjs", copy)
    copy.rename(NODE / "with_vercel.mjs")
    return node


def ran(stage: Stage, upstreams: Sequence[str], *command: str) -> dict[str, Any]:
    """Run a script with providers, and return what it printed."""
    told = {"url": stage.url, "key": KEY, "question": QUESTION, "models": {name: model(name) for name in upstreams}}
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "PLAN": json.dumps(told), "OPENAI_API_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def check(name: str, came: dict[str, Any], entries: Iterator[Entry]) -> None:
    """Assert that a loop of three rounds and a last answer went well."""
    upstream = name.rpartition("-")[2]
    assert "error" not in came, came["error"]
    first, *_, last = mine = list(islice(entries, 4))
    assert [len(answered(entry).choices[0].calls) for entry in mine] == [3, 3, 3, 0]
    assert first.json != last.json
    made = [(call.name, json.loads(call.arguments)) for entry in mine for call in answered(entry).choices[0].calls]
    assert sorted(map(str, made)) == sorted(str((name, arguments)) for name, arguments in came["calls"])
    found = cohere.request(last.json, arrived=True) if upstream == "cohere" else facts(last, upstream)
    assert [json.loads(fact[2]) for fact in found if fact[0] == "call"] == [arguments for _, arguments in made]
    answers = ["twelve" if name == "now" else f"“ok” {given['city']} {given['days']}" for name, given in made]
    told = [(number, _bare(text)) for kind, number, text, *_ in found if kind == "result"]
    assert told == list(enumerate(map(squeezed, answers)))
    assert came["text"] == plan(upstream, answered(last))


def _bare(text: str) -> str:
    """Return an answer without the object that Pydantic AI puts it in for Gemini."""
    return str(json.loads(text)["return_value"]) if text.startswith('{"return_value":') else text


def check_all(printed: dict[str, Any], stage: Stage, loops: int) -> None:
    """Assert that every loop of a script went well."""
    assert len(printed) == loops
    errors = {name: came["error"] for name, came in printed.items() if "error" in came}
    assert errors == {}
    entries = iter(stage.taken())
    wrong = {}
    for name, came in printed.items():
        try:
            check(name, came, entries)
        except AssertionError as error:
            wrong[name] = str(error)
    assert wrong == {}
    assert next(entries, None) is None


with_providers = pytest.mark.parametrize(
    "upstreams", [SOME, pytest.param(DIALECTS, marks=pytest.mark.prove)], ids=["some", "all"]
)


@with_providers
@pytest.mark.parametrize(("script", "loops"), [("with_langchain", 5), ("with_pydantic_ai", 8), ("with_agents", 4)])
def test_a_framework_in_python(stage: Stage, python: Path, script: str, loops: int, upstreams: Sequence[str]):
    printed = ran(stage, upstreams, str(python), str(SCRIPTS / f"{script}.py"))
    check_all(printed, stage, loops * len(upstreams))


@with_providers
def test_the_vercel_ai_sdk(stage: Stage, node: Node, upstreams: Sequence[str]):
    check_all(ran(stage, upstreams, node.program, str(NODE / "with_vercel.mjs")), stage, 6 * len(upstreams))
