"""Azure's identities, IBM's keys: the right endpoint is asked with the right proof."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.providers.auth.fakes import Network

from portico.config import schema
from portico.errors import ConfigError, CredentialError
from portico.providers.auth import Auth
from portico.providers.catalog import resolve

NOW = 1_800_000_000.0
TOKEN = {"access_token": "eyJ.token", "expires_in": 3599}
URL = "https://login.microsoftonline.com/my-tenant/oauth2/v2.0/token"
APPLICATION = {"AZURE_TENANT_ID": "my-tenant", "AZURE_CLIENT_ID": "my-client"}


def auth(environ: dict[str, str], name: str = "azure", **options: object) -> Auth:
    declared = schema.Provider(options={"resource": "r", **options})  # type: ignore[dict-item]
    return resolve(name, declared, {"HOME": "/nonexistent"} | environ).credentials[0]


async def header(credential: Auth, network: Network) -> str:
    await credential.prepare(network, NOW)
    ((name, value),) = credential.headers("POST", "h", "/", "", [], b"")
    assert name == "authorization"
    return value


async def test_an_application_proves_itself_with_its_secret() -> None:
    network = Network({URL: TOKEN})
    credential = auth(APPLICATION | {"AZURE_CLIENT_SECRET": "my-secret"})
    assert await header(credential, network) == "Bearer eyJ.token"
    assert network.asked[0].form == {
        "grant_type": "client_credentials",
        "client_id": "my-client",
        "client_secret": "my-secret",
        "scope": "https://cognitiveservices.azure.com/.default",
    }
    assert credential.ready(NOW + 3298)
    assert not credential.ready(NOW + 3299)


async def test_foundry_wants_a_token_of_its_own_scope() -> None:
    network = Network({URL: TOKEN})
    await auth(APPLICATION | {"AZURE_CLIENT_SECRET": "s"}, "azure_anthropic").prepare(network, NOW)
    assert network.asked[0].form["scope"] == "https://ai.azure.com/.default"


async def test_options_win_over_the_environment() -> None:
    network = Network({"https://login.microsoftonline.us/other/oauth2/v2.0/token": TOKEN})
    credential = auth(
        APPLICATION | {"AZURE_CLIENT_SECRET": "s"},
        tenant_id="other",
        client_secret="t",
        authority="https://login.microsoftonline.us/",
        scope="https://cognitiveservices.azure.us/.default",
    )
    await credential.prepare(network, NOW)
    form = network.asked[0].form
    assert (form["client_secret"], form["scope"]) == ("t", "https://cognitiveservices.azure.us/.default")


async def test_a_workload_proves_itself_with_the_token_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("jwt-1\n")
    network = Network({URL: TOKEN})
    credential = auth(APPLICATION | {"AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token")})
    assert await header(credential, network) == "Bearer eyJ.token"
    form = network.asked[0].form
    assert form["client_assertion"] == "jwt-1"
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    (tmp_path / "token").write_text("")
    with pytest.raises(CredentialError, match="is empty"):
        await credential.prepare(network, NOW + 3600)


IMDS = "http://169.254.169.254/metadata/identity/oauth2/token"


@pytest.mark.parametrize(("managed", "client"), [(True, None), ("my-identity", "my-identity")])
async def test_a_machine_is_asked_for_its_identity(managed: bool | str, client: str | None) -> None:
    network = Network({IMDS: {"access_token": "eyJ.vm", "expires_on": str(int(NOW) + 86_400)}})
    credential = auth({}, managed_identity=managed)
    assert await header(credential, network) == "Bearer eyJ.vm"
    (asked,) = network.asked
    query = parse_qs(urlsplit(asked.url).query)
    assert query["api-version"] == ["2018-02-01"]
    assert query["resource"] == ["https://cognitiveservices.azure.com"]
    assert query.get("client_id") == ([client] if client else None)
    assert asked.headers == {"metadata": "true"}
    assert credential.ready(NOW + 86_000)
    assert not credential.ready(NOW + 86_100)


async def test_an_app_service_is_asked_at_its_own_endpoint() -> None:
    environ = {"IDENTITY_ENDPOINT": "http://127.0.0.1:41000/msi/token", "IDENTITY_HEADER": "local-secret"}
    network = Network({"http://127.0.0.1:41000/msi/token": {"access_token": "eyJ.app", "expires_on": NOW + 3600}})
    assert await header(auth(environ), network) == "Bearer eyJ.app"
    assert network.asked[0].headers == {"x-identity-header": "local-secret"}
    assert parse_qs(urlsplit(network.asked[0].url).query)["api-version"] == ["2019-08-01"]


async def test_a_refusal_shows_its_code_and_no_secret() -> None:
    refusal = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid secret PLANTED"}
    with pytest.raises(CredentialError) as failed:
        await auth(APPLICATION | {"AZURE_CLIENT_SECRET": "PLANTED"}).prepare(Network({URL: (401, refusal)}), NOW)
    assert failed.value.message == (
        "Entra application: login.microsoftonline.com answered 401 (invalid_client, AADSTS7000215)."
    )


@pytest.mark.parametrize(
    "reply", [{}, {"access_token": ""}, {"access_token": "x"}, {"access_token": "x", "expires_in": "soon"}]
)
async def test_a_reply_without_a_token_or_its_end_is_an_error(reply: dict[str, str]) -> None:
    with pytest.raises(CredentialError):
        await auth(APPLICATION | {"AZURE_CLIENT_SECRET": "s"}).prepare(Network({URL: reply}), NOW)


def test_an_authority_in_the_clear_is_refused() -> None:
    with pytest.raises(ConfigError, match="authority is not an https:// URL"):
        auth(APPLICATION | {"AZURE_CLIENT_SECRET": "s", "AZURE_AUTHORITY_HOST": "http://evil.example"})


async def test_an_ibm_key_is_exchanged_for_a_token() -> None:
    network = Network({"https://iam.cloud.ibm.com/identity/token": TOKEN})
    credential = resolve("watsonx", schema.Provider(api_keys=("k1", "k2")), {}).credentials[1]
    assert await header(credential, network) == "Bearer eyJ.token"
    assert network.asked[0].form == {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": "k2"}
    assert repr(credential) == "<Token watsonx#2 ibm>"
