"""Where a request goes: one URL, taken apart, built so that nothing a caller writes leads elsewhere."""

import re
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from portico.errors import InvalidRequest

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# every byte a request target may hold (RFC 3986), but for what ends a path
_PATH: Final = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")
_QUERY: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]|{}^`\"<>]|%[0-9A-Fa-f]{2})*")
# a slash, backslash, dot or control character in disguise, also behind a second layer of encoding
_DISGUISED: Final = re.compile(r"%(?:25)*(?:2[eEfF]|5[cC]|[01][0-9A-Fa-f]|7[fF])")


class Endpoint:
    """A place to send a request to. `path` and `query` are as they go on the wire."""

    __slots__ = ("host", "operation", "path", "port", "query", "scheme")

    def __init__(
        self, scheme: Literal["http", "https"], host: str, port: int, path: str, query: str = "", operation: str = ""
    ) -> None:
        self.scheme: Final = scheme
        self.host: Final = host
        self.port: Final = port
        self.path: Final = path
        self.query: Final = query
        self.operation: Final = operation

    def __repr__(self) -> str:
        return f"<Endpoint {self.url}>"

    @property
    def authority(self) -> str:
        """The value of the Host header: with the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """The request target: path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(url: str) -> Endpoint:
    """Take a URL apart. ValueError when it is no plain HTTP URL; the message does not repeat what it may hide."""
    parts = urlsplit(url)
    scheme: Literal["http", "https"]
    if parts.scheme == "https":
        scheme = "https"
    elif parts.scheme == "http":
        scheme = "http"
    else:
        raise ValueError("it is not an http:// or https:// URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it holds a user name or password")
    if not parts.hostname or not re.fullmatch(r"[a-z0-9._:-]+", parts.hostname):
        raise ValueError("it has no usable host name")
    if parts.fragment:
        raise ValueError("it has a fragment")
    port = parts.port or _DEFAULT_PORTS[scheme]
    return Endpoint(scheme, parts.hostname, port, parts.path.rstrip("/"), parts.query)


def join(base: str, path: str) -> str:
    """Return `path` below `base`, without writing twice what both say.

    A path that begins where the base begins is whole already: `/openai/v1` + `/openai/deployments/x` is the latter.
    What both share at the seam is written once: `/openai/v1` + `/v1/models` = `/openai/v1/models`.
    """
    if not base:
        return path
    left, right = base.split("/")[1:], path.split("/")[1:]
    if left[0] == right[0]:
        return path
    for size in range(min(len(left), len(right)), 0, -1):
        if left[-size:] == right[:size]:
            return "/" + "/".join(left + right[size:])
    return base + path


@lru_cache(maxsize=4096)
def encoded(model: str) -> str:
    """Return a model's name as one segment of a path. InvalidRequest when it cannot be one."""
    if not model or any(part in (".", "..") for part in model.replace("\\", "/").split("/")):
        # Encoded, but some servers decode a path before they look for dot segments.
        raise InvalidRequest(f"The model name {model!r} cannot be part of a path.", param="model")
    try:
        return quote(model, safe="-._~@")
    except UnicodeEncodeError:
        raise InvalidRequest(f"The model name {model!r} is not text.", param="model") from None


def checked_path(rest: str) -> str:
    """Return a caller's path as it is. InvalidRequest when it could mean another place than it says."""
    if not _PATH.fullmatch(rest):
        raise InvalidRequest(f"The path {rest[:200]!r} is not a plain path that begins with one slash.")
    if "//" in rest:
        raise InvalidRequest(f"The path {rest[:200]!r} holds an empty segment.")
    if _DISGUISED.search(rest):
        raise InvalidRequest(f"The path {rest[:200]!r} holds an encoded slash, dot or control character.")
    if any(segment.partition(";")[0] in (".", "..") for segment in rest.split("/")):
        raise InvalidRequest(f"The path {rest[:200]!r} holds a dot segment.")
    return rest


def checked_query(query: str) -> str:
    """Return a caller's query as it is. InvalidRequest when it holds what a request line must not."""
    if not _QUERY.fullmatch(query):
        raise InvalidRequest("The query holds a character that must be percent-encoded.")
    return query
