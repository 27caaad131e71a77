"""Where AWS keys come from, in the order in which the AWS SDKs look.

https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html (read 2026-11).
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import unescape
from typing import Protocol
from urllib.parse import urlencode, urlsplit

from portico.errors import CredentialError
from portico.providers.auth.aws_profile import profile
from portico.providers.auth.exchange import ask, ask_json, text
from portico.providers.auth.scheme import Fetch
from portico.providers.auth.sigv4 import AwsKeys, Signer
from portico.providers.auth.token_file import read

Found = tuple[AwsKeys, float | None]
"""Keys, and when they end in epoch seconds."""

_CONTAINER_HOST = "169.254.170.2"
_CONTAINER_HOSTS = frozenset({_CONTAINER_HOST, "169.254.170.23", "fd00:ec2::23", "localhost", "127.0.0.1", "::1"})
_ROLE_NAME = re.compile(r"^[A-Za-z0-9+=,.@_-]{1,64}$")


class AwsSource(Protocol):
    """One place to look."""

    async def find(self, fetch: Fetch, now: float) -> Found | None:
        """Return keys, or None when this place is not set up. CredentialError when it is, and does not work."""


async def first(sources: Sequence[AwsSource], fetch: Fetch, now: float) -> Found:
    """Return the keys of the first source that has some. CredentialError when none has, or one is broken."""
    for source in sources:
        found = await source.find(fetch, now)
        if found is not None:
            return found
    places = ", ".join(type(source).__name__.lower() for source in sources)
    raise CredentialError(f"No AWS keys were found; looked in: {places}.")


class Given:
    """Keys from the configuration."""

    def __init__(self, keys: AwsKeys) -> None:
        self._keys = keys

    async def find(self, fetch: Fetch, now: float) -> Found | None:
        """Return the keys."""
        return self._keys, None


class Environment:
    """AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def find(self, fetch: Fetch, now: float) -> Found | None:
        """Return the keys in the environment."""
        access, secret = self._environ.get("AWS_ACCESS_KEY_ID"), self._environ.get("AWS_SECRET_ACCESS_KEY")
        if not access or not secret:
            return None
        return AwsKeys(access, secret, self._environ.get("AWS_SESSION_TOKEN") or None), None


class Profile:
    """A profile of the shared files: keys, a role to assume with another profile's keys, or with a web identity."""

    def __init__(self, environ: Mapping[str, str], name: str | None, region: str, *, required: bool = False) -> None:
        self._environ = environ
        self._name = name
        self._region = region
        self._required = required

    async def find(self, fetch: Fetch, now: float) -> Found | None:
        """Return the profile's keys, or None when there is no such profile."""
        return await self._of(self._name, fetch, now, seen=[])

    async def _of(self, name: str | None, fetch: Fetch, now: float, seen: list[str]) -> Found | None:
        settings = profile(self._environ, name)
        called = name or self._environ.get("AWS_PROFILE") or "default"
        if settings is None:
            if self._required or seen:
                raise CredentialError(f"AWS profile {called!r} is in neither of the shared files.")
            return None
        role = settings.get("role_arn")
        if role and (path := settings.get("web_identity_token_file")):
            session = settings.get("role_session_name")
            return await WebIdentity(path, role, session, self._region).find(fetch, now)
        if role and (source := settings.get("source_profile")):
            if called in seen:
                raise CredentialError(f"AWS profile {called!r} is its own source_profile.")
            if source == called:
                keys: Found | None = _keys(settings)
            else:
                keys = await self._of(source, fetch, now, [*seen, called])
            if keys is None:
                raise CredentialError(f"AWS profile {called!r}: its source_profile {source!r} has no keys.")
            session, external = settings.get("role_session_name"), settings.get("external_id")
            return await assume_role(fetch, now, keys[0], role, self._region, session, external)
        found = _keys(settings)
        if found is None and (self._required or seen):
            raise CredentialError(
                f"AWS profile {called!r} has no keys of a kind that is supported here: static keys, "
                "role_arn with source_profile, role_arn with web_identity_token_file."
            )
        return found


def _keys(settings: Mapping[str, str]) -> Found | None:
    access, secret = settings.get("aws_access_key_id"), settings.get("aws_secret_access_key")
    if not access or not secret:
        return None
    return AwsKeys(access, secret, settings.get("aws_session_token") or None), None


class WebIdentity:
    """A role assumed with a token that the platform writes to a file (EKS, GitHub Actions)."""

    def __init__(self, path: str, role: str, session: str | None, region: str) -> None:
        self._path = path
        self._role = role
        self._session = session or "portico"
        self._region = region

    async def find(self, fetch: Fetch, now: float) -> Found | None:
        """Exchange the token in the file, which the platform renews, for keys."""
        token = read("AWS web identity", self._path)
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self._role,
            "RoleSessionName": self._session,
            "WebIdentityToken": token,
        }
        headers = [("content-type", "application/x-www-form-urlencoded")]
        url = f"https://{sts_host(self._region)}/"
        reply = await ask(fetch, "AWS web identity", "POST", url, headers, urlencode(form).encode())
        return _from_sts("AWS web identity", reply[0], reply[2])


async def assume_role(
    fetch: Fetch, now: float, keys: AwsKeys, role: str, region: str, session: str | None, external_id: str | None
) -> Found:
    """Return the keys of a role that `keys` may assume. CredentialError when they may not."""
    form = {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": role,
        "RoleSessionName": session or "portico",
    }
    if external_id:
        form["ExternalId"] = external_id
    body = urlencode(form).encode()
    host = sts_host(region)
    headers = [("content-type", "application/x-www-form-urlencoded")]
    headers += Signer(keys, region, "sts").sign("POST", host, "/", "", headers, body, now)
    status, _, content = await ask(fetch, "AWS role", "POST", f"https://{host}/", headers, body)
    return _from_sts("AWS role", status, content)


class Role:
    """A role assumed with the keys of the sources after it."""

    def __init__(
        self, sources: Sequence[AwsSource], role: str, session: str | None, external_id: str | None, region: str
    ) -> None:
        self._sources = sources
        self._role = role
        self._session = session
        self._external_id = external_id
        self._region = region

    async def find(self, fetch: Fetch, now: float) -> Found | None:
        """Assume the role with the first keys found."""
        keys, _ = await first(self._sources, fetch, now)
        return await assume_role(fetch, now, keys, self._role, self._region, self._session, self._external_id)


class Container:
    """What ECS and EKS Pod Identity offer at a local address."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def find(self, fetch: Fetch, now: float) -> Found | None:
        """Ask the container's endpoint. The token is sent to no host that the AWS SDKs would not trust."""
        relative = self._environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        full = self._environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        if relative:
            url = f"http://{_CONTAINER_HOST}/{relative.lstrip('/')}"
        elif full:
            url = full
            parts = urlsplit(full)
            if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _CONTAINER_HOSTS):
                raise CredentialError(
                    f"AWS container: AWS_CONTAINER_CREDENTIALS_FULL_URI names {parts.hostname!r}, which is neither "
                    "HTTPS nor an address of this machine's container agent."
                )
        else:
            return None
        headers = [("accept", "application/json")]
        token = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        if path := self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            token = read("AWS container", path)
        if token:
            token = token.strip()
            if any(character < " " for character in token):
                raise CredentialError("AWS container: the authorization token holds a control character.")
            headers.append(("authorization", token))
        reply = await ask_json(fetch, "AWS container", "GET", url, headers)
        return _from_json("AWS container", reply)


class Instance:
    """The role of the EC2 instance, by its metadata service, version 2."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def find(self, fetch: Fetch, now: float) -> Found | None:
        """Ask the metadata service, or return None when it is switched off or not there."""
        if self._environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            return None
        endpoint = self._environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254"
        root = f"{endpoint.rstrip('/')}/latest"
        lifetime = [("x-aws-ec2-metadata-token-ttl-seconds", "21600")]
        try:
            status, _, token = await ask(fetch, "AWS instance", "PUT", f"{root}/api/token", lifetime)
        except CredentialError:
            return None  # not on EC2: there is nobody at this address
        if status != 200:
            return None
        session = [("x-aws-ec2-metadata-token", token.decode("latin-1").strip())]
        base = f"{root}/meta-data/iam/security-credentials/"
        status, _, roles = await ask(fetch, "AWS instance", "GET", base, session)
        if status == 404:
            return None  # the instance has no role
        role = roles.decode("latin-1").split("\n")[0].strip()
        if status != 200 or not _ROLE_NAME.match(role):
            raise CredentialError(f"AWS instance: the metadata service answered {status} without a role.")
        reply = await ask_json(fetch, "AWS instance", "GET", base + role, session)
        if reply.get("Code", "Success") != "Success":
            raise CredentialError("AWS instance: the metadata service has no keys for the role.")
        return _from_json("AWS instance", reply)


def sts_host(region: str) -> str:
    """Return the host of the Security Token Service in a region."""
    return f"sts.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


def _from_json(what: str, reply: dict[str, object]) -> Found:
    keys = AwsKeys(text(what, reply, "AccessKeyId"), text(what, reply, "SecretAccessKey"), text(what, reply, "Token"))
    return keys, _instant(what, text(what, reply, "Expiration"))


def _from_sts(what: str, status: int, content: bytes) -> Found:
    # The reply is XML of fixed shape; a parser would only add what hostile XML can do to parsers.
    written = content.decode("utf-8", "replace")
    if status != 200:
        code = re.search(r"<Code>([A-Za-z0-9.]{1,64})</Code>", written)
        raise CredentialError(f"{what}: STS answered {status}{f' ({code[1]})' if code else ''}.")

    def field(name: str) -> str:
        found = re.search(rf"<{name}>\s*([^<\s]+)\s*</{name}>", written)
        if found is None:
            raise CredentialError(f"{what}: the reply of STS has no {name!r}.")
        return unescape(found[1])

    keys = AwsKeys(field("AccessKeyId"), field("SecretAccessKey"), field("SessionToken"))
    return keys, _instant(what, field("Expiration"))


def _instant(what: str, written: str) -> float:
    try:
        moment = datetime.fromisoformat(written)
        if moment.tzinfo is None:
            raise ValueError
    except ValueError:
        raise CredentialError(f"{what}: the keys end at {json.dumps(written[:40])}, which is no time.") from None
    return moment.timestamp()
