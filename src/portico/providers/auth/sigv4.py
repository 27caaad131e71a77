"""Signs requests to AWS: Signature Version 4, by the headers.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html (read 2026-11).
The path is encoded once more than it goes on the wire, as every service but S3 wants it.
"""

import time
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from hmac import digest
from urllib.parse import quote

import msgspec

NOT_SIGNED = frozenset(
    {
        # what proxies on the way may add, drop or change
        "baggage",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
        # what the signature itself brings
        "authorization",
        "x-amz-date",
        "x-amz-security-token",
    }
)
_EMPTY = sha256().hexdigest()


class AwsKeys(msgspec.Struct, frozen=True):
    """An access key; `token` belongs to temporary ones."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"AwsKeys({self.access_key[:4]}…)"


class Signer:
    """Signs for one key, region and service; the day's signing key is derived once."""

    def __init__(self, keys: AwsKeys, region: str, service: str) -> None:
        self._keys = keys
        self._region = region
        self._service = service
        self._day = ""
        self._key = b""
        self._scope = ""
        self._credential = ""
        self._second = -1
        self._stamp = ""

    def __repr__(self) -> str:
        return f"Signer({self._keys!r}, {self._region!r}, {self._service!r})"

    def sign(
        self,
        method: str,
        host: str,
        path: str,
        query: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        now: float,
    ) -> list[tuple[str, str]]:
        """Return the headers to add: authorization, x-amz-date and, for temporary keys, x-amz-security-token.

        All of `headers` are signed, but for those that may change on the way. `path` and `query` are as on the
        wire; `path` has neither dot segments nor empty ones. `now` is in epoch seconds.
        """
        stamp = self._time(int(now))
        keys = self._keys
        signed: dict[str, str] = {"host": host, "x-amz-date": stamp}
        if keys.token is not None:
            signed["x-amz-security-token"] = keys.token
        for name, value in headers:
            lowered = name.lower()
            if lowered in NOT_SIGNED or lowered == "host":
                continue
            if "  " in value or value != value.strip() or "\t" in value:
                value = " ".join(value.split())
            signed[lowered] = f"{signed[lowered]},{value}" if lowered in signed else value
        names = sorted(signed)
        signed_names = ";".join(names)
        lines = "\n".join([f"{name}:{signed[name]}" for name in names])
        payload = sha256(body).hexdigest() if body else _EMPTY
        canonical = (
            f"{method}\n{_encoded(path)}\n{_sorted(query) if query else ''}\n{lines}\n\n{signed_names}\n{payload}"
        )
        hashed = sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{self._scope}\n{hashed}"
        signature = digest(self._key, text.encode(), "sha256").hex()
        added = [
            ("authorization", f"{self._credential}{signed_names}, Signature={signature}"),
            ("x-amz-date", stamp),
        ]
        if keys.token is not None:
            added.append(("x-amz-security-token", keys.token))
        return added

    def _time(self, second: int) -> str:
        """Return the time as AWS writes it, and see that the signing key is that day's."""
        if second == self._second:
            return self._stamp
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        day = stamp[:8]
        if day != self._day:
            key = digest(f"AWS4{self._keys.secret_key}".encode(), day.encode(), "sha256")
            key = digest(key, self._region.encode(), "sha256")
            key = digest(key, self._service.encode(), "sha256")
            self._key = digest(key, b"aws4_request", "sha256")
            self._day = day
            self._scope = f"{day}/{self._region}/{self._service}/aws4_request"
            self._credential = f"AWS4-HMAC-SHA256 Credential={self._keys.access_key}/{self._scope}, SignedHeaders="
        self._second = second
        self._stamp = stamp
        return stamp


@lru_cache(maxsize=2048)
def _encoded(path: str) -> str:
    return quote(path, safe="/~") or "/"


def _sorted(query: str) -> str:
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&"))
    return "&".join([f"{key}={value}" for key, value in pairs])
