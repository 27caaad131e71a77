"""The socket of control is for this user's processes alone, and asks them for a key all the same."""

import http.client
import json
import socket
import stat
from pathlib import Path

from portico.control.litellm.routes import ROUTES as SCRIPTED
from portico.control.routes import ROUTES
from portico.testing.running import running_portico


class Direct(http.client.HTTPConnection):
    """HTTP to a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("control", timeout=30)
        self.path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def test_who_reaches_the_socket_needs_a_key_as_everybody_does() -> None:
    with running_portico({"providers": {}}, arguments=("--workers", "1")) as portico:
        sockets = [path for path in portico.data_dir.rglob("*") if stat.S_ISSOCK(path.stat().st_mode)]
        assert sockets
        for path in sockets:
            within = path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0
            assert within, f"{path} is open to other users"
        asked = Direct(portico.data_dir / "control.sock")
        for route in (*ROUTES, *SCRIPTED):
            path = route.path.replace("{", "").replace("}", "")
            for headers in ({}, {"authorization": "Bearer sk-nobody-has-this-key"}, {"x-forwarded-for": "127.0.0.1"}):
                asked.request(route.method, path, b"{}" if route.method != "GET" else None, headers)
                reply = asked.getresponse()
                said = reply.read()
                assert reply.status == 401, f"{route.method} {path}: {reply.status} {said!r}"
        asked.request("GET", "/api/v1/me", headers={"authorization": f"Bearer {portico.master_key}"})
        assert json.loads(asked.getresponse().read())["role"] == "owner"
        asked.close()


def test_what_is_no_call_is_answered_by_workers_for_strangers_only_if_it_says_nothing() -> None:
    with running_portico({"providers": {"openai": {"api_key": "sk-0123456789abcdef"}}}) as portico:
        for path in (
            "/",
            "/metrics",
            "/api",
            "/api/v1",
            "/docs",
            "/v1/models",
            "/models",
            "/openai/v1/models",
            "/key/list",
        ):
            status, _, body = portico.request("GET", path)
            assert status in (401, 404), f"{path}: {status} {body!r}"
            assert b"openai" not in body, path
