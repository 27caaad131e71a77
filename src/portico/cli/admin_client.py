"""The admin API as the command line speaks to it: over the gateway's URL, or the socket in the data directory."""

import http
import http.client
import os
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

import click
import msgspec

FAILED = 1
WRONG = 2
REFUSED = 4
"""Exit code where the API says no."""

NO_KEY = (
    "no key was given, and none is kept in the data directory (a master key of the configuration or of the environment "
    "is not): give --key, or set PORTICO_KEY or PORTICO_MASTER_KEY"
)


class Refused(Exception):
    """The API said no; `problem` is its document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail", f"status {status}"))
        self.status = status
        self.problem = problem


class OverSocket(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("control", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class AdminClient:
    """Asks the admin API. `url` is the gateway's; without one, the socket in the data directory is used."""

    def __init__(self, url: str | None, key: str | None, data_dir: str | None, timeout: float = 60.0) -> None:
        self._url = url
        self._data_dir = Path(data_dir) if data_dir is not None else default_data_dir()
        self._key = key or os.environ.get("PORTICO_MASTER_KEY") or self._kept_key()
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<AdminClient {self._url or self._data_dir}>"

    def __call__(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Return what the API answers, as plain data. Raises Refused, OSError."""
        asked = {name: value for name, value in query.items() if value is not None}
        where = f"/api/v1/{path}" + (f"?{urlencode(asked)}" if asked else "")
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        sent = None
        if body is not None:
            sent = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        connection = self._connection()
        try:
            connection.request(method, where, sent, headers)
            reply = connection.getresponse()
            data = reply.read()
        finally:
            connection.close()
        plain = _plain(data)
        if reply.status >= 400:
            if reply.status == http.HTTPStatus.UNAUTHORIZED and not self._key:
                plain = {"detail": NO_KEY}
            raise Refused(reply.status, plain if isinstance(plain, dict) else {})
        return plain

    def pages(self, path: str, limit: int, **query: Any) -> list[Any]:
        """Return the first `limit` items of a list, page by page; 0 is all."""
        items: list[Any] = []
        after: str | None = None
        while True:
            size = min(500, limit - len(items)) if limit else 500
            page = self("GET", path, limit=size, after=after, **query)
            items += page["items"]
            after = page["next"]
            if after is None or (limit and len(items) >= limit):
                return items

    def _connection(self) -> http.client.HTTPConnection:
        if self._url is None:
            return OverSocket(str(self._data_dir / "control.sock"), self._timeout)
        parts = urlsplit(self._url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise click.BadParameter("expected a URL such as http://127.0.0.1:4000", param_hint="'--url'")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname, parts.port, timeout=self._timeout)

    def _kept_key(self) -> str | None:
        try:
            return (self._data_dir / "master_key").read_text("ascii").strip() or None
        except (OSError, UnicodeDecodeError):
            return None


def default_data_dir() -> Path:
    """Return where `portico serve` keeps its state when nobody says."""
    given = os.environ.get("PORTICO_DATA_DIR")
    shared = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(given) if given else Path(shared) / "portico"


def part(id_: str) -> str:
    """Return an id as a part of a path."""
    return quote(id_, safe="")


def tell(error: Exception) -> int:
    """Say on stderr what went wrong; return the exit code."""
    if isinstance(error, Refused):
        field = error.problem.get("field")
        click.echo(f"portico: {field + ': ' if field else ''}{error}", err=True)
        return REFUSED
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    hint = "is Portico running? give --url, or --data-dir of a running one"
    click.echo(f"portico: the gateway cannot be reached: {why}; {hint}", err=True)
    return FAILED


def fail(error: Exception) -> None:
    """Say what went wrong, and leave."""
    sys.exit(tell(error))


def leave(why: str, code: int) -> NoReturn:
    """Say why, and leave with this exit code."""
    click.echo(f"portico: {why}", err=True)
    sys.exit(code)


def _plain(data: bytes) -> Any:
    if not data:
        return None
    try:
        return msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return None
