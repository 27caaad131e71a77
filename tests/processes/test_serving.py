"""A Portico as its own processes: what it says, where it answers, what it keeps to itself."""

import json
import stat
from pathlib import Path

import pytest

from portico.testing.running import running_portico


def test_the_banner_has_the_url_the_place_of_the_key_and_what_was_found(held):
    with running_portico(held.config(models={"smart": "held/m"})) as portico:
        said = "\n".join(portico.errors.lines)
        portico.errors.wait_for("Say hello.")
        said = "\n".join(portico.errors.lines)
    assert portico.url in said
    assert "held" in said
    assert "smart" in said
    assert str(portico.data_dir / "master_key") in said
    assert str(portico.config) in said


def test_a_made_key_is_not_written_to_a_log():
    with running_portico() as portico:
        portico.errors.wait_for("/v1/models")
        key = portico.master_key
        portico.stop()
    assert key not in "\n".join(portico.errors.lines + portico.records.lines)


def test_a_made_key_is_for_its_owner_only_and_is_kept():
    with running_portico() as portico:
        key = portico.master_key
        path = portico.data_dir / "master_key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(portico.data_dir.stat().st_mode) == 0o700
        assert key.startswith("sk-portico-")
        assert len(key) > 40


def test_the_gateway_is_alive_and_ready_and_names_its_configuration():
    with running_portico() as portico:
        assert portico.request("GET", "/livez")[0] == 200
        status, _, body = portico.request("GET", "/readyz")
    assert status == 200
    assert json.loads(body)["configuration"] == 1


def test_what_is_no_call_is_answered_by_control():
    with running_portico() as portico:
        status, headers, body = portico.request("GET", "/api/v1/health")
        assert status == 200
        assert json.loads(body)["status"] == "ok"
        assert json.loads(portico.request("GET", "/api/v1/version")[2])["name"] == "portico"
        status, headers, body = portico.request("GET", "/api/v1/nothing")
    assert status == 404
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["code"] == "not_found"


def test_a_call_goes_through_and_leaves_one_whole_line_on_stdout(held, ask):
    with running_portico(held.config()) as portico:
        status, _, body = portico.request("POST", "/v1/chat/completions", ask(), key=portico.master_key)
        assert status == 200, body
        assert json.loads(body)["choices"][0]["message"]["content"] == "whole"
        record = json.loads(portico.records.wait_for("held"))
    assert isinstance(record, dict)


def test_no_secret_is_on_a_command_line(held):
    config = held.config(server={"master_key": "sk-configured-master-key-1"})
    with running_portico(config) as portico:
        pids = [portico.pid, *portico.workers(), portico.control()]
        shown = b"".join(Path(f"/proc/{pid}/{what}").read_bytes() for pid in pids for what in ("cmdline", "environ"))
    assert len(pids) == 4
    assert b"sk-" not in shown


@pytest.mark.parametrize(
    ("arguments", "environ", "workers"),
    [
        ([], {"PORTICO_WORKERS": "1"}, 1),
        (["--workers", "2"], {"PORTICO_WORKERS": "1"}, 2),
        ([], {}, 3),
    ],
)
def test_flags_win_over_variables_and_variables_over_the_file(arguments, environ, workers):
    with running_portico({"server": {"workers": 3}}, arguments=arguments, **environ) as portico:
        assert len(portico.workers()) == workers


def test_all_processes_together_stay_small(held):
    """Two workers, idle: the resident memory of all processes in KB, with shared pages counted in each."""
    with running_portico(held.config()):
        pass  # compiles what was never imported before, which takes memory that later starts do not
    with running_portico(held.config()) as portico:
        assert portico.request("GET", "/api/v1/health")[0] == 200
        pids = [portico.pid, *portico.workers(), portico.control()]
        resident = 0
        for pid in pids:
            status = Path(f"/proc/{pid}/status").read_text()
            resident += int(status.partition("VmRSS:")[2].split()[0])
    assert len(pids) == 4
    assert resident < 110_000
