"""The commands over the admin API, against control on a unix socket as it runs beside a gateway."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import uvicorn
from click.testing import CliRunner, Result

from portico.cli import jobs, portico, shadows
from portico.cli.admin_show import dollars
from portico.config.load import load_plain
from portico.control import jobs as listed
from portico.control.admin import Admin
from portico.control.app import make_app
from portico.jobs import FOLLOWED
from portico.record import Record
from portico.store.engine import make_engine
from portico.store.entities.sealing import sealer
from portico.store.migrate import upgrade
from portico.types import Usage
from store.filled import fill, piece

MASTER = "sk-portico-the-master-key-of-the-tests"
SECRET = bytes(32)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("data")
    engine = make_engine(f"sqlite:///{folder}/portico.db")
    upgrade(engine)
    config = load_plain({"server": {"master_key": MASTER}}, {}).config
    admin = Admin(engine, config=config, secret=SECRET, sealer=sealer({}, SECRET), now_ms=lambda: 1_800_000_000_000)
    (folder / "master_key").write_text(MASTER + "\n")
    here = os.getcwd()
    os.chdir(folder)  # the path of a socket is short
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("control.sock")
    os.chdir(here)
    listening.listen()
    server = uvicorn.Server(uvicorn.Config(make_app(admin), lifespan="off", log_config=None, ws="none", http="h11"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield folder
    server.should_exit = True
    thread.join()
    listening.close()
    engine.dispose()


@pytest.fixture
def run(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("PORTICO_MASTER_KEY", "PORTICO_KEY", "PORTICO_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(data_dir)
    monkeypatch.setenv("PORTICO_DATA_DIR", ".")

    def do(*words: str) -> Result:
        return CliRunner().invoke(portico, list(words))

    return do


def test_a_key_is_made_shown_once_listed_and_removed(run: Any) -> None:
    assert run("teams", "create", "core", "--budget", "500usd/month").output == "core\n"
    made = run("keys", "create", "--name", "web", "--team", "core", "--limit", "100requests/minute", "--json")
    assert made.exit_code == 0, made.output
    key = json.loads(made.stdout)
    assert key["key"].startswith("sk-portico-")
    listed = run("keys", "list", "--team", "core")
    assert key["key"] not in listed.output
    head, row = listed.output.splitlines()
    assert head.split() == ["ID", "NAME", "KEY", "TEAM", "BOUNDS"]
    assert row.split()[:2] == [key["id"], "web"]
    assert "100 requests/minute" in row
    shown = run("keys", "show", key["id"])
    assert "team:core/budget/cost/month" in shown.output
    renewed = run("keys", "rotate", key["id"], "--grace", "1h")
    assert renewed.stdout.startswith("sk-portico-")
    assert renewed.stdout.strip() != key["key"]
    assert run("keys", "block", key["id"]).exit_code == 0
    assert json.loads(run("keys", "show", key["id"], "--json").stdout)["blocked"] is True
    assert run("keys", "delete", key["id"], "--yes").exit_code == 0
    assert run("keys", "show", key["id"]).exit_code == 4


def test_budgets_and_members_are_made_and_shown(run: Any) -> None:
    run("teams", "create", "ops")
    made = run("budgets", "create", "2usd/day", "--for", "team=ops", "--each", "customer")
    assert made.exit_code == 0, made.output
    assert "team=ops" in run("budgets", "list").output
    assert "cost/day" in run("budgets", "usage", "team", "ops").output
    assert "$2.00" in run("budgets", "usage", "team", "ops").output
    assert run("budgets", "delete", made.output.strip(), "--yes").exit_code == 0
    assert run("teams", "add", "ops", "nobody").exit_code == 4
    assert "Nobody is in this team." in run("teams", "members", "ops").stderr


def test_logs_and_spend_say_that_there_is_nothing(run: Any) -> None:
    assert "No call is recorded" in run("logs").stderr
    assert json.loads(run("logs", "--json").stdout) == []
    assert "No call was recorded" in run("spend", "--by", "team").stderr
    assert json.loads(run("spend", "--json").stdout)["total"]["requests"] == 0
    assert run("logs", "no-such-call").exit_code == 4


def test_changes_are_listed_and_their_chain_is_checked(run: Any) -> None:
    run("teams", "create", "noted")
    assert run("audit", "list", "--kind", "team", "--object", "noted").output.splitlines()[1].split()[-3:] == [
        "create",
        "team",
        "noted",
    ]
    checked = run("audit", "verify")
    assert checked.exit_code == 0
    assert "the chain holds" in checked.output


def test_what_the_api_refuses_is_said_with_its_field(run: Any) -> None:
    refused = run("keys", "create", "--team", "nothing")
    assert (refused.exit_code, refused.stderr) == (4, "portico: team: there is no team 'nothing'\n")


@pytest.mark.parametrize(
    "words", [("budgets", "create", "much"), ("spend", "--of", "team"), ("keys", "rotate", "k", "--grace", "soon")]
)
def test_what_cannot_be_read_is_a_wrong_command_line(run: Any, words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2


def test_no_gateway_is_said_plainly(run: Any, tmp_path: Path) -> None:
    away = run("keys", "list", "--data-dir", str(tmp_path))
    assert away.exit_code == 1
    assert "cannot be reached" in away.stderr


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "$0.00"), (1, "$0.000000001"), (1_500_000_000, "$1.50"), (1_234_567_000_000_000, "$1,234,567.00"), (None, "")],
)
def test_money_is_written_out_exactly(nano: int | None, text: str) -> None:
    assert dollars(nano) == text


def test_copies_are_listed_and_where_there_are_none_it_says_so(run: Any) -> None:
    empty = run("shadows", "--model", "smart")
    assert (empty.exit_code, empty.output) == (0, "No call was copied in that time.\n")
    assert json.loads(run("shadows", "--json").stdout)["items"] == []


def test_a_row_of_copies_says_how_often_both_agree_and_what_they_cost() -> None:
    side = {"cost_nano_usd": 3_000_000_000, "total_us_p95": 1_234_567}
    other = {"cost_nano_usd": None, "total_us_p95": None}
    item = {
        "model": "smart", "target": "one/m", "shadow": "two/m", "copies": 1200, "served": 1100, "compared": 1000,
        "same_finish": 995, "same_calls": 0, "caller": side, "copy": other,
    }  # fmt: skip
    shown = ["smart", "one/m", "two/m", "1,200", "100", "99.5%", "0.0%", "$3.00", "", "1,235 ms", ""]
    assert [text(item) for _, text in shadows.COLUMNS] == shown


def test_jobs_are_listed_and_where_there_are_none_it_says_so(run: Any) -> None:
    empty = run("jobs", "--state", "going", "--team", "red")
    assert (empty.exit_code, empty.output) == (0, "There is no job that fits.\n")
    assert json.loads(run("jobs", "--json").stdout) == []
    assert run("jobs", "--state", "asleep").exit_code == 2


def test_the_states_and_families_of_jobs_are_those_of_the_api() -> None:
    assert (get_args(listed.State), get_args(listed.Family)) == (jobs.STATES, jobs.FAMILIES)
    assert set(jobs.FAMILIES) == FOLLOWED


def test_a_row_of_jobs_says_what_it_holds_or_what_it_cost() -> None:
    item = {
        "id": "call", "state": "completed", "family": "batches", "name": "batch_1", "key": "k", "target": "one/m",
        "started_at": "2027-01-15T07:00:00Z", "ended_at": "2027-01-15T08:01:00Z", "cost_nano_usd": 1_500_000_000,
    }  # fmt: skip
    shown = ["2027-01-15 07:00", "completed", "batches", "batch_1", "k", "", "one/m", "", "$1.50", "2027-01-15 08:01"]
    assert [text(item) for _, text in jobs.COLUMNS] == [*shown, "call"]


def test_the_records_of_a_gateway_are_planned_anew(run: Any, data_dir: Path) -> None:
    (data_dir / "new.json").write_text(json.dumps({"providers": {"openai": {"api_key": "sk-0123456789"}}}))
    found = run("replay", "--config", "new.json", "--since", "2026-01-01T00:00:00Z")
    assert found.exit_code == 0, found.output
    assert found.output.startswith("0 calls planned anew")
    assert run("replay", "--config", "new.json", "--from", "new.json", "--since", "2026-01-01").exit_code == 2


@pytest.mark.parametrize(
    ("kept", "given", "code", "says"),
    [
        (None, None, 4, "give --key, or set PORTICO_KEY or PORTICO_MASTER_KEY"),
        (None, "sk-of-nobody-0123456789", 4, "is not one of this gateway's"),
        (MASTER, None, 0, ""),
        (None, MASTER, 0, ""),
    ],
)
def test_who_has_no_key_is_told_how_to_give_one(
    run: Any, data_dir: Path, tmp_path: Path, kept: str | None, given: str | None, code: int, says: str
) -> None:
    os.symlink(data_dir / "control.sock", tmp_path / "control.sock")
    os.chdir(tmp_path)
    if kept is not None:
        (tmp_path / "master_key").write_text(kept)
    done = run("keys", "list", *(() if given is None else ("--key", given)))
    assert done.exit_code == code, done.output
    assert says in done.output


def test_what_a_job_used_is_shown_though_it_is_no_call(run: Any, data_dir: Path) -> None:
    job = Record(
        id="one-job",
        time_ms=1_799_999_000_000,
        key="k",
        operation="batches_job",
        model="smart",
        target="openai/gpt-5.5",
        status=200,
        stream=False,
        attempts=[],
        usage=Usage(input=1_000, cache_read=200, output=30, reasoning=4, tool_uses=7, file_searches=5, code_sessions=2),
        cost_nano_usd=5_000_000,
        basis="reported",
        first_byte_us=None,
        total_us=0,
        overhead_us=0,
        job="batch_1",
    )
    engine = make_engine(f"sqlite:///{data_dir}/portico.db")
    fill(engine, piece([job]))
    engine.dispose()
    spent = run("spend", "--of", "operation=batches_job")
    assert spent.exit_code == 0, spent.output
    assert spent.stdout.splitlines()[1].split()[-4:] == ["1,200", "34", "$0.005", "$0.005"]
    heads, row = (line.split() for line in run("logs", "--model", "smart").stdout.splitlines())
    assert row[heads.index("TOKENS")] == "1,234", row
