"""Secrets are planted wherever a whole Portico takes some, and looked for wherever it leaves anything."""

import base64
import contextlib
import hashlib
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from portico.control.routes import ROUTES
from portico.store.calls import Filter, each
from portico.store.engine import make_engine
from portico.store.export import write_csv, write_json_lines, write_parquet
from portico.store.tables import metadata
from portico.testing import HostedMock
from portico.testing.running import RunningPortico, eventually, running_portico
from postgresql import Cluster
from postgresql import postgres as postgres  # the fixture

PLANTED = {
    "master key": "sk-portico-PLANTED0master0key0Zq7hush9X",
    "gateway key": "sk-portico-PLANTED0gateway0key0Jx3hush4B",
    "provider key": "sk-proj-PLANTED0provider0key0Mw8hush2C",
    "provider header": "PLANTED0header0of0a0provider0Rt5hush6D",
    "key of the store": "sk-proj-PLANTED0stored0shared0Vb1hush7E",
    "renewed key of the store": "sk-proj-PLANTED0stored0renewed0Kd2hush3F",
    "team key": "sk-proj-PLANTED0stored0of0team0Py6hush8G",
    "key that is refused": "sk-proj-PLANTED0refused0upstream0Sn4hush5H",
    "brought key": "sk-PLANTED0brought0along0key0Fc9hush1J",
    "webhook": "PLANTED0webhook0token0Lg7hush6K",
    "password": "PLANTED0database0password0Ud3hush9L",
}
ENCRYPTION = hashlib.sha256(b"the key of the store that is planted").digest()
VERBOSE = """
import logging, os, sys
# All that anything here logs, and a crash in the middle of a call that names one.
logging.basicConfig(level=logging.DEBUG, format="%(name)s %(levelname)s %(message)s")
import importlib.abc, importlib.machinery
class Loaded(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "portico.calls.planning":
            return None
        sys.meta_path.remove(self)
        found = importlib.machinery.PathFinder.find_spec(name, path)
        run = found.loader.exec_module
        def exec_module(module):
            run(module)
            good = module.planned
            def planned(exchange, call, *others):
                found = good(exchange, call, *others)
                if call.model == "crash":
                    raise RuntimeError("a fault that was planted")
                return found
            module.planned = planned
        found.loader.exec_module = exec_module
        return found
sys.meta_path.insert(0, Loaded())
"""
DIALECTS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    ("/v1/responses", {"input": "Hi"}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}),
    ("/v1beta/models/MODEL:generateContent", {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}),
    ("/model/MODEL/converse", {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}),
    ("/v2/chat", {"messages": [{"role": "user", "content": "Hi"}]}),
    ("/openai/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
]


def forms(secret: str) -> Iterator[bytes]:
    """Yield the ways in which a secret might stand somewhere: as it is, most of it, encoded."""
    plain = secret.encode()
    yield plain
    yield plain[len(plain) // 3 : -5]
    yield plain.hex().encode()
    yield base64.b64encode(plain)[4:-4]
    yield urllib.parse.quote(secret, safe="").encode()
    yield repr(list(plain)).encode()


class Seen:
    """All that came out, by where it came out."""

    def __init__(self) -> None:
        self.places: dict[str, list[bytes]] = {}

    def add(self, place: str, *what: bytes | str) -> None:
        self.places.setdefault(place, []).extend(one.encode() if isinstance(one, str) else one for one in what)

    def found(self) -> list[str]:
        """Return each secret with the place where it stands."""
        secrets = {**PLANTED, "encryption key": ENCRYPTION.hex()}
        leaks = []
        for place, held in self.places.items():
            whole = b"\n".join(held)
            for name, secret in secrets.items():
                for form in forms(secret):
                    if (at := whole.find(form)) >= 0:
                        leaks.append(f"the {name} stands in the {place}: {whole[max(0, at - 60) : at + 60]!r}")
                        break
            if ENCRYPTION in whole or base64.b64encode(ENCRYPTION)[:-4] in whole:
                leaks.append(f"the encryption key stands in the {place}")
        return leaks


def config(mock: HostedMock) -> dict[str, Any]:
    """Return a configuration that has a secret wherever one can be."""
    base = f"{mock.url}/v1"
    return {
        "server": {"master_key": "${PLANTED_MASTER}", "litellm_headers": True},
        "providers": {
            "openai": {
                "base_url": base,
                "api_key": PLANTED["provider key"],
                "headers": {"x-more": PLANTED["provider header"]},
            },
            "refused": {"like": "openai", "base_url": base, "api_key": PLANTED["key that is refused"]},
            "away": {"like": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": PLANTED["provider key"]},
            "theirs": {"like": "openai", "base_url": base, "team_keys": "required"},
        },
        "models": {
            "good": ["openai/plain"],
            "falls": ["away/plain", "refused/plain", "openai/plain"],
            "away": ["away/plain"],
            "refused": ["refused/plain"],
            "crash": ["openai/plain"],
        },
        "keys": {"web": {"key": PLANTED["gateway key"], "passthrough": ["*"], "budgets": [{"requests": 500}]}},
        "alerts": {"webhook": f"http://127.0.0.1:9/hook/{PLANTED['webhook']}?token={PLANTED['webhook']}"},
        "logs": {"bodies": "all"},
        "retries": {"attempts": 1},
    }


def calls(portico: RunningPortico, seen: Seen) -> None:
    """Make good and bad calls in every dialect, with keys where they belong and where they do not."""

    def call(path: str, body: Any, key: str | None = PLANTED["gateway key"], **headers: str) -> int:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **headers}
        status, found, told = portico.request("POST", path, raw, sent, key=key)
        seen.add("replies", repr(found), told)
        return status

    for path, body in DIALECTS:
        for model in ("good", "falls", "away", "refused", "theirs/plain", "nowhere/plain"):
            named = {**body, "model": model}
            call(path.replace("MODEL", urllib.parse.quote(model, safe="")), named)
            call(path.replace("MODEL", urllib.parse.quote(model, safe="")), {**named, "stream": True})
        where = path.replace("MODEL", "good")
        for wrong in (PLANTED["provider key"], PLANTED["master key"] + "x", PLANTED["webhook"]):
            assert call(where, {**body, "model": "good"}, wrong) == 401
        in_path = "MODEL" in path
        call(
            path.replace("MODEL", PLANTED["provider key"]),
            body if in_path else {**body, "model": PLANTED["provider key"]},
        )
        call(f"{where}?key={PLANTED['gateway key']}", {**body, "model": "nowhere/plain"}, None)
        call(f"{where}?key={PLANTED['provider key']}", {**body, "model": "good"}, None)
        call(where, b"{not json", **{"x-api-key": PLANTED["gateway key"]})
        call(where, {**body, "model": 5, "temperature": "hot"})
    assert call("/v1/chat/completions", {**DIALECTS[0][1], "model": "crash"}) == 500
    for path in ("/v1/nothing", f"/v1/files/{'x' * 40}", "/health", "/metrics", "/health/readiness", "/v1/models"):
        for key in (PLANTED["gateway key"], PLANTED["master key"], None):
            _, found, told = portico.request("GET", path, key=key)
            seen.add("replies", repr(found), told)
    _, found, told = portico.request("GET", f"/nothing?key={PLANTED['master key']}")
    seen.add("replies", repr(found), told)


def manage(portico: RunningPortico, seen: Seen) -> list[str]:
    """Use the admin API; return the keys that it showed, each in the one reply that may."""
    shown: list[str] = []

    def ask(method: str, path: str, body: Any = None, *, showing: str = "", **headers: str) -> Any:
        status, found, told = portico.request(method, path, body, headers, key=PLANTED["master key"])
        if showing:
            assert status < 300, told
            shown.append(json.loads(told)[showing])
            told = told.replace(shown[-1].encode(), b"")
        seen.add("replies of the admin API", repr(found), told)
        return json.loads(told) if told[:1] == b"{" else {}

    ask("POST", "/api/v1/teams", {"id": "core"})
    ask("POST", "/api/v1/keys", {"id": "team-key", "team": "core"}, showing="key")
    ask("POST", "/api/v1/keys/team-key/rotate", {"grace": 60}, showing="key")
    ask("POST", "/key/generate", {"key": PLANTED["brought key"]}, showing="key")
    ask("POST", "/key/generate", {"key": PLANTED["brought key"]})
    stored = {"provider": "openai", "secret": PLANTED["key of the store"]}
    made = ask("POST", "/api/v1/credentials", stored, **{"idempotency-key": "once"})
    ask("POST", "/api/v1/credentials", stored, **{"idempotency-key": "once"})
    ask("PUT", f"/api/v1/credentials/{made['id']}/secret", {"secret": PLANTED["renewed key of the store"]})
    for provider in ("openai", "theirs"):
        ask("POST", "/api/v1/credentials", {"provider": provider, "team": "core", "secret": PLANTED["team key"]})
    for wrong in ({"secret": [PLANTED["team key"]]}, {"secret": PLANTED["team key"], "more": PLANTED["webhook"]}):
        ask("POST", "/api/v1/credentials", {"provider": "openai", **wrong})
        ask("PUT", f"/api/v1/credentials/{made['id']}/secret", wrong)
    ask("PATCH", f"/api/v1/credentials/{made['id']}", {"secret": PLANTED["team key"]})
    ask("GET", f"/api/v1/keys/{PLANTED['gateway key']}")
    ask("GET", f"/key/info?key={PLANTED['gateway key']}")
    ask("GET", f"/key/info?key={PLANTED['provider key']}")
    ask("POST", "/key/delete", {"keys": [PLANTED["provider key"]]})
    for route in ROUTES:
        if route.method == "GET":
            ids = {"{id}": "core", "{team}": "core", "{user}": "nobody"}
            path = route.path
            for hole, value in ids.items():
                path = path.replace(hole, value)
            ask("GET", path)
    for path in ("/api/v1/keys/web", f"/api/v1/credentials/{made['id']}", "/key/list?return_full_object=true"):
        ask("GET", path)
    for path in ("/spend/logs", "/model/info", "/user/list", "/team/info?team_id=core", "/health"):
        ask("GET", path)
    ask("POST", "/api/v1/explain", {"body": {"model": "falls"}, "holder": "web"})
    for token in shown[:2]:
        _, found, told = portico.request("GET", "/key/info", key=token)
        seen.add("replies", repr(found), told)
    body = {"messages": [{"role": "user", "content": "Hi"}], "model": "theirs/plain"}
    assert portico.request("POST", "/v1/chat/completions", body, key=shown[1])[0] == 200
    return shown


def command_line(portico: RunningPortico, seen: Seen, environ: dict[str, str]) -> None:
    """Run the commands that show something."""
    assert portico.config is not None
    file, data = str(portico.config), str(portico.data_dir)
    for arguments in (
        ["config", "show", file], ["config", "show", file, "--json", "--all"], ["check", file], ["config", "example"],
        ["keys", "list"], ["teams", "list"], ["budgets", "list"], ["logs", "--json"], ["logs"], ["spend", "--json"],
        ["audit", "list"], ["audit", "verify"], ["explain", "falls"], ["keys", "list", "--key", "sk-wrong"],
    ):  # fmt: skip
        own = ["--data-dir", data] if arguments[0] not in ("config", "check") else []
        done = subprocess.run(
            [sys.executable, "-P", "-m", "portico", *arguments, *own],
            env={**os.environ, "PORTICO_MASTER_KEY": PLANTED["master key"], **environ},
            capture_output=True,
            cwd=portico.data_dir,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        seen.add("output of the command line", done.stdout, done.stderr)


def break_things(portico: RunningPortico, mock: HostedMock) -> None:
    """Kill a worker and control, and give a configuration that is none, with secrets in all the wrong places."""
    good = config(mock)
    lines = len(portico.errors)
    provider = {"api_kye": PLANTED["provider key"], "api_keys": PLANTED["provider key"]}
    portico.rewrite({**good, "providers": {"openai": provider}, "alerts": {"webhook": PLANTED["webhook"]}})
    portico.errors.wait_for("portico.yaml", after=lines)
    portico.rewrite(good)
    for pid in (portico.workers()[0], portico.control()):
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def whole() -> bool:
        return len(portico.workers()) == 2 and portico.control() is not None

    eventually(whole, "what was killed is replaced")
    body = {"messages": [{"role": "user", "content": "Hi"}], "model": "good"}

    def serves() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):  # it may have been with the one that was killed
            return portico.request("POST", "/v1/chat/completions", body, key=PLANTED["gateway key"])[0] == 200
        return False

    def recorded() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, _, told = portico.request("GET", "/api/v1/records?limit=100", key=PLANTED["master key"])
            return status == 200 and len(json.loads(told)["items"]) == 100
        return False

    eventually(serves, "calls are served")
    eventually(recorded, "calls are in the store")


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_no_secret_is_anywhere(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(VERBOSE)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environ = {
        "PLANTED_MASTER": PLANTED["master key"],
        "PORTICO_ENCRYPTION_KEY": base64.b64encode(ENCRYPTION).decode(),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONASYNCIODEBUG": "0",
    }
    url = None
    if store == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgres")
        url = cluster.database()
        environ["PORTICO_STORE_URL"] = url.replace("postgres@", f"postgres:{PLANTED['password']}@")
    seen = Seen()
    good = [PLANTED["provider key"], PLANTED["renewed key of the store"], PLANTED["team key"]]
    with HostedMock(keys=[*good, PLANTED["key of the store"]]) as mock:
        with running_portico(config(mock), **environ) as portico:
            shown = manage(portico, seen)
            calls(portico, seen)
            command_line(portico, seen, environ)
            for pid in (portico.pid, *portico.workers(), portico.control()):
                seen.add("command lines of the processes", Path(f"/proc/{pid}/cmdline").read_bytes())
            break_things(portico, mock)
            if store == "postgresql":
                request.getfixturevalue("postgres").stop()
                with contextlib.suppress(OSError, http.client.HTTPException):
                    seen.add("replies", portico.request("GET", "/api/v1/teams", key=PLANTED["master key"])[2])
                request.getfixturevalue("postgres").start()
            portico.stop()
            engine = make_engine(url or f"sqlite:///{portico.data_dir}/portico.db")
            with engine.connect() as db:
                for table in metadata.sorted_tables:
                    for row in db.execute(select(table)):
                        seen.add("dump of the store", *(v if isinstance(v, bytes) else str(v) for v in row))
            for write in (write_json_lines, write_csv, write_parquet):
                out = io.BytesIO()
                batches = ([one.record for one in found] for found in each(engine, Filter()))
                assert write(batches, out) >= 100
                seen.add("exports", out.getvalue())
            engine.dispose()
            for path in portico.data_dir.rglob("*"):
                if path.is_file():
                    seen.add(f"file {path.relative_to(portico.data_dir)}", path.read_bytes())
            seen.add("records on standard output", *portico.records.lines)
            seen.add("logs", *portico.errors.lines)
        used = {entry.key for entry in mock.ledger.entries}
    assert used >= {*good, PLANTED["key that is refused"]}, "the secrets that are for providers were used"
    logs = b"\n".join(seen.places["logs"])
    assert b"a fault that was planted" in logs, "the crash is in the log with its traceback"
    assert b"DEBUG" in logs
    assert any(place.startswith("file journal") for place in seen.places)
    for number, token in enumerate(shown):
        PLANTED[f"new key {number}"] = token
    try:
        leaks = seen.found()
        assert not leaks, "\n".join(leaks)
    finally:
        for number in range(len(shown)):
            del PLANTED[f"new key {number}"]
