"""From calls to a scorer in force: calls and their copies are recorded, a scorer is trained by them and switched on."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from portico.cli import portico as command
from portico.testing.mock import MockProvider
from portico.testing.running import RunningPortico, eventually, running_portico

CALLS = 260


def body(words: int) -> dict[str, Any]:
    return {"model": "smart", "messages": [{"role": "user", "content": "word " * words}]}


def learn(url: str, folder: Path) -> None:
    smart: dict[str, Any] = {"strategy": "complexity", "targets": ["openai/small", "openai/large"]}
    config = {
        "providers": {"openai": {"base_url": url, "api_key": "sk-upstream-0123456789", "models": ["small", "large"]}},
        "prices": {"openai/small": {"input": 0.1, "output": 0.4}, "openai/large": {"input": 2, "output": 8}},
        "models": {"smart": {**smart, "shadow": {"to": "openai/small", "share": 1, "at_once": 100}}},
    }
    scorer = folder / "smart.json"
    with running_portico(config) as portico:

        def call(words: int) -> str:
            sent = portico.request("POST", "/v1/chat/completions", body(words), key=portico.master_key)
            assert sent[0] == 200, sent
            return sent[1]["x-portico-target"]

        chance = random.Random(1)
        assert {call(int(chance.lognormvariate(5, 1.2))) for _ in range(CALLS)} == {"openai/large"}
        eventually(lambda: len(records(portico, "model=smart")) == CALLS, "all calls are in the store")
        eventually(lambda: len(records(portico, "key=shadow")) == CALLS, "their copies are, too")
        # The mock says the same whatever it is asked: somebody who judges answers says when the small one did.
        labels = folder / "labels.jsonl"
        short = {each["id"]: each["usage"]["input"] < 200 for each in records(portico, "model=smart")}
        labels.write_text("\n".join(json.dumps({"id": name, "sufficed": did}) for name, did in short.items()))
        words = ["complexity", "train", "smart", "--config", str(portico.config), "--out", str(scorer)]
        done = CliRunner().invoke(command, [*words, "--labels", str(labels), "--data-dir", str(portico.data_dir)])
        assert "tried on the 52 newest" in done.output
        bar = {"scorer": str(scorer), "calls": 50, "harm": 0.2}
        portico.rewrite({**config, "models": {"smart": {**smart, "complexity": {**bar, "saving": 0.999}}}})
        portico.errors.wait_for("99.9% is demanded")
        portico.errors.wait_for("the configuration was refused; version 1 stays in force")
        assert call(10) == "openai/large"
        portico.rewrite({**config, "models": {"smart": {**smart, "complexity": bar}}})
        portico.errors.wait_for("configuration version 2 is in force")
        assert (call(10), call(5000)) == ("openai/small", "openai/large")


def records(portico: RunningPortico, asked: str) -> list[dict[str, Any]]:
    found = portico.request("GET", f"/api/v1/records?limit=500&{asked}", key=portico.master_key)
    assert found[0] == 200, found
    return json.loads(found[2])["items"]


@pytest.mark.prove
async def test_a_scorer_is_trained_by_recorded_calls_and_decides_once_it_is_switched_on(tmp_path: Path) -> None:
    async with MockProvider() as mock:
        await asyncio.to_thread(learn, mock.url + "/v1", tmp_path)
