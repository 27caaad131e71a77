"""Where a setting comes from: flags win over variables, those over the file, that over the default."""

import argparse
import json
import stat

import pytest

from portico.config.handover import decode
from portico.errors import ConfigError
from portico.supervisor import CannotStart
from portico.supervisor.resolve import cores, default_data_dir, find, master_key


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Return the plan for flags, variables and a file."""
    monkeypatch.chdir(tmp_path)

    def find_plan(flags=None, environ=None, file=None):
        options = dict.fromkeys(("config", "host", "port", "workers", "data_dir"))
        options |= {"data_dir": str(tmp_path / "data")} | (flags or {})
        if file is not None:
            (tmp_path / "portico.yaml").write_text(json.dumps(file))
        return find(argparse.Namespace(**options), environ or {}).plan

    return find_plan


@pytest.mark.parametrize(
    ("flag", "variable", "file", "port"),
    [
        ("1111", "2222", 3333, 1111),
        (None, "2222", 3333, 2222),
        (None, None, 3333, 3333),
        (None, None, None, 4000),
        ("0", "2222", 3333, 0),
    ],
)
def test_the_port(found, flag, variable, file, port):
    environ = {} if variable is None else {"PORTICO_PORT": variable}
    assert found({"port": flag}, environ, {"server": {"port": file}} if file else {}).port == port


def test_a_file_here_is_found_and_a_variable_names_another(found, tmp_path):
    assert found(file={"server": {"port": 3333}}).source == "portico.yaml"
    (tmp_path / "other.yaml").write_text(json.dumps({"server": {"port": 4444}}))
    assert found(environ={"PORTICO_CONFIG": "other.yaml"}).port == 4444
    assert found({"config": "other.yaml"}, {"PORTICO_CONFIG": "portico.yaml"}).port == 4444


@pytest.mark.parametrize("workers", ["many", "0", "-1", "1.5", "100000"])
def test_a_wrong_number_of_workers_is_refused(found, workers):
    with pytest.raises(ConfigError, match="PORTICO_WORKERS"):
        found(environ={"PORTICO_WORKERS": workers})


def test_without_a_file_providers_are_found_in_the_environment(found):
    plan = found(environ={"OPENAI_API_KEY": "sk-some-key-of-openai"})
    assert plan.source is None
    assert "openai" in plan.providers


@pytest.mark.parametrize(
    ("environ", "configured", "key", "where"),
    [
        ({"PORTICO_MASTER_KEY": "from-environment"}, "from-file", "from-environment", "environment"),
        ({}, "from-file", "from-file", "configuration"),
    ],
)
def test_a_given_master_key_wins_over_a_made_one(found, tmp_path, environ, configured, key, where):
    plan = found(environ=environ, file={"server": {"master_key": configured}})
    assert decode(plan.config).server.master_key == key
    assert (plan.key_from, plan.made_key) == (where, None)
    assert not (tmp_path / "data").exists()


def test_a_master_key_is_made_once_for_its_owner_only(tmp_path):
    key, where, made = master_key(None, {}, tmp_path / "new")
    assert (where, made) == ("made", True)
    assert master_key(None, {}, tmp_path / "new") == (key, "data directory", False)
    assert stat.S_IMODE((tmp_path / "new" / "master_key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["master_key"]


def test_an_empty_key_is_not_a_key(tmp_path):
    (tmp_path / "master_key").write_text("\n")
    with pytest.raises(CannotStart, match="is empty"):
        master_key(None, {}, tmp_path)


def test_the_data_directory_is_in_the_users_folder():
    assert default_data_dir({"XDG_DATA_HOME": "/srv/shared"}) == "/srv/shared/portico"


def test_there_is_at_least_one_core():
    assert cores() >= 1
