"""The credentials of a provider: from its row, its configuration and the environment, one for each key.

Most providers take a key as it is. What signs or exchanges it is loaded for those who need it: a worker holds little.
"""

import re
from collections.abc import Mapping

from portico.errors import ConfigError, CredentialError
from portico.providers.auth.bearer import Bearer
from portico.providers.auth.header import Header
from portico.providers.auth.none import Anonymous
from portico.providers.auth.scheme import Auth, Clock
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
        from portico.providers.auth.aws_profile import profile

        try:
            found = profile(environ, options.get("profile")) or {}
        except CredentialError as error:
            raise ConfigError(error.message) from None
        return {"region": found["region"]} if found.get("region") else {}
    if row.auth == "google" and "project" in row.options:
        from portico.providers.auth import google

        document = google.document(options.get("credentials"), environ)
        for name in ("project_id", "quota_project_id"):
            if document and isinstance(project := document.get(name), str) and project:
                return {"project": project}
    return {}


def sendable(key: str) -> bool:
    """Return whether a key can stand in a header."""
    return _SENDABLE.fullmatch(key) is not None


def credentials(
    name: str, row: Row, keys: tuple[str, ...], options: Mapping[str, str], environ: Mapping[str, str], clock: Clock
) -> tuple[Auth, ...]:
    """Return one credential per key; without keys, what the scheme finds elsewhere. ConfigError when that is nothing.

    `options` are those of the configuration and the row's, all known to be text.
    """
    for number, key in enumerate(keys, 1):
        if not sendable(key):
            raise ConfigError(f"Key {number} of provider {name!r} holds a blank or a character no header can carry.")
    if keys:
        return tuple(_keyed(f"{name}#{number}", row, key) for number, key in enumerate(keys, 1))
    only = f"{name}#1"
    match row.auth:
        case "aws":
            from portico.providers.credentials_aws import aws

            return (aws(only, row, options, environ, clock),)
        case "google":
            from portico.providers.auth import google
            from portico.providers.auth.token import Token

            source, extra = google.source(google.document(options.get("credentials"), environ), environ)
            return (Token(only, "google", source, extra),)
        case "azure":
            from portico.providers.auth.token import Token
            from portico.providers.credentials_entra import entra

            found = entra(name, row, options, environ)
            return (Anonymous(only),) if found is None else (Token(only, "entra", found),)
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
            from portico.providers.auth.ibm import ApiKey
            from portico.providers.auth.token import Token

            return Token(name, "ibm", ApiKey(key))
        case _:
            return Bearer(name, key)
