"""The first start there is: an empty home, one provider's key in the environment, no configuration."""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest

from portico.testing.running import PATIENCE, RunningPortico

pytestmark = pytest.mark.xdist_group("e2e-targets")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[RunningPortico]:
    """`portico serve` with nothing but a key and, as every test, a port that is free."""
    home = tmp_path / "home"
    home.mkdir()
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "portico", "serve"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "OPENAI_API_KEY": "sk-made-up", "PORTICO_PORT": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    portico = RunningPortico(process, None, home / ".local" / "share" / "portico")
    portico.began = began
    try:
        portico.url = portico.errors.wait_for("serves at").rpartition(" ")[2]
        yield portico
    finally:
        portico.end()


def until_ready(portico: RunningPortico) -> float:
    """Return the seconds from the start of the command to the first answer that says it is ready."""
    until = time.monotonic() + PATIENCE
    while portico.request("GET", "/readyz")[0] != 200:
        assert time.monotonic() < until, "it never became ready"
        time.sleep(0.005)
    return time.perf_counter() - portico.began


def test_it_serves_what_it_found(serve: RunningPortico, record_property: Callable[[str, object], None]):
    record_property("seconds_to_ready", round(until_ready(serve), 3))
    said = "\n".join(serve.errors.lines)
    serve.errors.wait_for("Try it")
    said = "\n".join(serve.errors.lines)
    assert "openai" in said
    assert str(serve.data_dir / "master_key") in said
    assert serve.master_key not in said
    assert "sk-made-up" not in said
    assert stat.S_IMODE((serve.data_dir / "master_key").stat().st_mode) == 0o600
    with openai.OpenAI(base_url=f"{serve.url}/v1", api_key=serve.master_key, max_retries=0) as client:
        assert "openai/gpt-5.5" in {model.id for model in client.models.list()}
    assert json.loads(serve.request("GET", "/api/v1/health")[2])["status"] == "ok"
