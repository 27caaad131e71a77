"""The command line: help that loads nothing, and exit codes."""

import importlib.util
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from portico.cli import COMMANDS, portico


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(portico, list(arguments), prog_name="portico")


def test_help_lists_every_command_with_its_line(run):
    result = run("--help")
    assert result.exit_code == 0
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in result.output
        assert line in result.output


def test_help_imports_no_command():
    program = (
        "import sys\nsys.argv = ['portico', '--help']\nfrom portico.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print(sorted(name for name in sys.modules if name.startswith('portico.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "['portico.cli']"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_has_help(run, name):
    assert importlib.util.find_spec(COMMANDS[name][0]) is not None
    result = run(name, "--help")
    assert result.exit_code == 0, result.output
    assert f"Usage: portico {name}" in result.output


@pytest.mark.parametrize(
    "arguments", [["serv"], ["serve", "--prot", "1"], ["serve", "--port", "99999"], ["serve", "--workers", "many"]]
)
def test_a_wrong_command_line_is_told_with_exit_code_2(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Error" in result.output


def test_the_version_is_told_for_people_and_for_programs(run):
    assert run("version").output.startswith("portico ")
    assert json.loads(run("version", "--json").output)["portico"] == run("--version").output.split()[1]
