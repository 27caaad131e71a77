"""Tokens of Microsoft Entra ID for Azure: an application's secret, a federated token, a managed identity.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow and
https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token (read 2026-11).
"""

from urllib.parse import urlencode, urlsplit

from portico.providers.auth.exchange import ask_json, post_form, seconds, text
from portico.providers.auth.scheme import Fetch
from portico.providers.auth.token_file import read

AUTHORITY = "https://login.microsoftonline.com"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_IMDS = "http://169.254.169.254/metadata/identity/oauth2/token"


class ClientSecret:
    """An application that proves itself with a secret."""

    def __init__(self, tenant: str, client: str, secret: str, scope: str, authority: str = AUTHORITY) -> None:
        self._url = f"{authority.rstrip('/')}/{tenant}/oauth2/v2.0/token"
        self._client = client
        self._secret = secret
        self._scope = scope

    async def __call__(self, fetch: Fetch, now: float) -> tuple[str, float | None]:
        """Return a token and when it ends. CredentialError when it is refused."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client,
            "client_secret": self._secret,
            "scope": self._scope,
        }
        return _token("Entra application", await post_form(fetch, "Entra application", self._url, form), now)


class Federated:
    """An application that proves itself with a token the platform writes to a file (workload identity)."""

    def __init__(self, tenant: str, client: str, path: str, scope: str, authority: str = AUTHORITY) -> None:
        self._url = f"{authority.rstrip('/')}/{tenant}/oauth2/v2.0/token"
        self._client = client
        self._path = path
        self._scope = scope

    async def __call__(self, fetch: Fetch, now: float) -> tuple[str, float | None]:
        """Return a token and when it ends. CredentialError when the file cannot be read or the token is refused."""
        what = "Entra workload identity"
        assertion = read(what, self._path)
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client,
            "client_assertion_type": _ASSERTION,
            "client_assertion": assertion,
            "scope": self._scope,
        }
        return _token(what, await post_form(fetch, what, self._url, form), now)


class ManagedIdentity:
    """The identity of the machine: of a VM by its metadata service, of App Service by its own endpoint."""

    def __init__(self, scope: str, client: str | None, endpoint: str | None, header: str | None) -> None:
        self._resource = scope.removesuffix("/.default")
        self._client = client
        self._endpoint = endpoint if endpoint and header else None
        self._header = header

    async def __call__(self, fetch: Fetch, now: float) -> tuple[str, float | None]:
        """Return a token and when it ends. CredentialError when the machine has no identity."""
        query = {"resource": self._resource}
        if self._client:
            query["client_id"] = self._client
        if self._endpoint and self._header:
            what = "Azure managed identity"
            url = f"{self._endpoint}?{urlencode({'api-version': '2019-08-01', **query})}"
            reply = await ask_json(fetch, what, "GET", url, [("x-identity-header", self._header)])
        else:
            what = f"Azure managed identity at {urlsplit(_IMDS).netloc}"
            url = f"{_IMDS}?{urlencode({'api-version': '2018-02-01', **query})}"
            reply = await ask_json(fetch, what, "GET", url, [("metadata", "true")])
        return text(what, reply, "access_token"), seconds(what, reply, "expires_on")


def _token(what: str, reply: dict[str, object], now: float) -> tuple[str, float | None]:
    return text(what, reply, "access_token"), now + seconds(what, reply, "expires_in")
