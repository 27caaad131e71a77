"""How the subjects are set up."""

import json
import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from bench.machine import Missing
from bench.mocks import Mocks

from bench import bodies, certificates, checks, compare, machine, nginx, subjects
from portico.config.load import load
from portico.control.ingest import Ingest
from portico.journal import Event, Journal
from portico.record import Record

MOCKS = Mocks({"plain": 1001, "tls": 1002, "paced": 1003}, Path("/tmp/ca.pem"), [])


def test_porticos_configuration_is_one_it_takes_with_key_price_and_records_on(tmp_path):
    authority, *_ = certificates.make(tmp_path)
    file = tmp_path / "portico.yaml"
    file.write_text(subjects.portico_config(Mocks(MOCKS.ports, authority, []), 4999, tmp_path))
    config = load(file, {}).config
    assert config.server.workers == 1
    assert config.server.port == 4999
    assert config.keys["bench"].key == subjects.KEY
    assert config.logs.calls == "none"
    assert config.keys["bench"].models == ("bench-*",)
    for upstream in nginx.UPSTREAMS:
        assert config.providers[upstream].base_url == MOCKS.base(upstream)
        assert config.prices[f"{upstream}/gpt-4o-mini"].input > 0
        assert [target.model for target in config.models[f"bench-{upstream}"].targets] == [f"{upstream}/gpt-4o-mini"]


def test_the_certificate_is_trusted_through_its_authority_for_both_names(tmp_path):
    authority, certificate, key = certificates.make(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    for name in ("localhost", "127.0.0.1"):
        calling = ssl.create_default_context(cafile=str(authority))
        to_server, to_caller = ssl.MemoryBIO(), ssl.MemoryBIO()
        caller = calling.wrap_bio(to_caller, to_server, server_hostname=name)
        server = serving.wrap_bio(to_server, to_caller, server_side=True)
        for side in (caller, server, caller, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        assert caller.getpeercert()["subject"] == ((("commonName", "localhost"),),)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_takes_both_configurations(tmp_path):
    authority, certificate, key = certificates.make(tmp_path)
    routes = {"plain": (18001, 1001), "tls": (18002, 1002), "paced": (18003, 1003)}
    for name, config in (
        ("mock", nginx.mock(tmp_path, 18004, 18005, certificate, key)),
        ("proxy", nginx.proxy(tmp_path, routes, authority)),
    ):
        file = tmp_path / f"{name}.conf"
        file.write_text(config)
        done = subprocess.run(["nginx", "-t", "-p", str(tmp_path), "-c", str(file)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


REPLY = json.loads(bodies.REPLY)


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        (REPLY, True),
        (REPLY | {"more": 1}, True),
        (
            {
                "choices": REPLY["choices"],
                "usage": {"prompt_tokens": 190, "completion_tokens": 60, "total_tokens": 250},
            },
            False,
        ),
        (REPLY | {"usage": REPLY["usage"] | {"total_tokens": 251}}, False),
        (REPLY | {"choices": []}, False),
    ],
)
def test_a_reply_must_hold_what_the_upstream_said(said, holds):
    expected = {"choices": REPLY["choices"], "usage": REPLY["usage"]} if holds else REPLY
    assert checks._holds(said, expected) is holds


def test_nulls_and_zeros_of_the_upstream_may_be_left_out():
    assert checks._holds({"a": 1}, {"a": 1, "b": None, "c": [], "d": 0})


def test_an_unknown_subject_is_refused_by_name(capsys):
    with pytest.raises(SystemExit) as ended:
        compare.main(["--only", "portico,apache"])
    assert ended.value.code == 2
    assert "apache" in capsys.readouterr().err


def test_without_its_tools_the_comparison_is_skipped_by_name(monkeypatch, capsys):
    def require(program, package):
        raise Missing(f"{program} is not installed")

    monkeypatch.setattr(machine, "require", require)
    assert compare.main(["--quick"]) == 3
    assert "SKIPPED the whole comparison: wrk is not installed" in capsys.readouterr().err


def test_the_machine_is_described():
    said = machine.described()
    assert said["cores"] == str(len(os.sched_getaffinity(0)))
    assert all(said.values())


def test_records_are_counted_in_the_journal_and_in_the_store_and_events_are_not(tmp_path):
    folder = tmp_path / "journal"
    folder.mkdir()
    journal = Journal(str(folder), "0011223344556677", reserve_bytes=65536)

    def told(*numbers: int) -> None:
        for number in numbers:
            record = Record(str(number), 0, None, "chat", None, None, 200, False, [], None, None, "none", None, 0, 0)
            journal.append(record)
        journal.note(Event("passed", 0))
        journal.flush()

    told(1, 2, 3)
    assert subjects.count_records(tmp_path) == 3
    ingest = Ingest(tmp_path)
    while ingest.turn():
        pass
    told(4, 5)
    assert subjects.count_records(tmp_path) == 5
    journal.close()
    ingest.stop()


def test_the_governed_configuration_has_five_thousand_keys_under_limits_and_budgets(tmp_path):
    file = tmp_path / "portico.yaml"
    authority, *_ = certificates.make(tmp_path)
    mocks = Mocks(MOCKS.ports, authority, [])
    file.write_text(subjects.portico_config(mocks, 4000, tmp_path / "data", governed=True, bodies="all"))
    config = load(file, {}).config
    assert len(config.keys) == subjects.GOVERNED_KEYS
    assert len(config.teams) == subjects.GOVERNED_TEAMS
    assert config.keys["key7"].key == subjects.GOVERNED_KEY % 7
    assert {len(key.limits) + len(key.budgets) for key in config.keys.values()} == {4}
    assert config.logs.bodies == "all"
