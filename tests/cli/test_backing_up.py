"""`portico backup` and `portico restore` say what they did, and why they do not; the how-to says what there is."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from journal.examples import OWNER, record
from portico.cli import portico
from portico.journal import Journal
from portico.store.engine import make_engine
from portico.store.migrate import upgrade

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "back-up-and-upgrade.md"
Run = Callable[..., Result]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    journal = Journal(str(folder / "journal"), OWNER)
    journal.append(record(1))
    journal.close()
    engine = make_engine(f"sqlite:///{folder}/portico.db")
    upgrade(engine)
    engine.dispose()
    return folder


@pytest.fixture
def run(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("PORTICO_DATA_DIR", str(data_dir))
    monkeypatch.delenv("PORTICO_STORE_URL", raising=False)
    return lambda *words: CliRunner().invoke(portico, list(map(str, words)))


def test_a_copy_is_made_and_put_back(run: Run, tmp_path: Path) -> None:
    made = run("backup", tmp_path / "copy")
    assert (made.exit_code, made.output) == (0, f"{tmp_path}/copy: the store, 1 segments of the journal\n")
    put = run("restore", tmp_path / "copy", "--data-dir", tmp_path / "new")
    assert (put.exit_code, put.output) == (0, f"{tmp_path}/new: 1 segments of the journal, and the store\n")
    assert (tmp_path / "new" / "portico.db").exists()
    assert not (tmp_path / "new" / "backup.json").exists()
    again = run("restore", tmp_path / "copy", "--data-dir", tmp_path / "new")
    assert again.exit_code == 2
    assert "is not empty" in again.output


def test_nothing_is_copied_into_a_directory_with_something_in_it(run: Run, data_dir: Path) -> None:
    done = run("backup", data_dir)
    assert done.exit_code == 2
    assert "is not empty" in done.output


def test_a_data_directory_that_is_not_there_is_told(run: Run, tmp_path: Path) -> None:
    done = run("backup", tmp_path / "copy", "--data-dir", tmp_path / "nowhere")
    assert done.exit_code == 2
    assert "no data directory" in done.output


def test_a_store_elsewhere_is_in_the_copy(
    run: Run, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data_dir / "portico.db").rename(tmp_path / "elsewhere.db")
    monkeypatch.setenv("PORTICO_STORE_URL", f"sqlite:///{tmp_path}/elsewhere.db")
    assert run("backup", tmp_path / "copy").exit_code == 0
    assert (tmp_path / "copy" / "portico.db").exists()


def test_a_store_on_postgresql_needs_a_command(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTICO_STORE_URL", "postgresql://portico:hunter2@db/portico")
    done = run("backup", tmp_path / "copy")
    assert done.exit_code == 2
    assert "--store-with" in done.output
    assert "hunter2" not in done.output
    assert not (tmp_path / "copy").exists()
    made = run("backup", tmp_path / "copy", "--store-with", 'echo "$PORTICO_STORE_URL" > portico.dump')
    assert made.exit_code == 0
    assert (tmp_path / "copy" / "portico.dump").read_text() == "postgresql://portico:hunter2@db/portico\n"


def test_a_journal_without_a_store_is_no_backup(run: Run, data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "portico.db").unlink()
    done = run("backup", tmp_path / "copy")
    assert done.exit_code == 2
    assert "PORTICO_STORE_URL" in done.output


def test_a_command_that_fails_leaves_no_copy_that_could_be_restored(run: Run, tmp_path: Path) -> None:
    done = run("backup", tmp_path / "copy", "--store-with", "exit 3")
    assert done.exit_code == 1
    assert "ended with 3" in done.output
    put = run("restore", tmp_path / "copy", "--data-dir", tmp_path / "new")
    assert put.exit_code == 2
    assert "broken off" in put.output


def test_the_how_to_shows_commands_that_there_are() -> None:
    shown = re.findall(r"^(portico [^\n]+?(?:\\\n[^\n]+)?)$", PAGE.read_text(), re.MULTILINE)
    assert len(shown) >= 6
    for line in shown:
        words = shlex.split(line.replace("\\\n", " "), comments=True)[1:]
        command = portico.get_command(None, words[0])  # type: ignore[attr-defined, arg-type]
        assert command is not None, line
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words[1:] if word.startswith("--")} <= known, line
