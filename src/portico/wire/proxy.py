"""Which proxy a connection goes through: what the settings say, else what the environment says."""

import base64
import ipaddress
from collections.abc import Mapping
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from portico.errors import ConfigError
from portico.wire.origin import Origin


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy, itself reached over http or https. Its credentials are not shown."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    authorization: str | None = None
    """The value of Proxy-Authorization."""

    def __repr__(self) -> str:
        return f"Proxy({self})"

    def __str__(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def choose_proxy(origin: Origin, setting: str | None, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for `origin`, None for a direct connection.

    A `setting` decides alone: a URL, or `none`. Otherwise HTTPS_PROXY or HTTP_PROXY, then ALL_PROXY count, lower case
    before upper, unless NO_PROXY names the origin or it is on this machine. Raises ConfigError for an unusable URL.
    """
    if origin.unix is not None or setting == "none":
        return None
    if setting is not None:
        return parse_proxy(setting, "the proxy setting")
    if _on_this_machine(origin.host):
        return None
    for name in (f"{origin.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            url = environ.get(variable, "").strip()
            if url:
                excepted = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
                return None if excepts(excepted, origin) else parse_proxy(url, variable)
    return None


def parse_proxy(url: str, where: str) -> Proxy:
    """Return the proxy that a URL names; http is assumed where it names no scheme. `where` is for the error."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port, host = parts.port, parts.hostname
    except ValueError:
        raise ConfigError(f"{where} is not the URL of a proxy") from None
    if not host:
        raise ConfigError(f"{where} is not the URL of a proxy")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    if parts.scheme == "http":
        return Proxy("http", host, port or 80, authorization)
    if parts.scheme == "https":
        return Proxy("https", host, port or 443, authorization)
    raise ConfigError(f"{where} names a proxy that speaks {parts.scheme!r}; only http and https are spoken here")


def excepts(no_proxy: str, origin: Origin) -> bool:
    """Whether a NO_PROXY list names this origin.

    Its entries, between commas or spaces, are `*`, an address, a network (10.0.0.0/8), or a domain, which with or
    without a leading `.` or `*.` stands for itself and all below it; each may end in a port.
    """
    host = origin.host.rstrip(".").lower()
    address = _address(host)
    for entry in no_proxy.replace(",", " ").lower().split():
        if entry == "*":
            return True
        name, port = _split_port(entry)
        if port is not None and port != origin.port:
            continue
        if address is not None:
            if _names_address(name, address):
                return True
        else:
            domain = name.removeprefix("*").lstrip(".").rstrip(".")
            if domain and (host == domain or host.endswith("." + domain)):
                return True
    return False


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _names_address(name: str, address: _Address) -> bool:
    try:
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False


def _split_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, int(rest[1:]) if rest[1:].isdigit() else None
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and ":" not in name:
        return name, int(port)
    return entry, None


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _on_this_machine(host: str) -> bool:
    name = host.rstrip(".").lower()
    address = _address(name)
    return address.is_loopback if address is not None else name == "localhost" or name.endswith(".localhost")
