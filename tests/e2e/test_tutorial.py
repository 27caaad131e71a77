"""The tutorial is run as it stands: its configuration, and its programs in Python, Node and the shell."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.nodes import FOLDER, install

from portico.testing import HostedMock
from portico.testing.running import RunningPortico, running_portico

pytestmark = [pytest.mark.xdist_group("e2e-node"), pytest.mark.timeout(180)]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tutorial.md").read_text()
BLOCKS = re.findall(r"^### ([^\n]+)\n(?:(?!^#).*\n)*?^```(\w+)\n((?:(?!^```).*\n)*)^```$", PAGE, re.MULTILINE)
PYTHON = {title: code for title, kind, code in BLOCKS if kind == "python"}
PYTHON["what it cost"] = re.findall(r"^```python\n((?:(?!^```).*\n)*)^```$", PAGE, re.MULTILINE)[-1]
OPERATIONS = {
    "OpenAI, Python": ["chat", "chat"],
    "Anthropic": ["messages", "messages"],
    "Google": ["generate_content", "stream_generate_content"],
    "AWS": ["converse", "converse_stream"],
    "Cohere": ["cohere_chat", "cohere_chat"],
    "what it cost": ["chat"],
}


@pytest.fixture(scope="module")
def tutorial() -> Iterator[tuple[RunningPortico, HostedMock]]:
    """A Portico by the page's configuration; only the mock's port is another one."""
    (config,) = re.findall(r"^```yaml\n((?:(?!^```).*\n)*)^```$", PAGE, re.MULTILINE)
    with HostedMock(keys=["any"]) as mock:
        config, count = re.subn("http://127.0.0.1:9999", mock.url, config)
        assert count == 5
        with running_portico(config, arguments=("--workers", "1")) as portico:
            yield portico, mock


def run(command: list[str], tutorial: tuple[RunningPortico, HostedMock]) -> tuple[str, list[str]]:
    """Run a program with the two variables; return what it printed and the operations that reached the mock."""
    portico, mock = tutorial
    mock.idle()
    mock.mock.reset()
    home = str(portico.data_dir.parent)
    environ = {"PATH": "/usr/bin:/bin", "HOME": home, "PORTICO_URL": portico.url, "PORTICO_KEY": portico.master_key}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    mock.idle()
    assert {entry.outcome for entry in mock.ledger.entries} == {"served"}
    return done.stdout, [entry.operation for entry in mock.ledger.entries]


def test_the_page_has_a_program_for_every_sdk():
    assert list(PYTHON) == list(OPERATIONS)
    assert [(title, kind) for title, kind, _ in BLOCKS if kind != "python"] == [("curl", "sh"), ("OpenAI, Node", "js")]


@pytest.mark.parametrize("title", OPERATIONS)
def test_a_python_program_works_as_it_stands(tutorial, title):
    said, operations = run([sys.executable, "-c", PYTHON[title]], tutorial)
    assert operations == OPERATIONS[title]
    if title == "what it cost":
        names = {line.partition(" ")[0] for line in said.splitlines()}
        assert names == {f"x-portico-{name}" for name in ("target", "attempts", "cost-usd", "overhead-us")}
        return
    whole, streamed = said.splitlines()
    assert whole == streamed != ""


def test_the_node_program_works_as_it_stands(tutorial):
    node = install()
    script = FOLDER / "tutorial.mjs"
    script.write_text(next(code for _, kind, code in BLOCKS if kind == "js"))
    said, operations = run([node.program, str(script)], tutorial)
    whole, streamed = said.splitlines()
    assert whole == streamed != ""
    assert operations == ["chat", "chat"]


def test_the_call_with_curl_works_as_it_stands(tutorial):
    if shutil.which("curl", path="/usr/bin:/bin") is None:
        pytest.skip("curl is not installed")
    said, operations = run(["/bin/sh", "-c", next(code for _, kind, code in BLOCKS if kind == "sh")], tutorial)
    assert said.startswith("data: ")
    assert said.rstrip().endswith("data: [DONE]")
    assert operations == ["chat"]


def test_the_name_of_ones_own_is_served(tutorial):
    portico, mock = tutorial
    mock.mock.reset()
    body = {"model": "smart", "messages": [{"role": "user", "content": "Say hello."}]}
    status, headers, _ = portico.request("POST", "/v1/chat/completions", body, key=portico.master_key)
    assert (status, headers["x-portico-target"]) == (200, "openai/gpt-5.5")


def test_every_page_that_it_names_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (Path(__file__).resolve().parents[2] / "docs" / target).exists(), target
