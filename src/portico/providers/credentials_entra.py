"""Entra credentials of an Azure provider without a key."""

from collections.abc import Mapping

from portico.errors import ConfigError
from portico.providers.auth.entra import AUTHORITY, ClientSecret, Federated, ManagedIdentity
from portico.providers.auth.token import Source
from portico.providers.row import Row


def entra(name: str, row: Row, options: Mapping[str, str], environ: Mapping[str, str]) -> Source | None:
    """Return where tokens are from, None where nothing says it. ConfigError for an authority that is none."""

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
