"""What was compiled passes the tests that the source passes: some of them here, all of them in the long proof."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from hatch_build import ROOT

UV = Path(sys.executable).parent / "uv"
SOME = [
    "tests/e2e/test_openai.py",
    "tests/e2e/test_anthropic.py",
    "tests/gateway/test_garbage.py",
    "tests/gateway/test_hang_ups.py",
    "tests/gateway/test_whatever_happens.py",
    "tests/money/test_concurrency.py",
    "tests/money/test_crash.py",
    "tests/state",
]

pytestmark = [
    pytest.mark.xdist_group("compiled"),  # it is compiled once
    pytest.mark.timeout(7200),
    pytest.mark.skipif(
        shutil.which("cc") is None or not (Path(sysconfig.get_path("include")) / "Python.h").exists(),
        reason="no C compiler, or no headers of this Python: nothing can be compiled",
    ),
    pytest.mark.skipif(not UV.exists(), reason="no uv beside this Python, which `make` installs"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, its data path compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    terms = ["--wheel", "--no-build-isolation", "--offline", "--python", sys.executable, "--out-dir", str(folder)]
    _run([UV, "build", *terms, str(ROOT)], PORTICO_COMPILED="1")
    wheel = next(folder.glob("*.whl"))
    _run([UV, "pip", "install", "--no-deps", "--python", sys.executable, "--target", str(folder / "made"), str(wheel)])
    return folder / "made"


def _run(command: list[object], **environ: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def test_what_was_compiled_says_so_and_passes_tests_of_the_source(library):
    said = _run([sys.executable, "-P", "-m", "portico", "version", "--json"], PYTHONPATH=str(library))
    assert '"compiled": true' in said
    _pass(library, [*SOME, "-m", "not prove and not source"])


@pytest.mark.prove
def test_what_was_compiled_passes_all_tests_of_the_source(library):
    _pass(library, ["tests", "--ignore", "tests/compiled", "-m", "not prove and not source", "-n", "2"])


def _pass(library: Path, chosen: list[str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]
    said = _run(command, PYTHONPATH=str(library), PYTEST_XDIST_WORKER="", PYTEST_ADDOPTS="")
    assert " passed" in said
