"""Pages, help and messages name what is there: files, commands and their options, and settings that are read."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from portico.cli import portico
from portico.config.load import load
from portico.config.problems import RejectedConfigError

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/**/*.md")])
CODE = sorted(ROOT.glob("src/portico/**/*.py"))
FILES = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("[a-z]*/**/*.*")}

LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
FILE = re.compile(r"`([a-z_/]+\.(?:py|toml))`")
CALL = re.compile(r"(?<![\w/.-])portico ((?:[a-z]+ ?)+)([^`\n|\"']*)")
YAML = re.compile(r"```yaml\n(.*?)```", re.S)
ELSEWHERE = re.compile(r"^(no|nothing) (\w+ )?is called|^the secret's file .* cannot be read")
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def commands(text: str) -> Iterator[tuple[str, click.Command, str]]:
    """Yield each call of a command in a text: as it stands there, its command, and what follows that."""
    for call in CALL.finditer(text.replace("\\\n", " ")):
        found: click.Command = portico
        for word in call[1].split():
            if not isinstance(found, click.Group) or (inner := found.get_command(click.Context(found), word)) is None:
                break
            found = inner
        if found is not portico:
            yield call[0], found, call[2]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_links_to_what_is_there(page: Path) -> None:
    assert [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_a_page_names_files_that_are_there(page: Path) -> None:
    named = set(FILE.findall(page.read_text()))
    assert [file for file in named if not any(f"/{there}".endswith(f"/{file}") for there in FILES)] == []


@pytest.mark.parametrize("source", [*PAGES, *(path for path in CODE if "portico " in path.read_text())], ids=name)
def test_a_command_is_shown_with_options_that_it_has(source: Path) -> None:
    for shown, command, rest in commands(source.read_text()):
        has = {"--help", *(option for each in command.params for option in (*each.opts, *each.secondary_opts))}
        assert set(OPTION.findall(rest)) <= has, shown


class Environment(dict[str, str]):
    """Every variable is set, each to a value of its own that may be a port too."""

    def __missing__(self, name: str) -> str:
        return f"{len(name)}{sum(map(ord, name)):03}"

    def get(self, name: str, default: object = None) -> str:  # type: ignore[override]  # all are there
        return self[name]

    def __contains__(self, name: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("page", "block"),
    [
        (page, block)
        for page in PAGES
        for block in YAML.findall(page.read_text())
        if "containers:" not in block  # Kubernetes'
    ],
    ids=lambda value: name(value) if isinstance(value, Path) else "",
)
def test_a_configuration_on_a_page_is_read(page: Path, block: str, tmp_path: Path) -> None:
    """A page may show a part, which names what stands elsewhere."""
    file = tmp_path / "portico.yaml"
    file.write_text(block)
    try:
        load(file, Environment())
    except RejectedConfigError as error:
        wrong = [problem.message for problem in error.problems if not ELSEWHERE.search(problem.message)]
        assert wrong == []


def test_commands_are_found_in_pages() -> None:
    found = {" ".join(shown.split()[:2]) for page in PAGES for shown, _, _ in commands(page.read_text())}
    assert {"portico serve", "portico check", "portico mock", "portico keys"} <= found
