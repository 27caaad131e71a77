"""The credentials of a provider: from its row, its configuration and the environment, one for each key."""

import re
from collections.abc import Mapping

from portico.errors import ConfigError, CredentialError
from portico.providers.auth import google
from portico.providers.auth.aws import Aws
from portico.providers.auth.aws_profile import profile
from portico.providers.auth.aws_sources import (
    AwsSource,
    Container,
    Environment,
    Given,
    Instance,
    Profile,
    Role,
    WebIdentity,
)
from portico.providers.auth.bearer import Bearer
from portico.providers.auth.entra import AUTHORITY, ClientSecret, Federated, ManagedIdentity
from portico.providers.auth.header import Header
from portico.providers.auth.ibm import ApiKey
from portico.providers.auth.none import Anonymous
from portico.providers.auth.scheme import Auth, Clock
from portico.providers.auth.sigv4 import AwsKeys
from portico.providers.auth.token import Source, Token
from portico.providers.row import Row, Scheme

OPTIONS: Mapping[Scheme, frozenset[str]] = {
    "aws": frozenset(
        {
            "access_key_id",
            "secret_access_key",
            "session_token",
            "profile",
            "role_arn",
            "role_session_name",
            "external_id",
            "web_identity_token_file",
        }
    ),
    "azure": frozenset(
        {"tenant_id", "client_id", "client_secret", "federated_token_file", "managed_identity", "authority", "scope"}
    ),
    "google": frozenset({"credentials"}),
}
"""Options that belong to an auth scheme rather than to a row."""

_SENDABLE = re.compile(r"[\x21-\x7e]+")


def inferred(row: Row, options: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return options that the credentials themselves know: the region of an AWS profile, a service account's project.

    ConfigError when a credentials file that is named cannot be read.
    """
    if row.auth == "aws" and "region" in row.options:
        try:
            found = profile(environ, options.get("profile")) or {}
        except CredentialError as error:
            raise ConfigError(error.message) from None
        return {"region": found["region"]} if found.get("region") else {}
    if row.auth == "google" and "project" in row.options:
        document = google.document(options.get("credentials"), environ)
        for name in ("project_id", "quota_project_id"):
            if document and isinstance(project := document.get(name), str) and project:
                return {"project": project}
    return {}


def credentials(
    name: str, row: Row, keys: tuple[str, ...], options: Mapping[str, str], environ: Mapping[str, str], clock: Clock
) -> tuple[Auth, ...]:
    """Return one credential per key; without keys, what the scheme finds elsewhere. ConfigError when that is nothing.

    `options` are those of the configuration and the row's, all known to be text.
    """
    for number, key in enumerate(keys, 1):
        if not _SENDABLE.fullmatch(key):
            raise ConfigError(f"Key {number} of provider {name!r} holds a blank or a character no header can carry.")
    if keys:
        return tuple(_keyed(f"{name}#{number}", row, key) for number, key in enumerate(keys, 1))
    only = f"{name}#1"
    match row.auth:
        case "aws":
            return (_aws(only, row, options, environ, clock),)
        case "google":
            source, extra = google.source(google.document(options.get("credentials"), environ), environ)
            return (Token(only, "google", source, extra),)
        case "azure" if (entra := _entra(name, row, options, environ)) is not None:
            return (Token(only, "entra", entra),)
        case _:
            return (Anonymous(only),)


def _keyed(name: str, row: Row, key: str) -> Auth:
    match row.auth:
        case "header":
            return Header(name, row.header, key)
        case "azure":
            return Header(name, row.header or "api-key", key)
        case "google":
            return Header(name, "x-goog-api-key", key)
        case "ibm":
            return Token(name, "ibm", ApiKey(key))
        case _:
            return Bearer(name, key)


def _aws(name: str, row: Row, options: Mapping[str, str], environ: Mapping[str, str], clock: Clock) -> Auth:
    region = options["region"]
    role, session, token_file = (
        options.get(option) or environ.get(variable)
        for option, variable in (
            ("role_arn", "AWS_ROLE_ARN"),
            ("role_session_name", "AWS_ROLE_SESSION_NAME"),
            ("web_identity_token_file", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        )
    )
    identity = [WebIdentity(token_file, role, session, region)] if token_file and role else []
    sources: list[AwsSource]
    if "access_key_id" in options or "secret_access_key" in options:
        if "access_key_id" not in options or "secret_access_key" not in options:
            raise ConfigError(f"{name}: `access_key_id` and `secret_access_key` go together.")
        keys = AwsKeys(options["access_key_id"], options["secret_access_key"], options.get("session_token"))
        sources = [Given(keys)]
    elif "profile" in options:
        sources = [Profile(environ, options["profile"], region, required=True)]
    elif "web_identity_token_file" in options:
        if not identity:
            raise ConfigError(f"{name}: `web_identity_token_file` needs a `role_arn`.")
        sources = list(identity)
    else:
        sources = [
            Environment(environ),
            *identity,
            Profile(environ, None, region),
            Container(environ),
            Instance(environ),
        ]
    if "role_arn" in options and "web_identity_token_file" not in options:
        sources = [Role(sources, options["role_arn"], session, options.get("external_id"), region)]
    return Aws(name, sources, region, row.service, clock)


def _entra(name: str, row: Row, options: Mapping[str, str], environ: Mapping[str, str]) -> Source | None:
    def given(option: str, variable: str) -> str | None:
        return options.get(option) or environ.get(variable) or None

    tenant, client = given("tenant_id", "AZURE_TENANT_ID"), given("client_id", "AZURE_CLIENT_ID")
    scope = options.get("scope") or row.scope
    authority = given("authority", "AZURE_AUTHORITY_HOST") or AUTHORITY
    if not authority.startswith("https://"):
        raise ConfigError(f"Provider {name!r}: the Entra authority is not an https:// URL.")
    managed = options.get("managed_identity")
    if managed and managed != "false":
        chosen = None if managed == "true" else managed
        return ManagedIdentity(scope, chosen, environ.get("IDENTITY_ENDPOINT"), environ.get("IDENTITY_HEADER"))
    if tenant and client and (secret := given("client_secret", "AZURE_CLIENT_SECRET")):
        return ClientSecret(tenant, client, secret, scope, authority)
    if tenant and client and (path := given("federated_token_file", "AZURE_FEDERATED_TOKEN_FILE")):
        return Federated(tenant, client, path, scope, authority)
    if environ.get("IDENTITY_ENDPOINT") and environ.get("IDENTITY_HEADER"):
        return ManagedIdentity(scope, client, environ["IDENTITY_ENDPOINT"], environ["IDENTITY_HEADER"])
    return None
