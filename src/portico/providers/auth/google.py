"""Tokens of Google Cloud: service accounts, federated identities, a person's gcloud login, the metadata server.

Files as described at https://google.aip.dev/auth/4110 and https://docs.cloud.google.com/docs/authentication
(read 2026-11): each kind of credential is a JSON object with a `type`.
"""

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from portico.errors import ConfigError, CredentialError
from portico.providers.auth.exchange import ask, ask_json, post_form, seconds, text
from portico.providers.auth.scheme import Fetch, Headers
from portico.providers.auth.token import Source
from portico.providers.auth.token_file import read

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105
_LIFETIME = 3600

Document = Mapping[str, object]


def document(credentials: str | None, environ: Mapping[str, str]) -> Document | None:
    """Return the credentials object to use, or None for the metadata server.

    `credentials` is a path or the JSON itself; then GOOGLE_APPLICATION_CREDENTIALS is looked at, then gcloud's own
    file. ConfigError when what is named cannot be read.
    """
    named = credentials or environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if named and named.lstrip().startswith("{"):
        return _parsed(named, "the option `credentials`")
    if named:
        path = Path(named).expanduser()
    else:
        folder = environ.get("CLOUDSDK_CONFIG")
        home = Path(environ.get("HOME", "~")).expanduser()
        path = (Path(folder) if folder else home / ".config" / "gcloud") / "application_default_credentials.json"
        if not path.is_file():
            return None
    try:
        written = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The Google credentials {str(path)!r} cannot be read ({type(error).__name__}).") from None
    return _parsed(written, repr(str(path)))


def _parsed(written: str, where: str) -> Document:
    try:
        found = json.loads(written)
    except (ValueError, RecursionError):
        # the parser's own message is left out: it may quote the key
        raise ConfigError(f"The Google credentials in {where} are not JSON.") from None
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise ConfigError(f"The Google credentials in {where} are no object with a `type`.")
    return found


def source(found: Document | None, environ: Mapping[str, str]) -> tuple[Source, Headers]:
    """Return what obtains tokens, and the headers that go with them. ConfigError for a kind that is unknown."""
    if found is None:
        return Metadata(environ), []
    quota = found.get("quota_project_id")
    extra = [("x-goog-user-project", quota)] if isinstance(quota, str) and quota else []
    match found["type"]:
        case "service_account":
            return ServiceAccount(found), extra
        case "authorized_user":
            return RefreshToken(found), extra
        case "external_account":
            return ExternalAccount(found), extra
        case "impersonated_service_account":
            base = found.get("source_credentials")
            if not isinstance(base, dict) or not isinstance(base.get("type"), str):
                raise ConfigError("The Google credentials impersonate without `source_credentials`.")
            return Impersonation(source(base, environ)[0], field(found, "service_account_impersonation_url")), extra
        case other:
            raise ConfigError(
                f"Google credentials of type {other!r} are not supported; those that are: service_account, "
                "authorized_user, external_account, impersonated_service_account."
            )


def field(found: Document, name: str) -> str:
    """Return a field that must be there. ConfigError when it is not."""
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"The Google credentials of type {found['type']!r} have no `{name}`.")
    return value


def _https(found: Document, name: str, otherwise: str | None = None) -> str:
    url = otherwise if otherwise is not None and not found.get(name) else field(found, name)
    if urlsplit(url).scheme != "https":
        raise ConfigError(f"The Google credentials have a `{name}` that is not HTTPS.")
    return url


class ServiceAccount:
    """A service account's private key, which signs a claim that is exchanged for a token (RFC 7523)."""

    def __init__(self, found: Document) -> None:
        # late: the library is large, and only this needs it
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        self._email = field(found, "client_email")
        self._url = _https(found, "token_uri", _TOKEN_URL)
        key_id = found.get("private_key_id")
        self._head = {"alg": "RS256", "typ": "JWT"} | ({"kid": key_id} if isinstance(key_id, str) else {})
        try:
            key = load_pem_private_key(field(found, "private_key").encode(), None)
        except (ValueError, TypeError):
            raise ConfigError(f"The private key of the service account {self._email!r} is not a PEM key.") from None
        if not isinstance(key, RSAPrivateKey):
            raise ConfigError(f"The private key of the service account {self._email!r} is not an RSA key.")
        self._key = key

    async def __call__(self, fetch: Fetch, now: float) -> tuple[str, float | None]:
        """Return a token and when it ends. CredentialError when Google refuses."""
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": self.assertion(now)}
        what = f"Google service account {self._email}"
        reply = await post_form(fetch, what, self._url, form)
        return text(what, reply, "access_token"), now + seconds(what, reply, "expires_in")

    def assertion(self, now: float) -> str:
        """Return the signed claim (RFC 7519, RS256) that this account asks for a token at `now`."""
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        issued = int(now)
        claims = {
            "iss": self._email,
            "scope": SCOPE,
            "aud": self._url,
            "iat": issued,
            "exp": issued + _LIFETIME,
        }
        head = f"{_base64(json.dumps(self._head).encode())}.{_base64(json.dumps(claims).encode())}"
        signature = self._key.sign(head.encode(), PKCS1v15(), SHA256())
        return f"{head}.{_base64(signature)}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class RefreshToken:
    """A person's login by gcloud."""

    def __init__(self, found: Document) -> None:
        self._url = _https(found, "token_uri", _TOKEN_URL)
        self._form = {
            "grant_type": "refresh_token",
            "client_id": field(found, "client_id"),
            "client_secret": field(found, "client_secret"),
            "refresh_token": field(found, "refresh_token"),
        }

    async def __call__(self, fetch: Fetch, now: float) -> tuple[str, float | None]:
        """Return a token and when it ends. CredentialError when the login is no longer valid."""
        reply = await post_form(fetch, "Google user login", self._url, self._form)
        return text("Google user login", reply, "access_token"), now + seconds("Google user login", reply, "expires_in")


class Metadata:
    """The service account of the machine: Compute Engine, GKE workload identity, Cloud Run."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        host = environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
        self._url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"

    async def __call__(self, fetch: Fetch, now: float) -> tuple[str, float | None]:
        """Return a token and when it ends. CredentialError when there is no metadata server."""
        what = "Google metadata server"
        reply = await ask_json(fetch, what, "GET", self._url, [("metadata-flavor", "Google")])
        return text(what, reply, "access_token"), now + seconds(what, reply, "expires_in")


class Impersonation:
    """Another service account, whose tokens the holder of `source`'s may make."""

    def __init__(self, source: Source, url: str) -> None:
        if urlsplit(url).scheme != "https":
            raise ConfigError("The Google credentials have a `service_account_impersonation_url` that is not HTTPS.")
        self._source = source
        self._url = url

    async def __call__(self, fetch: Fetch, now: float) -> tuple[str, float | None]:
        """Return a token of the other account and when it ends. CredentialError when that is not allowed."""
        token, _ = await self._source(fetch, now)
        what = "Google impersonation"
        headers = [("authorization", f"Bearer {token}"), ("content-type", "application/json")]
        body = json.dumps({"scope": [SCOPE], "lifetime": f"{_LIFETIME}s"}).encode()
        reply = await ask_json(fetch, what, "POST", self._url, headers, body)
        try:
            end = datetime.fromisoformat(text(what, reply, "expireTime")).timestamp()
        except ValueError:
            raise CredentialError(f"{what}: the reply has an `expireTime` that is no time.") from None
        return text(what, reply, "accessToken"), end


class ExternalAccount:
    """A token of another identity provider, from a file or an address, exchanged by Google (RFC 8693)."""

    def __init__(self, found: Document) -> None:
        place = found.get("credential_source")
        if not isinstance(place, dict) or not ({"file", "url"} & place.keys()):
            raise ConfigError(
                "Google credentials of type 'external_account' are supported with a `credential_source` "
                "that is a `file` or a `url`."
            )
        self._place: Mapping[str, object] = place
        self._url = _https(found, "token_url", "https://sts.googleapis.com/v1/token")
        self._form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "audience": field(found, "audience"),
            "subject_token_type": field(found, "subject_token_type"),
            "scope": SCOPE,
        }
        self._impersonated: Impersonation | None = None
        if found.get("service_account_impersonation_url"):
            url = field(found, "service_account_impersonation_url")
            self._impersonated = Impersonation(self._exchange, url)

    async def __call__(self, fetch: Fetch, now: float) -> tuple[str, float | None]:
        """Return a token and when it ends. CredentialError when the subject's token is missing or refused."""
        return await (self._impersonated or self._exchange)(fetch, now)

    async def _exchange(self, fetch: Fetch, now: float) -> tuple[str, float | None]:
        what = "Google external account"
        form = {**self._form, "subject_token": self._subject(await self._content(fetch))}
        reply = await post_form(fetch, what, self._url, form)
        return text(what, reply, "access_token"), now + seconds(what, reply, "expires_in")

    async def _content(self, fetch: Fetch) -> str:
        what = "Google external account"
        if isinstance(path := self._place.get("file"), str):
            return read(what, path)
        given = self._place.get("headers")
        headers = [(str(k).lower(), str(v)) for k, v in given.items()] if isinstance(given, dict) else []
        status, _, content = await ask(fetch, what, "GET", str(self._place.get("url")), headers)
        if status != 200:
            raise CredentialError(f"{what}: the source of the subject's token answered {status}.")
        return content.decode("utf-8", "replace")

    def _subject(self, content: str) -> str:
        shape = self._place.get("format")
        if not isinstance(shape, dict) or shape.get("type") != "json":
            return content.strip()
        what = "Google external account"
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise CredentialError(f"{what}: the subject's token is not in a JSON object.")
        return text(what, found, str(shape.get("subject_token_field_name")))
