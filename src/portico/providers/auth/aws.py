"""AWS keys from where they are kept, and requests signed with them."""

from collections.abc import Sequence

from portico.providers.auth.aws_sources import AwsSource, first
from portico.providers.auth.renewal import Renewal
from portico.providers.auth.scheme import Clock, Fetch, Headers
from portico.providers.auth.sigv4 import Signer

_SIGNED = ("content-type", "x-amz-")


class Aws:
    """Signature Version 4 with the keys of the first source that has some."""

    static = False

    def __init__(self, name: str, sources: Sequence[AwsSource], region: str, service: str, clock: Clock) -> None:
        self.id = name
        self.region = region
        self._sources = sources
        self._service = service
        self._clock = clock
        self._renewal: Renewal[Signer] = Renewal(self._obtain)

    def __repr__(self) -> str:
        return f"<Aws {self.id} {self._service} {self.region}>"

    async def _obtain(self, fetch: Fetch, now: float) -> tuple[Signer, float | None]:
        keys, end = await first(self._sources, fetch, now)
        return Signer(keys, self.region, self._service), end

    def ready(self, now: float) -> bool:
        """Tell whether valid keys are in hand."""
        return self._renewal.ready(now)

    async def prepare(self, fetch: Fetch, now: float) -> None:
        """Find or renew the keys. CredentialError when no source has any."""
        await self._renewal.prepare(fetch, now)

    def headers(
        self, method: str, host: str, path: str, query: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> Headers:
        """Return the signature's headers. What AWS demands is signed: the host, the content type, its own headers."""
        signed = [pair for pair in headers if pair[0].lower().startswith(_SIGNED)]
        return self._renewal.value.sign(method, host, path, query, signed, body, self._clock())
