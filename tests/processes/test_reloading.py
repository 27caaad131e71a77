"""A new configuration takes effect without a failed call, a bad one takes none."""

import json
import os
import signal

import pytest

from portico.testing.running import eventually, running_portico


def names(portico):
    """Return the models that a worker serves."""
    listed = json.loads(portico.request("GET", "/v1/models", key=portico.master_key)[2])
    return {model["id"] for model in listed["data"]}


def version(portico):
    return json.loads(portico.request("GET", "/readyz")[2])["configuration"]


def test_a_changed_file_takes_effect(held):
    with running_portico(held.config(models={"before": "held/m"})) as portico:
        portico.rewrite(held.config(models={"after": "held/m"}))
        portico.errors.wait_for("configuration version 2 is in force")
        for _ in range(8):  # both workers
            assert version(portico) == 2
            assert "after" in names(portico)
            assert "before" not in names(portico)


def test_a_changed_include_takes_effect_and_so_does_one_that_is_added(held, tmp_path):
    part = tmp_path / "models.yaml"
    part.write_text(json.dumps({"models": {"one": "held/m"}}))
    with running_portico(held.config(include=[str(part)])) as portico:
        part.write_text(json.dumps({"models": {"two": "held/m"}}))
        portico.errors.wait_for("configuration version 2 is in force")
        assert "two" in names(portico)


def test_a_swapped_link_takes_effect(held, tmp_path):
    """Kubernetes changes a mounted configuration by pointing a link elsewhere."""
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        config = json.dumps(held.config(models={f"name-{number}": "held/m"}))
        (tmp_path / f"v{number}" / "portico.yaml").write_text(config)
    current = tmp_path / "current"
    current.symlink_to("v1")
    with running_portico(arguments=["--workers", "1", "--config", str(current / "portico.yaml")]) as portico:
        assert "name-1" in names(portico)
        (tmp_path / "next").symlink_to("v2")
        (tmp_path / "next").rename(current)
        portico.errors.wait_for("configuration version 2 is in force")
        assert "name-2" in names(portico)


def test_a_bad_file_is_refused_with_its_line_and_the_old_one_stays(held):
    with running_portico(held.config(models={"kept": "held/m"})) as portico:
        portico.rewrite("server:\n  prot: 4000\n")
        portico.errors.wait_for("portico.yaml:2")
        portico.errors.wait_for("the configuration was refused; version 1 stays in force")
        assert version(portico) == 1
        assert "kept" in names(portico)
        portico.rewrite(held.config(models={"mended": "held/m"}))
        portico.errors.wait_for("configuration version 2 is in force")


def test_a_hang_up_reloads(held):
    with running_portico(held.config()) as portico:
        portico.process.send_signal(signal.SIGHUP)
        portico.errors.wait_for("the configuration is as it was; version 1 stays in force")


def test_a_setting_that_takes_a_restart_is_named_and_the_rest_takes_effect(held):
    with running_portico(held.config(), arguments=["--workers", "1"]) as portico:
        portico.rewrite(held.config(server={"host": "0.0.0.0"}, models={"new": "held/m"}))
        portico.errors.wait_for("server.host changed, which takes a restart")
        portico.errors.wait_for("configuration version 2 is in force")
        assert "new" in names(portico)


def test_a_replaced_worker_has_the_configuration_in_force(held):
    with running_portico(held.config(), arguments=["--workers", "1"]) as portico:
        portico.rewrite(held.config(models={"new": "held/m"}))
        portico.errors.wait_for("configuration version 2 is in force")
        os.kill(portico.workers()[0], signal.SIGKILL)
        portico.errors.wait_for("worker 1 is back")
        assert version(portico) == 2
        assert "new" in names(portico)


def reload_under_load(held, calling, rounds):
    with running_portico(held.config()) as portico:
        callers = calling(portico)
        try:
            for number in range(2, rounds + 2):
                portico.rewrite(held.config(models={f"name-{number}": "held/m"}))
                portico.process.send_signal(signal.SIGHUP)
                portico.errors.wait_for(f"configuration version {number} is in force")
            eventually(lambda: callers.answered > 50, "calls are made meanwhile")
        finally:
            callers.done = True
            callers.join()
    assert callers.failed == []


def test_no_call_fails_while_the_configuration_changes(held, calling):
    reload_under_load(held, calling, 3)


@pytest.mark.prove
def test_no_call_fails_over_a_hundred_changes(held, calling):
    reload_under_load(held, calling, 100)
