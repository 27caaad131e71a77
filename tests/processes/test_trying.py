"""Canaries, copies and replays with whole processes: workers decide together, restarts keep it, people are told."""

import json
import os
import signal

from click.testing import CliRunner

from portico.cli import portico as command
from portico.testing.running import eventually, running_portico

NOBODY = "http://127.0.0.1:9/v1"  # the port of what discards everything: nobody listens there


def config(held, model):
    plain = held.config()
    [name] = plain["providers"]
    plain["providers"]["nobody"] = {**plain["providers"][name], "base_url": NOBODY}
    plain["prices"] = {f"{name}/m": {"input": 1, "output": 1}}
    plain["models"] = {"smart": {"targets": [f"{name}/m"], **model(name)}}
    return plain


def asked(portico, **more):
    body = {"model": "smart", "messages": [{"role": "user", "content": "Hello"}], **more}
    return portico.request("POST", "/v1/chat/completions", body, key=portico.master_key)


def read(portico, path, body=None):
    status, _, reply = portico.request(
        "GET" if body is None else "POST", f"/api/v1/{path}", body, key=portico.master_key
    )
    assert status == 200, reply
    return json.loads(reply)


def canary_of(portico):
    return read(portico, "explain", {"body": {"model": "smart"}})["plan"]["canaries"][0]


def test_workers_take_a_canary_back_together_and_a_new_one_knows_it(held):
    plain = config(held, lambda _: {"canary": {"to": "nobody/m", "steps": [0.5, 1]}})
    with running_portico(plain) as portico:

        def taken_back():
            # On connections of their own, calls come to both workers.
            assert asked(portico)[0] == 200
            return canary_of(portico)["state"] == "back"

        eventually(taken_back, "the canary is taken back")
        assert canary_of(portico)["failed"] >= 3
        [event] = eventually(
            lambda: read(portico, "events?name=canary.taken_back")["items"], "the event is in the store"
        )
        assert (event["about"]["model"], event["about"]["to"], event["about"]["share"]) == ("smart", "nobody/m", 0.0)
        first, second = portico.workers()
        os.kill(first, signal.SIGKILL)
        os.kill(second, signal.SIGKILL)
        eventually(lambda: len({*portico.workers()} - {first, second}) == 2, "both workers are replaced")
        for _ in range(20):
            status, headers, _ = asked(portico)
            assert (status, headers["x-portico-attempts"]) == (200, "1")


def test_a_copy_is_in_the_store_beside_its_call_and_its_budget_is_charged(held):
    def model(name):
        return {"shadow": {"to": f"{name}/other", "share": 1, "team": "trials"}}

    plain = config(held, model)
    [name] = [provider for provider in plain["providers"] if provider != "nobody"]
    plain["prices"][f"{name}/other"] = {"input": 10, "output": 10}
    plain["teams"] = {"trials": {"budgets": [{"usd": 1}]}}
    with running_portico(plain) as portico:
        _, headers, _ = asked(portico, max_tokens=20)
        call = headers["x-request-id"]
        [item] = eventually(lambda: read(portico, "shadows")["items"], "the copy is in the store")
        assert (item["model"], item["copies"], item["compared"]) == ("smart", 1, 1)
        assert item["copy"]["cost_nano_usd"] == 10 * item["caller"]["cost_nano_usd"]
        record = read(portico, f"records/{call}-shadow")
        assert (record["shadow_of"], record["key"], record["team"]) == (call, "shadow", "trials")
        used = eventually(lambda: read(portico, "spend?by=team")["by"], "it is summed up")
        assert [share["value"] for share in used] == ["trials"]


def test_what_a_gateway_recorded_is_planned_anew(held, tmp_path):
    plain = config(held, lambda _: {})
    plain["models"]["smart"]["targets"].insert(0, "nobody/m")
    new = config(held, lambda _: {})
    (tmp_path / "new.json").write_text(json.dumps(new))
    with running_portico(plain) as portico:
        for _ in range(3):
            assert asked(portico)[0] == 200
        eventually(lambda: len(read(portico, "records")["items"]) == 3, "all records are in the store")
        said = ["replay", "--config", str(tmp_path / "new.json"), "--url", portico.url, "--key", portico.master_key]
        found = CliRunner().invoke(command, [*said, "--json"])
        lines = tmp_path / "records.jsonl"
        lines.write_text("\n".join(portico.records.lines))
    assert found.exit_code == 0, found.output
    report = json.loads(found.output)
    # What is written to standard output says the same.
    again = CliRunner().invoke(command, [*said[:3], "--from", str(lines), "--json"])
    assert json.loads(again.output) == report
    assert (report["calls"], report["moved"], report["cost"]["calls"]) == (3, 0, 3)
    assert report["cost"]["before_nano_usd"] == report["cost"]["after_nano_usd"] > 0
