"""Keys that never change: a bearer token, a header of the provider's own, or nothing."""

from collections.abc import Sequence

from portico.providers.auth.scheme import Fetch, Headers


class Static:
    """The same headers with every request."""

    static = True

    def __init__(self, name: str, headers: Headers) -> None:
        self.id = name
        self._headers = headers

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {','.join(name for name, _ in self._headers) or 'no header'}>"

    def ready(self, now: float) -> bool:
        """Return True: there is nothing to obtain."""
        return True

    async def prepare(self, fetch: Fetch, now: float) -> None:
        """Do nothing."""

    def headers(
        self, method: str, host: str, path: str, query: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> Headers:
        """Return the headers that carry the key."""
        return self._headers
