"""`portico complexity` trains by the records of the admin API, says how it did, and never says more than that."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from tests.plan.routing import facts

from portico.cli import portico
from portico.cli.admin_client import AdminClient
from portico.plan.traits import traits_of
from portico.record import Compared, Record, Side
from portico.types import Usage

SMALL, LARGE = "openai/small", "openai/large"
CONFIG = """
providers: {openai: {api_key: sk-0123456789012345}}
models:
  smart: {strategy: complexity, targets: [openai/small, best]}
  best: [openai/large]
  plain: [openai/large]
"""


def copied(count: int, *, noise: float) -> tuple[list[Record], list[Record]]:
    """Calls of `smart` that the large model served, and their copies: the small one did where the call is short."""
    chance = random.Random(2)
    calls, copies = [], []
    for number in range(count):
        words = int(chance.lognormvariate(5, 1.2))
        did = (words < 200) is (chance.random() >= noise)
        call = Record(
            f"c{number}", number, "k", "chat", "smart", LARGE, 200, False, [], Usage(input=words), 1000, "reported",
            None, 1, 1,
        )  # fmt: skip
        call.traits = traits_of(facts("smart", {"messages": [{"role": "user", "content": "word " * words}]}))
        copy = msgspec.structs.replace(call, id=f"s{number}", key="shadow", model=SMALL, target=SMALL, traits=None)
        copy.shadow_of = call.id
        sides = (Side(LARGE, 1000, None, 1, "stop", 100), Side(SMALL, 100, None, 1, "stop", 100))
        copy.compared = Compared("smart", *sides, same_finish=did, same_calls=True)
        calls.append(call)
        copies.append(copy)
    return calls, copies


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "portico.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTICO_DATA_DIR", ".")

    def do(calls: list[Record], copies: list[Record], *words: str) -> Result:
        def pages(_: AdminClient, path: str, limit: int, **query: Any) -> list[Any]:
            assert path == "records"
            assert limit > 1000
            found = {"smart": calls}.get(query.get("model", ""), []) if query.get("key") != "shadow" else copies
            return [msgspec.to_builtins(each) for each in found]

        monkeypatch.setattr(AdminClient, "pages", pages)
        return CliRunner().invoke(portico, ["complexity", *words])

    return do


def test_a_scorer_is_written_with_its_report_and_may_be_switched_on(run: Any, tmp_path: Path) -> None:
    done = run(*copied(1500, noise=0.005), "train", "smart", "--out", "smart.json")
    assert done.exit_code == 0, done.output
    assert "tried on the 300 newest" in done.output
    assert "their outcomes are from 300 copies" in done.output
    assert "smart.json may be switched on" in done.output
    switched = CONFIG.replace("best]}", "best], complexity: {scorer: smart.json}}")
    (tmp_path / "portico.yaml").write_text(switched)
    assert CliRunner().invoke(portico, ["check"]).exit_code == 0
    (tmp_path / "portico.yaml").write_text(switched.replace("smart.json", "smart.json, saving: 95%"))
    refused = CliRunner().invoke(portico, ["check"])
    assert refused.exit_code == 1
    assert "95.0% is demanded" in refused.output
    shown = run([], [], "show", "smart.json")
    assert "tried on the 300 newest" in shown.output


def test_a_scorer_that_misses_what_is_demanded_is_said_to_and_fails(run: Any) -> None:
    done = run(*copied(1500, noise=0.5), "train", "smart", "--out", "smart.json", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["missed"] is not None


def test_labels_count_more_than_copies(run: Any, tmp_path: Path) -> None:
    calls, copies = copied(1000, noise=0.5)
    lines = [json.dumps({"id": call.id, "sufficed": call.usage.input < 200}) for call in calls if call.usage]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    done = run(calls, copies, "train", "smart", "--out", "smart.json", "--labels", "labels.jsonl")
    assert done.exit_code == 0, done.output
    assert "from 200 labels" in done.output


WRONG: list[tuple[list[str], int, str]] = [
    (["train", "plain", "--out", "x"], 2, "no name of `models` with"),
    (["train", "smart", "--out", "x", "--config", "nothing.yaml"], 2, "nothing.yaml"),
    (["train", "smart", "--out", "x", "--labels", "portico.yaml"], 2, "a line is no label"),
    (["train", "smart", "--out", "x"], 1, "needed at the least"),
    (["show", "portico.yaml"], 2, "it is no scorer"),
]


@pytest.mark.parametrize(("words", "code", "why"), WRONG)
def test_what_cannot_be_done_is_said(run: Any, words: list[str], code: int, why: str) -> None:
    done = run([], [], *words)
    assert (done.exit_code, why in done.output) == (code, True), done.output
