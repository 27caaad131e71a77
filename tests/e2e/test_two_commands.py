"""`portico mock` and `portico serve`, as a person runs them: two commands, and every SDK makes its first calls."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.callers import CALLERS
from tests.e2e.front import KEY, UPSTREAM, config

from portico.testing import tokens
from portico.testing.running import PATIENCE, RunningPortico, running_portico

pytestmark = pytest.mark.xdist_group("e2e-node")


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    """The URL of a mock in a process of its own, which takes one key alone."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "portico", "mock", "--port", "0", "--json", "--key", UPSTREAM],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert json.loads(said)["calls"] == 2 * len(CALLERS)


@pytest.fixture(scope="module")
def portico(mock: str) -> Iterator[RunningPortico]:
    with running_portico(config(mock)) as running:
        yield running


def totals(mock: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{mock}/_mock/ledger?limit=1", timeout=PATIENCE) as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def test_every_sdk_makes_a_whole_and_a_streamed_call(portico: RunningPortico, mock: str):
    for caller in CALLERS.values():
        whole, streamed = (
            caller.call(portico.url, KEY, caller.model, "Say hello. [mock tokens=9]", stream)
            for stream in (False, True)
        )
        assert tokens(whole) == 9
        assert streamed == whole
    counted = totals(mock)["totals"]
    assert counted["served"] == counted["calls"] == 2 * len(CALLERS)
    for place in range(2 * len(CALLERS)):
        portico.records.wait_for('"usage"', after=place)
    records = [json.loads(line) for line in portico.records.lines]
    assert sum(record["usage"]["output"] for record in records) == counted["output"]
    assert sum(record["usage"]["input"] for record in records) == counted["input"]
    assert {record["basis"] for record in records} == {"reported"}
    assert {record["status"] for record in records} == {200}
