"""Origins: the places a client connects to, and how it connects to them."""

from typing import Literal
from urllib.parse import urlsplit

import msgspec

from portico.errors import ConfigError

Headers = list[tuple[bytes, bytes]]
"""Header fields in order, names in lower case."""

Fields = dict[bytes, bytes]
"""Header fields by name."""


class Origin(msgspec.Struct, frozen=True):
    """A scheme, a host and a port; or a unix socket, for which host and port are names only."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    unix: str | None = None

    @property
    def authority(self) -> str:
        """What the Host header says: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}" + (f" at {self.unix}" if self.unix else "")


class Settings(msgspec.Struct, frozen=True):
    """How connections to an origin are made and kept. Equal settings share a pool.

    `idle` is in seconds. `ca`, `client_cert` and `client_key` are paths of PEM files. `proxy` is a URL, `none`, or
    None: what the environment says.
    """

    max_connections: int = 4096
    idle: float = 50.0
    ca: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = None


def split_url(url: str) -> tuple[Origin, str]:
    """Return the origin of an absolute http(s) URL, and the request target: path and query.

    Raises ConfigError, without repeating what may be a password.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ConfigError(f"not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"not an absolute http or https URL: {parts.scheme}://{host or ''}")
    if parts.username is not None:
        raise ConfigError(f"a URL with credentials in it is not taken: {parts.scheme}://…@{host}")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii() or any(char <= " " or char == "\x7f" for char in target):
        raise ConfigError(f"the path of {parts.scheme}://{host} holds characters that must be percent-encoded")
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return Origin(scheme, host, port or (443 if scheme == "https" else 80)), target
