"""Google's tokens: each kind of credential asks the right place with the right proof."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from tests.providers.auth.fakes import Network

from portico.config import schema
from portico.errors import ConfigError, CredentialError
from portico.providers.auth import Auth, Headers
from portico.providers.auth.google import ServiceAccount, document, source
from portico.providers.catalog import resolve

NOW = 1_800_000_000.0
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
ACCOUNT = {
    "type": "service_account",
    "project_id": "my-project",
    "private_key_id": "key-1",
    "private_key": PEM,
    "client_email": "robot@my-project.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}
LOGIN = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
TOKEN = {"access_token": "ya29.token", "expires_in": 3599, "token_type": "Bearer"}
OAUTH = "https://oauth2.googleapis.com/token"
IAM = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/x@y:generateAccessToken"
STS = "https://sts.googleapis.com/v1/token"
MADE = {"accessToken": "ya29.other", "expireTime": "2027-01-15T09:00:00Z"}


def auth(found: dict[str, Any] | None, environ: dict[str, str] | None = None) -> Auth:
    options = {"project": "p"} | ({"credentials": json.dumps(found)} if found else {})
    provider = resolve("vertex", schema.Provider(options=options), {"HOME": "/nonexistent"} | (environ or {}))
    return provider.credentials[0]


async def headers(credential: Auth, network: Network) -> Headers:
    await credential.prepare(network, NOW)
    return credential.headers("POST", "h", "/", "", [], b"")


def unpacked(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


async def test_a_service_account_signs_a_claim_and_gets_a_token() -> None:
    network = Network({OAUTH: TOKEN})
    credential = auth(ACCOUNT)
    assert await headers(credential, network) == [("authorization", "Bearer ya29.token")]
    (asked,) = network.asked
    assert asked.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signature = asked.form["assertion"].split(".")
    assert unpacked(head) == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    assert unpacked(claims) == {
        "iss": "robot@my-project.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": OAUTH,
        "iat": 1_800_000_000,
        "exp": 1_800_003_600,
    }
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    KEY.public_key().verify(raw, f"{head}.{claims}".encode(), padding.PKCS1v15(), SHA256())


async def test_a_token_is_renewed_five_minutes_ahead() -> None:
    credential = auth(ACCOUNT)
    await credential.prepare(Network({OAUTH: TOKEN}), NOW)
    assert credential.ready(NOW + 3298)
    assert not credential.ready(NOW + 3299)


async def test_a_persons_login_is_refreshed() -> None:
    network = Network({OAUTH: TOKEN})
    credential = auth(LOGIN | {"quota_project_id": "billed"})
    assert await headers(credential, network) == [
        ("authorization", "Bearer ya29.token"),
        ("x-goog-user-project", "billed"),
    ]
    assert network.asked[0].form == {
        "grant_type": "refresh_token",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
    }


async def test_without_a_file_the_metadata_server_is_asked() -> None:
    url = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
    network = Network({url: TOKEN})
    assert await headers(auth(None), network) == [("authorization", "Bearer ya29.token")]
    assert network.asked[0].headers == {"metadata-flavor": "Google"}
    with pytest.raises(CredentialError, match=r"metadata\.google\.internal could not be asked"):
        await auth(None).prepare(Network({}), NOW)


async def test_an_impersonated_account_is_asked_for_with_the_tokens_of_its_source() -> None:
    network = Network({OAUTH: TOKEN, IAM: MADE})
    found = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": IAM,
        "source_credentials": LOGIN,
    }
    credential = auth(found)
    assert await headers(credential, network) == [("authorization", "Bearer ya29.other")]
    assert network.asked[1].headers["authorization"] == "Bearer ya29.token"
    assert json.loads(network.asked[1].body)["scope"] == ["https://www.googleapis.com/auth/cloud-platform"]
    assert credential.ready(1_800_003_599.0 - 300)
    assert not credential.ready(1_800_003_600.0 - 300)


EXTERNAL = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": STS,
}


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        ("jwt-1\n", None),
        ("jwt-1", {"type": "text"}),
        ('{"t": "jwt-1"}', {"type": "json", "subject_token_field_name": "t"}),
    ],
)
async def test_a_federated_identity_exchanges_the_token_in_its_file(
    content: str, shape: dict[str, str] | None, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(content)
    place = {"file": str(tmp_path / "token")} | ({"format": shape} if shape else {})
    network = Network({STS: TOKEN})
    assert await headers(auth(EXTERNAL | {"credential_source": place}), network) == [
        ("authorization", "Bearer ya29.token")
    ]
    form = network.asked[0].form
    assert form["subject_token"] == "jwt-1"
    assert form["audience"] == EXTERNAL["audience"]
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"


async def test_a_federated_identity_may_fetch_its_token_and_become_an_account() -> None:
    place = {
        "url": "http://169.254.169.254/metadata/token",
        "headers": {"Metadata": "True"},
        "format": {"type": "text"},
    }
    network = Network({"http://169.254.169.254/metadata/token": b"jwt-1", STS: TOKEN, IAM: MADE})
    credential = auth(EXTERNAL | {"credential_source": place, "service_account_impersonation_url": IAM})
    assert await headers(credential, network) == [("authorization", "Bearer ya29.other")]
    assert network.asked[0].headers == {"metadata": "True"}
    assert network.asked[1].form["subject_token"] == "jwt-1"
    assert network.asked[2].headers["authorization"] == "Bearer ya29.token"


async def test_a_subject_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    for place, reply in (
        ({"file": str(tmp_path / "missing")}, {}),
        ({"url": "http://x.example/t"}, {"http://x.example/t": (403, b"PLANTED")}),
        (
            {"url": "http://x.example/t", "format": {"type": "json", "subject_token_field_name": "t"}},
            {"http://x.example/t": b"[]"},
        ),
    ):
        with pytest.raises(CredentialError) as failed:
            await auth(EXTERNAL | {"credential_source": place}).prepare(Network(reply), NOW)
        assert "PLANTED" not in str(failed.value)


OTHER_KEY = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (ACCOUNT | {"private_key": "PLANTED"}, "is not a PEM key"),
        (ACCOUNT | {"private_key": OTHER_KEY.decode()}, "is not an RSA key"),
        (ACCOUNT | {"token_uri": "http://evil.example/token"}, "a `token_uri` that is not HTTPS"),
        ({**ACCOUNT, "client_email": ""}, "have no `client_email`"),
        ({"type": "gdch_service_account"}, "'gdch_service_account' are not supported"),
        (EXTERNAL | {"credential_source": {"executable": {"command": "x"}}}, "a `file` or a `url`"),
        (EXTERNAL | {"credential_source": {"environment_id": "aws1"}}, "a `file` or a `url`"),
        ({"type": "impersonated_service_account"}, "without `source_credentials`"),
        (LOGIN | {"refresh_token": 7}, "have no `refresh_token`"),
    ],
)
def test_credentials_that_cannot_be_used_are_refused_when_they_are_read(found: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        source(found, {})
    assert says in refused.value.message
    assert "PLANTED" not in str(refused.value)
    assert "BEGIN" not in str(refused.value)


def test_credentials_are_looked_for_in_the_order_of_the_documentation(tmp_path: Path) -> None:
    for name in ("option", "variable"):
        (tmp_path / name).write_text(json.dumps(LOGIN | {"client_id": name}))
    gcloud = tmp_path / ".config" / "gcloud"
    gcloud.mkdir(parents=True)
    (gcloud / "application_default_credentials.json").write_text(json.dumps(LOGIN | {"client_id": "gcloud"}))
    environ = {"HOME": str(tmp_path), "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "variable")}
    assert (document(str(tmp_path / "option"), environ) or {})["client_id"] == "option"
    assert (document(None, environ) or {})["client_id"] == "variable"
    assert (document(None, {"HOME": str(tmp_path)}) or {})["client_id"] == "gcloud"
    assert (document(None, {"CLOUDSDK_CONFIG": str(gcloud)}) or {})["client_id"] == "gcloud"
    assert document(None, {"HOME": "/nonexistent"}) is None


@pytest.mark.parametrize("content", ["PLANTED", "[]", "{}", '{"type": 1}', "\xff"])
def test_a_file_that_is_no_credential_is_named_without_its_content(content: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError) as refused:
        document(str(tmp_path / "c.json"), {})
    assert "c.json" in refused.value.message
    assert "PLANTED" not in str(refused.value)


async def test_nothing_shows_a_private_key() -> None:
    credential = auth(ACCOUNT)
    network = Network({OAUTH: (400, {"error": "invalid_grant", "error_description": "PLANTED"})})
    with pytest.raises(CredentialError) as failed:
        await credential.prepare(network, NOW)
    assert failed.value.message == (
        "Google service account robot@my-project.iam.gserviceaccount.com: "
        "oauth2.googleapis.com answered 400 (invalid_grant)."
    )
    assert "PRIVATE" not in f"{credential!r} {failed.value!r} {ServiceAccount(ACCOUNT)!r}"
