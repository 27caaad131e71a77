"""The official Node SDKs, each with a provider of each dialect: a script for each SDK runs all cases in turn.

What it printed is held against what the mock got and gave.
"""

import json
import os
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.clients.expect import LOOP, PNG, TOOLS, Weather, answered, asks, facts, sealed, signed, told, wants, went_on
from tests.clients.said import Call, Said
from tests.clients.stage import DIALECTS, KEY, Stage, asked, model
from tests.dialects.crossing.facts import Facts
from tests.e2e.nodes import FOLDER, Node, install

from portico.testing import Entry

pytestmark = [pytest.mark.xdist_group("clients-node"), pytest.mark.timeout(180)]

SCRIPTS = Path(__file__).parent / "node"
COPIES = FOLDER / "clients"
"""Where the scripts are run: a module looks for packages beside itself and above."""

FINISHES = {
    "chat": {"stop": "stop", "tools": "tool_calls"},
    "responses": {"stop": "completed", "tools": "completed"},
    "messages": {"stop": "end_turn", "tools": "tool_use"},
    "gemini": {"stop": "STOP", "tools": "STOP"},
}
ERRORS = {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError", 500: "InternalServerError"}
MESSAGES = {400: "The request is invalid", 404: "does not exist", 429: "Rate limit reached", 500: "told to answer"}


class Case(NamedTuple):
    """One case of the scripts."""

    kind: str
    upstream: str
    stream: bool
    asked: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.upstream}-{'streamed' if self.stream else 'whole'}"

    def as_data(self) -> dict[str, Any]:
        """Return it as the scripts read it."""
        usual: dict[str, Any] = {"image": None, "tools": None, "schema": None, "think": False, "turns": 1}
        fixed = {"name": self.name, "model": model(self.upstream), "stream": self.stream, "fails": False}
        return {**usual, **fixed, **self.asked}


TOOL_DATA = [{"name": tool.name, "description": tool.description, "schema": tool.schema} for tool in TOOLS]
SCHEMA = Weather.model_json_schema()
KINDS: dict[str, dict[str, Any]] = {
    "chat": {"question": "Hello, 世界 — “quoted” [mock tokens=23 rare=true]"},
    "image": {"question": "What is it?", "image": b64encode(PNG).decode()},
    "schema": {"question": "How is the weather?", "schema": SCHEMA},
    "reasoning": {"question": "Think first. [mock reasoning=17 rare=true]", "think": True},
    "loop": {"question": f"Look around. [mock {LOOP}]", "tools": TOOL_DATA, "turns": 4},
    "thinking_loop": {
        "question": f"Look around. [mock {LOOP} reasoning=11]",
        "tools": TOOL_DATA,
        "think": True,
        "turns": 4,
    },
    **{f"status_{status}": {"question": f"Hello [mock status={status}]", "fails": True} for status in ERRORS},
    "broken": {"question": "Hello [mock fault=error-mid-stream at=9 tokens=40]", "fails": True},
}
CASES = [
    Case(kind, upstream, stream, said)
    for kind, said in KINDS.items()
    for upstream in DIALECTS
    for stream in (False, True)
    if stream or kind != "broken"
]


class Came(NamedTuple):
    """What came of a case, and the calls that the mock got in it."""

    saids: list[Said]
    failure: dict[str, Any] | None
    entries: list[Entry]


def ran(node: Node, stage: Stage, dialect: str, folder: Path) -> dict[str, Came]:
    """Run the script of an SDK, and return what came of each case by its name."""
    plan, out = folder / "plan.json", folder / "out.json"
    cases = [case.as_data() for case in CASES]
    plan.write_text(json.dumps({"url": stage.url, "key": KEY, "cases": cases}))
    done = subprocess.run(  # our own script
        [node.program, str(COPIES / f"{dialect}.mjs")],
        env={"PLAN": str(plan), "OUT": str(out)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    entries = iter(stage.taken())
    found = {}
    for came in json.loads(out.read_text()):
        calls = len(came["saids"]) + (came["failure"] is not None)
        saids = [_said(each) for each in came["saids"]]
        found[came["name"]] = Came(saids, came["failure"], [next(entries) for _ in range(calls)])
    assert next(entries, None) is None
    return found


def _said(data: dict[str, Any]) -> Said:
    calls = [Call(call.get("id") or "", call["name"], call["arguments"]) for call in data["calls"]]
    return Said(**{**data, "calls": calls, "turn": []})


@pytest.fixture(scope="session")
def node() -> Node:
    node = install()
    COPIES.mkdir(parents=True, exist_ok=True)
    for script in SCRIPTS.glob("*.mjs"):
        copy = COPIES / f"{script.name}.{os.getpid()}"
        shutil.copy(script, copy)
        copy.rename(COPIES / script.name)  # other processes of tests may be running it
    return node


@pytest.mark.parametrize("dialect", FINISHES)
def test_every_case_of_an_sdk(stage: Stage, node: Node, dialect: str, tmp_path: Path):
    came = ran(node, stage, dialect, tmp_path)
    assert len(came) == len(CASES)
    wrong = {}
    for case in CASES:
        try:
            check(dialect, case, came[case.name])
        except AssertionError as error:
            wrong[case.name] = str(error)
    assert wrong == {}


def check(dialect: str, case: Case, came: Came) -> None:
    """Assert that a case went well."""
    if case.asked.get("fails"):
        _failed(dialect, case, came)
        return
    assert came.failure is None, came.failure["message"]
    upstream, finishes = case.upstream, FINISHES[dialect]
    (said, *_), (entry, *_) = came.saids, came.entries
    assert entry.stream is case.stream
    think = bool(case.asked.get("think"))
    if case.kind == "schema":
        wants(entry, Weather)
        (choice,) = answered(entry).choices
        written = choice.text or choice.calls[0].arguments
        assert Weather.model_validate_json(said.text) == Weather.model_validate_json(written)
        assert (said.calls, said.finish) == ([], finishes["stop"])
        return
    if think:
        assert asked(entry).think != "no"
    expected = asks(
        case.asked["question"], TOOLS if "tools" in case.asked else (), PNG if "image" in case.asked else None
    )
    seals: list[str] = []
    # OpenAI's accumulator keeps the last piece alone of a field that it does not know: of a thought that is not sealed.
    keeps = not (dialect == "chat" and case.stream and upstream in ("chat", "gemini", "cohere"))
    for turn, (said, entry) in enumerate(zip(came.saids, came.entries, strict=True)):
        told(said, entry, upstream, finishes, thinking=think)
        got = facts(entry, upstream)
        if keeps:
            assert got == expected
        else:
            assert _without_thoughts(got) == _without_thoughts(expected)
        assert not think or sealed(entry) == seals
        seals += signed(entry, upstream)
        answers = [(call, f"{3 * turn + place}: {call.name} is “ok”") for place, call in enumerate(said.calls)]
        assert len(answers) == (3 if turn < len(came.saids) - 1 else 0)
        expected += went_on(said, answers, 3 * turn, upstream)


def _without_thoughts(found: Facts) -> Facts:
    return [fact for fact in found if fact[0] != "thinking"]


def _failed(dialect: str, case: Case, came: Came) -> None:
    (entry,), failure = came.entries, came.failure
    assert failure is not None
    if case.kind == "broken":
        assert entry.outcome == "cut"
        assert "verloaded" in failure["message"] or "told to answer with" in failure["message"]
        return
    status = int(case.kind.removeprefix("status_"))
    assert entry.status == failure["status"] == status
    assert failure["kind"] == ("ApiError" if dialect == "gemini" else ERRORS[status])
    assert MESSAGES[status] in failure["message"]
