"""What every auth scheme is: a credential that can be made ready, then turned into headers."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

Headers = list[tuple[str, str]]

Fetch = Callable[[str, str, Headers, bytes], Awaitable[tuple[int, list[tuple[bytes, bytes]], bytes]]]
"""One HTTP exchange: (method, URL, headers, body) → (status, headers with lowercased names, body).

It raises a `PorticoError` when there is no reply. The schemes reach the network through nothing else.
"""

Clock = Callable[[], float]
"""Seconds since the epoch: tokens expire and signatures are dated by the wall clock."""


class Auth(Protocol):
    """One credential of one provider. Its `repr` never shows the secret.

    A caller asks `ready`; when it is not, it awaits `prepare`; then `headers` may be asked for without waiting.
    """

    @property
    def id(self) -> str:
        """A stable name that is no secret: `openai#1`."""

    @property
    def static(self) -> bool:
        """True when `headers` is the same for every request, so that a request head may be rendered once."""

    def ready(self, now: float) -> bool:
        """Tell whether `headers` may be asked for at `now` (epoch seconds) without `prepare`."""

    async def prepare(self, fetch: Fetch, now: float) -> None:
        """Obtain or renew what is needed. CredentialError when that fails and nothing valid is in hand."""

    def headers(
        self, method: str, host: str, path: str, query: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> Headers:
        """Return the headers to add to this request.

        `host` is the value of the Host header, `path` and `query` are as they go on the wire, `headers` are the
        others that will be sent. CredentialError when the scheme is not ready.
        """
