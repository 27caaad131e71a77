"""AWS keys are found where the AWS SDKs find them, in their order, and sent nowhere else."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.providers.auth.fakes import Network

from portico.config import schema
from portico.errors import ConfigError, CredentialError
from portico.providers.auth import Auth
from portico.providers.auth.aws_profile import profile
from portico.providers.auth.sigv4 import AwsKeys, Signer
from portico.providers.catalog import resolve

NOW = 1_800_000_000.0
ENDS = datetime.fromtimestamp(NOW + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
STS = f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
  <Credentials><AccessKeyId>ASIA-STS</AccessKeyId><SecretAccessKey>s&amp;+/=ts</SecretAccessKey>
  <SessionToken>TOKEN-STS</SessionToken><Expiration>{ENDS}</Expiration></Credentials>
  </AssumeRoleResult></AssumeRoleWithWebIdentityResponse>""".encode()
LENT = {"AccessKeyId": "ASIA-LENT", "SecretAccessKey": "lent", "Token": "TOKEN-LENT", "Expiration": ENDS}
IMDS = "http://169.254.169.254/latest"
INSTANCE = {
    f"{IMDS}/api/token": b"session-token",
    f"{IMDS}/meta-data/iam/security-credentials/": b"my-role\n",
    f"{IMDS}/meta-data/iam/security-credentials/my-role": {"Code": "Success", **LENT},
}


def auth(environ: dict[str, str], **options: str) -> Auth:
    provider = resolve(
        "bedrock", schema.Provider(options=options), {"HOME": "/nonexistent"} | environ, clock=lambda: NOW
    )
    (credential,) = provider.credentials
    return credential


async def signed(credential: Auth, network: Network) -> dict[str, str]:
    """Return the headers of a request, and see that they are what the right keys sign."""
    await credential.prepare(network, NOW)
    assert credential.ready(NOW)
    return dict(
        credential.headers("POST", "h", "/p", "", [("content-type", "application/json"), ("accept", "x")], b"body")
    )


def by(keys: AwsKeys, region: str = "us-east-1") -> dict[str, str]:
    signer = Signer(keys, region, "bedrock")
    return dict(signer.sign("POST", "h", "/p", "", [("content-type", "application/json")], b"body", NOW))


NOBODY = Network({})


async def test_keys_of_the_configuration_come_first() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "env"}
    credential = auth(environ, access_key_id="A", secret_access_key="S", session_token="T")
    assert await signed(credential, NOBODY) == by(AwsKeys("A", "S", "T"))


async def test_keys_of_the_environment_are_used_with_their_session_token() -> None:
    environ = {
        "AWS_ACCESS_KEY_ID": "A",
        "AWS_SECRET_ACCESS_KEY": "S",
        "AWS_SESSION_TOKEN": "T",
        "AWS_REGION": "eu-west-1",
    }
    assert await signed(auth(environ), NOBODY) == by(AwsKeys("A", "S", "T"), "eu-west-1")


def test_what_aws_demands_is_signed_and_nothing_that_may_change() -> None:
    headers = by(AwsKeys("A", "S"))
    assert "SignedHeaders=content-type;host;x-amz-date," in headers["authorization"]


async def test_a_bedrock_key_is_a_bearer_token() -> None:
    credential = auth({"AWS_BEARER_TOKEN_BEDROCK": "bedrock-api-key", "AWS_ACCESS_KEY_ID": "A"})
    assert credential.static
    assert credential.headers("POST", "h", "/", "", [], b"") == [("authorization", "Bearer bedrock-api-key")]


def files(folder: Path, credentials: str = "", config: str = "") -> dict[str, str]:
    (folder / "credentials").write_text(credentials)
    (folder / "config").write_text(config)
    return {"AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"), "AWS_CONFIG_FILE": str(folder / "config")}


KEYS = "aws_access_key_id = {0}\naws_secret_access_key = {0}%s&\n"


async def test_keys_of_a_profile_are_used(tmp_path: Path) -> None:
    environ = files(tmp_path, f"[default]\n{KEYS.format('D')}[other]\n{KEYS.format('O')}aws_session_token = T\n")
    assert await signed(auth(environ), NOBODY) == by(AwsKeys("D", "D%s&"))
    assert await signed(auth(environ | {"AWS_PROFILE": "other"}), NOBODY) == by(AwsKeys("O", "O%s&", "T"))
    assert await signed(auth(environ, profile="other"), NOBODY) == by(AwsKeys("O", "O%s&", "T"))


async def test_the_credentials_file_wins_over_the_config_file(tmp_path: Path) -> None:
    environ = files(tmp_path, f"[p]\n{KEYS.format('C')}", f"[profile p]\nregion=eu-west-3\n{KEYS.format('X')}")
    assert profile(environ, "p") == {
        "region": "eu-west-3",
        "aws_access_key_id": "C",
        "aws_secret_access_key": "C%s&",
    }
    assert await signed(auth(environ, profile="p"), NOBODY) == by(AwsKeys("C", "C%s&"), "eu-west-3")


async def test_a_profile_that_is_named_must_be_there_and_have_keys(tmp_path: Path) -> None:
    environ = files(tmp_path, "", "[profile sso]\nsso_session = x\n")
    with pytest.raises(CredentialError, match="'missing' is in neither of the shared files"):
        await auth(environ, profile="missing").prepare(NOBODY, NOW)
    with pytest.raises(CredentialError, match="'sso' has no keys of a kind that is supported here"):
        await auth(environ, profile="sso").prepare(NOBODY, NOW)


def test_a_broken_file_is_named_without_its_content(tmp_path: Path) -> None:
    environ = files(tmp_path, "aws_secret_access_key = PLANTED\n")
    with pytest.raises(CredentialError) as failed:
        profile(environ, None)
    assert "PLANTED" not in str(failed.value)
    assert "MissingSectionHeaderError" in str(failed.value)
    with pytest.raises(ConfigError) as refused:
        auth(environ | {"AWS_ACCESS_KEY_ID": "A"})
    assert "PLANTED" not in str(refused.value)


async def test_a_profile_assumes_a_role_with_another_profiles_keys(tmp_path: Path) -> None:
    environ = files(
        tmp_path,
        f"[base]\n{KEYS.format('B')}",
        "[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n"
        "external_id = e\nrole_session_name = n\n",
    )
    network = Network({"https://sts.eu-west-1.amazonaws.com/": STS})
    credential = auth(environ, profile="role", region="eu-west-1")
    assert await signed(credential, network) == by(AwsKeys("ASIA-STS", "s&+/=ts", "TOKEN-STS"), "eu-west-1")
    (asked,) = network.asked
    assert asked.form == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": "arn:aws:iam::1:role/r",
        "RoleSessionName": "n",
        "ExternalId": "e",
    }
    expected = Signer(AwsKeys("B", "B%s&"), "eu-west-1", "sts").sign(
        "POST",
        "sts.eu-west-1.amazonaws.com",
        "/",
        "",
        [("content-type", "application/x-www-form-urlencoded")],
        asked.body,
        NOW,
    )
    assert asked.headers["authorization"] == dict(expected)["authorization"]


async def test_profiles_that_lead_in_a_circle_are_refused(tmp_path: Path) -> None:
    role = "role_arn = arn:aws:iam::1:role/r\nsource_profile = "
    environ = files(tmp_path, "", f"[profile a]\n{role}b\n[profile b]\n{role}a\n")
    with pytest.raises(CredentialError, match="is its own source_profile"):
        await auth(environ, profile="a").prepare(NOBODY, NOW)


async def test_a_role_of_the_configuration_is_assumed_with_the_keys_that_are_found() -> None:
    network = Network({"https://sts.us-east-1.amazonaws.com/": STS})
    environ = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}
    credential = auth(environ, role_arn="arn:aws:iam::2:role/far")
    assert await signed(credential, network) == by(AwsKeys("ASIA-STS", "s&+/=ts", "TOKEN-STS"))
    assert network.asked[0].form["RoleArn"] == "arn:aws:iam::2:role/far"


async def test_a_web_identity_is_exchanged_unsigned_and_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("jwt-1\n")
    network = Network({"https://sts.cn-north-1.amazonaws.com.cn/": STS})
    environ = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(path),
        "AWS_ROLE_ARN": "arn:aws-cn:iam::1:role/r",
        "AWS_ROLE_SESSION_NAME": "pod",
        "AWS_REGION": "cn-north-1",
    }
    credential = auth(environ)
    assert await signed(credential, network) == by(AwsKeys("ASIA-STS", "s&+/=ts", "TOKEN-STS"), "cn-north-1")
    assert network.asked[0].form["WebIdentityToken"] == "jwt-1"
    assert network.asked[0].form["RoleSessionName"] == "pod"
    assert "authorization" not in network.asked[0].headers
    path.write_text("jwt-2")
    assert not credential.ready(NOW + 3400)
    await credential.prepare(network, NOW + 3400)
    assert network.asked[1].form["WebIdentityToken"] == "jwt-2"


async def test_a_refusal_of_sts_is_named_by_its_code(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("PLANTED")
    refusal = (
        b"<ErrorResponse><Error><Code>ExpiredTokenException</Code><Message>PLANTED</Message></Error></ErrorResponse>"
    )
    network = Network({"https://sts.us-east-1.amazonaws.com/": (400, refusal)})
    with pytest.raises(CredentialError) as failed:
        await auth({"AWS_WEB_IDENTITY_TOKEN_FILE": str(path), "AWS_ROLE_ARN": "r"}).prepare(network, NOW)
    assert failed.value.message == "AWS web identity: STS answered 400 (ExpiredTokenException)."


async def test_a_container_of_ecs_is_asked_by_its_relative_address() -> None:
    network = Network({"http://169.254.170.2/v2/credentials/1": LENT})
    credential = auth({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1"})
    assert await signed(credential, network) == by(AwsKeys("ASIA-LENT", "lent", "TOKEN-LENT"))
    assert "authorization" not in network.asked[0].headers


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::23]/v1/credentials",
        "http://localhost:8080/x",
        "https://agent.example/x",
    ],
)
async def test_a_container_of_eks_is_asked_with_its_token(url: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("pod-token\n")
    network = Network({url: LENT})
    environ = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": url,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
    }
    assert await signed(auth(environ), network) == by(AwsKeys("ASIA-LENT", "lent", "TOKEN-LENT"))
    assert network.asked[0].headers["authorization"] == "pod-token"


@pytest.mark.parametrize(
    "url",
    ["http://evil.example/x", "http://169.254.169.254/x", "http://127.0.0.1.evil.example/", "ftp://localhost/x", "x"],
)
async def test_no_other_address_gets_the_containers_token(url: str) -> None:
    network = Network({url: LENT})
    environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "PLANTED"}
    with pytest.raises(CredentialError) as failed:
        await auth(environ).prepare(network, NOW)
    assert network.asked == []
    assert "PLANTED" not in str(failed.value)


async def test_an_instance_is_asked_with_a_session() -> None:
    network = Network(dict(INSTANCE))
    assert await signed(auth({}), network) == by(AwsKeys("ASIA-LENT", "lent", "TOKEN-LENT"))
    first, second, third = network.asked
    assert (first.method, first.headers) == ("PUT", {"x-aws-ec2-metadata-token-ttl-seconds": "21600"})
    assert second.headers == third.headers == {"x-aws-ec2-metadata-token": "session-token"}


async def test_an_instance_may_be_switched_off_or_be_elsewhere() -> None:
    network = Network(dict(INSTANCE))
    with pytest.raises(CredentialError, match="No AWS keys were found"):
        await auth({"AWS_EC2_METADATA_DISABLED": "true"}).prepare(network, NOW)
    assert network.asked == []
    with pytest.raises(CredentialError, match=r"looked in: environment, profile, container, instance\."):
        await auth({}).prepare(NOBODY, NOW)
    moved = Network({name.replace("169.254.169.254", "box:1338"): reply for name, reply in INSTANCE.items()})
    await auth({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://box:1338/"}).prepare(moved, NOW)
    assert len(moved.asked) == 3


@pytest.mark.parametrize(
    "changed",
    [
        {f"{IMDS}/meta-data/iam/security-credentials/": (500, b"")},
        {f"{IMDS}/meta-data/iam/security-credentials/": b"../../x"},
        {f"{IMDS}/meta-data/iam/security-credentials/my-role": {"Code": "Failed", **LENT}},
        {f"{IMDS}/meta-data/iam/security-credentials/my-role": {**LENT, "Expiration": "soon"}},
        {f"{IMDS}/meta-data/iam/security-credentials/my-role": {**LENT, "Expiration": "2027-01-01T00:00:00"}},
        {f"{IMDS}/meta-data/iam/security-credentials/my-role": {**LENT, "SecretAccessKey": ""}},
        {f"{IMDS}/meta-data/iam/security-credentials/my-role": b"no json"},
    ],
)
async def test_an_instance_that_answers_nonsense_is_an_error(changed: dict[str, object]) -> None:
    with pytest.raises(CredentialError) as failed:
        await auth({}).prepare(Network(INSTANCE | changed), NOW)
    assert "LENT" not in str(failed.value)


async def test_an_instance_without_a_role_has_no_keys() -> None:
    network = Network(INSTANCE | {f"{IMDS}/meta-data/iam/security-credentials/": (404, b"")})
    with pytest.raises(CredentialError, match="No AWS keys were found"):
        await auth({}).prepare(network, NOW)


async def test_keys_are_renewed_ahead_of_their_end() -> None:
    network = Network({"http://169.254.170.2/c": LENT})
    credential = auth({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/c"})
    await credential.prepare(network, NOW)
    assert credential.ready(NOW + 3299)
    assert not credential.ready(NOW + 3300)
    assert repr(credential) == "<Aws bedrock#1 bedrock us-east-1>"
