"""A bearer token that some identity service hands out for a while."""

from collections.abc import Awaitable, Callable, Sequence

from portico.providers.auth.renewal import Renewal
from portico.providers.auth.scheme import Fetch, Headers

Source = Callable[[Fetch, float], Awaitable[tuple[str, float | None]]]
"""Obtains a token: (fetch, now) → (the token, when it ends in epoch seconds)."""


class Token:
    """`Authorization: Bearer` with a token from `source`, renewed ahead of its end; `extra` goes with it."""

    static = False

    def __init__(self, name: str, kind: str, source: Source, extra: Headers | None = None) -> None:
        self.id = name
        self._kind = kind
        self._extra = extra or []
        self._renewal: Renewal[Headers] = Renewal(self._obtain)
        self._source = source

    def __repr__(self) -> str:
        return f"<Token {self.id} {self._kind}>"

    async def _obtain(self, fetch: Fetch, now: float) -> tuple[Headers, float | None]:
        token, end = await self._source(fetch, now)
        return [("authorization", f"Bearer {token}"), *self._extra], end

    def ready(self, now: float) -> bool:
        """Tell whether a valid token is in hand."""
        return self._renewal.ready(now)

    async def prepare(self, fetch: Fetch, now: float) -> None:
        """Obtain or renew the token. CredentialError when that fails."""
        await self._renewal.prepare(fetch, now)

    def headers(
        self, method: str, host: str, path: str, query: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> Headers:
        """Return the Authorization header. CredentialError before the first `prepare`."""
        return self._renewal.value
