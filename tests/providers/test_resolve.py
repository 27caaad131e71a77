"""A provider is its row, what the configuration says, and the environment; what is missing is named."""

import json
import traceback
from pathlib import Path

import pytest

from portico.config import schema
from portico.errors import ConfigError, InvalidRequest
from portico.providers.auth.aws import Aws
from portico.providers.auth.bearer import Bearer
from portico.providers.auth.none import Anonymous
from portico.providers.auth.token import Token
from portico.providers.catalog import CATALOG, Provider, discover, resolve

HOME = {"HOME": "/nonexistent"}


def made(name: str, environ: dict[str, str] | None = None, **declared: object) -> Provider:
    return resolve(name, schema.Provider(**declared), HOME | (environ or {}))  # type: ignore[arg-type]


def sent(provider: Provider, number: int = 0) -> dict[str, str]:
    return dict(provider.credentials[number].headers("POST", "h", "/", "", [], b""))


def problems(name: str, environ: dict[str, str] | None = None, **declared: object) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        made(name, environ, **declared)
    return refused.value.message.split("\n")


# Keys


def test_a_configured_key_wins_over_the_environment() -> None:
    provider = made("openai", {"OPENAI_API_KEY": "sk-env"}, api_key="sk-config")
    assert sent(provider) == {"authorization": "Bearer sk-config"}


def test_several_keys_are_several_credentials_with_stable_names() -> None:
    provider = made("mine", like="openai", api_keys=("sk-a", "sk-b", "sk-c"))
    assert [credential.id for credential in provider.credentials] == ["mine#1", "mine#2", "mine#3"]
    assert sent(provider, 1) == {"authorization": "Bearer sk-b"}
    assert all(credential.static for credential in provider.credentials)


def test_the_first_variable_that_is_set_is_used() -> None:
    assert sent(made("gemini", {"GOOGLE_API_KEY": "b"})) == {"x-goog-api-key": "b"}
    assert sent(made("gemini", {"GEMINI_API_KEY": "", "GOOGLE_API_KEY": "b"})) == {"x-goog-api-key": "b"}
    assert sent(made("gemini", {"GEMINI_API_KEY": "a", "GOOGLE_API_KEY": "b"})) == {"x-goog-api-key": "a"}


def test_white_space_around_a_key_is_dropped() -> None:
    assert sent(made("openai", api_key="sk-x\n")) == {"authorization": "Bearer sk-x"}


def test_a_missing_key_is_named_with_its_variable() -> None:
    assert problems("openai") == ["Provider 'openai': it needs an `api_key`, or OPENAI_API_KEY in the environment."]


@pytest.mark.parametrize("key", ["sk-a\r\nx-evil: 1", "sk-ä", "sk a", "sk\x00"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    assert problems("openai", api_keys=("fine", key)) == [
        "Provider 'openai': Key 2 of provider 'openai' holds a blank or a character no header can carry."
    ]


def test_the_environments_key_does_not_go_to_an_address_of_ones_own() -> None:
    provider = made("mine", {"OPENAI_API_KEY": "sk-env"}, like="openai", base_url="http://10.0.0.5:8000/v1")
    assert isinstance(provider.credentials[0], Anonymous)
    assert provider.endpoint("chat", "m").url == "http://10.0.0.5:8000/v1/chat/completions"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("like", "key", "base_url", "used"),
    [
        ("openai", "OPENAI_API_KEY", "https://api.openai.com/v1/", True),
        ("openai", "OPENAI_API_KEY", "http://api.openai.com/v1", False),
        ("openai", "OPENAI_API_KEY", "https://api.openai.com.evil.example/v1", False),
        ("openai", "OPENAI_API_KEY", "https://api.openai.com:8443/v1", False),
        ("azure", "AZURE_OPENAI_API_KEY", "https://example.cognitiveservices.azure.com", True),
        ("bedrock", "AWS_BEARER_TOKEN_BEDROCK", "https://bedrock-runtime.eu-west-1.amazonaws.com", True),
        ("bedrock", "AWS_BEARER_TOKEN_BEDROCK", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn", True),
        ("snowflake", "SNOWFLAKE_PAT", "https://a-b.snowflakecomputing.com/api/v2/cortex/v1", True),
        ("snowflake", "SNOWFLAKE_PAT", "https://evil.example/.snowflakecomputing.com", False),
        ("vllm", "VLLM_API_KEY", "http://10.0.0.7:8000/v1", True),
    ],
)
def test_the_environments_key_goes_only_where_the_row_is(like: str, key: str, base_url: str, used: bool) -> None:
    provider = made("mine", {key: "secret"}, like=like, base_url=base_url)
    assert ("secret" in str(sent(provider)) if provider.credentials[0].static else False) is used


def test_a_server_of_ones_own_needs_no_key() -> None:
    assert isinstance(made("ollama").credentials[0], Anonymous)
    assert isinstance(made("vllm", api_key="k").credentials[0], Bearer)


def test_no_secret_is_in_a_repr_or_an_error() -> None:
    secret = "PLANTED-SECRET"
    for name in CATALOG:
        options = {"resource": "r", "account": "a", "account_id": "a", "host": "h", "project": "p", "product_id": "1"}
        options = {key: value for key, value in options.items() if key in CATALOG[name].options}
        provider = made(name, api_keys=(secret, secret), options=options)
        shown = f"{provider!r} {provider} {provider.credentials!r} {[str(c) for c in provider.credentials]}"
        assert secret not in shown, name
        assert secret not in str(vars(provider.credentials[0]).keys())
    with pytest.raises(ConfigError) as refused:
        made("openai", api_key=f"{secret} \x00", base_url=f"https://user:{secret}@x", headers={"a b": secret})
    assert len(refused.value.message.split("\n")) == 3
    assert secret not in "".join(traceback.format_exception_only(refused.value))


# Places


def test_what_a_provider_does_not_have_is_none() -> None:
    provider = made("anthropic", api_key="k")
    assert provider.endpoint("embeddings", "m") is None
    assert provider.endpoint("passthrough", "m") is None
    assert provider.operations == {"messages", "messages_count_tokens", "models", "model"}


def test_of_what_a_provider_has_only_the_operations_named_are_used() -> None:
    provider = made("openai", api_key="k", operations=("responses", "models"))
    assert provider.operations == {"responses", "models"}
    assert provider.endpoint("chat", "m") is None
    assert problems("openai", api_key="k", operations=("response", "converse")) == [
        "Provider 'openai': it has no operation 'response' here (did you mean 'responses'?).",
        "Provider 'openai': it has no operation 'converse' here (did you mean 'conversations'?).",
    ]


BASES = [
    ("anthropic", "https://proxy.example", "messages", "https://proxy.example/v1/messages"),
    ("anthropic", "https://proxy.example/v1", "messages", "https://proxy.example/v1/messages"),
    ("anthropic", "https://proxy.example/a", "messages", "https://proxy.example/a/v1/messages"),
    ("gemini", "https://proxy.example/v1beta/", "embed_content", "https://proxy.example/v1beta/models/m:embedContent"),
    ("ollama", "http://box:11434/v1", "chat", "http://box:11434/v1/chat/completions"),
    ("ollama", "http://box:11434", "chat", "http://box:11434/v1/chat/completions"),
    ("openai", "http://box/v1/", "chat", "http://box/v1/chat/completions"),
    ("openai", "box.example/v1", "chat", "https://box.example/v1/chat/completions"),
    ("azure", "https://r.openai.azure.com/openai/v1/", "responses", "https://r.openai.azure.com/openai/v1/responses"),
    (
        "azure",
        "https://r.openai.azure.com/openai",
        "chat",
        "https://r.openai.azure.com/openai/deployments/m/chat/completions?api-version=2024-10-21",
    ),
    ("moonshot", "https://proxy.example/x/v1", "messages", "https://proxy.example/x/anthropic/v1/messages"),
    ("moonshot", "https://proxy.example/v1", "messages", "https://proxy.example/anthropic/v1/messages"),
    ("moonshot", "https://proxy.example/v1", "chat", "https://proxy.example/v1/chat/completions"),
]


@pytest.mark.parametrize(("like", "base_url", "operation", "url"), BASES)
def test_a_base_url_of_ones_own_is_understood_with_and_without_the_version(
    like: str, base_url: str, operation: str, url: str
) -> None:
    endpoint = made("mine", like=like, base_url=base_url, api_key="k").endpoint(operation, "m")
    assert endpoint is not None
    assert endpoint.url == url


def test_a_place_of_which_a_base_url_says_nothing_is_left_out() -> None:
    provider = made("mine", like="moonshot", base_url="https://proxy.example/other", api_key="k")
    assert provider.endpoint("messages", "m") is None
    assert provider.endpoint("chat", "m") is not None


@pytest.mark.parametrize(
    "base_url",
    ["ftp://x", "https://", "https://u:p@x", "https://x?a=b", "https://x/..", "https://x/a b", "https://x/%2e%2e/y"],
)
def test_a_base_url_that_cannot_be_used_is_refused(base_url: str) -> None:
    (problem,) = problems("openai", base_url=base_url, api_key="k")
    assert problem.startswith("Provider 'openai': its base URL cannot be used: ")


def test_a_model_that_would_leave_its_path_is_refused() -> None:
    provider = made("bedrock", {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
    for model in ("..", "../../admin", "a/../../admin?x#y"):
        with pytest.raises(InvalidRequest):
            provider.endpoint("converse", model)
    endpoint = provider.endpoint("converse", "a/admin?x#y")
    assert endpoint is not None
    assert endpoint.path == "/model/a%2Fadmin%3Fx%23y/converse"


# Options


def test_everything_that_is_missing_or_unknown_is_named_at_once() -> None:
    assert problems("vertex", options={"projekt": "p", "loaction": "x"}) == [
        "Provider 'vertex': it has no option `projekt` (did you mean 'project'?).",
        "Provider 'vertex': it has no option `loaction` (did you mean 'location'?).",
        "Provider 'vertex': it needs the option `project`, or GOOGLE_CLOUD_PROJECT in the environment.",
    ]


def test_a_missing_address_names_every_way_to_give_it() -> None:
    (problem,) = problems("azure", api_key="k")
    ways = "the option `endpoint`, or the option `resource`, or AZURE_OPENAI_ENDPOINT in the environment"
    assert problem == f"Provider 'azure': it needs {ways}."


def test_an_unknown_provider_is_refused_with_the_nearest_one() -> None:
    assert problems("opnai")[0].startswith("Provider 'opnai': 'opnai' is not in the catalog (did you mean 'openai'?). ")
    assert "'groqq' is not in the catalog (did you mean 'groq'?)" in problems("mine", like="groqq")[0]


def test_an_option_given_in_the_configuration_wins_over_the_environment() -> None:
    environ = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert made("bedrock", environ).base.host == "bedrock-runtime.eu-west-1.amazonaws.com"
    assert (
        made("bedrock", environ, options={"region": "us-west-2"}).base.host == "bedrock-runtime.us-west-2.amazonaws.com"
    )


@pytest.mark.parametrize("region", ["us-east-1.evil.example/", "evil.example#", "a b", "@evil.example", "x/y"])
def test_an_option_cannot_lead_to_another_host(region: str) -> None:
    try:
        host = made("bedrock", options={"region": region}, api_key="k").base.host
    except ConfigError:
        return
    assert host.endswith(".amazonaws.com")


def test_the_region_of_an_aws_profile_is_used(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nregion = eu-north-1\n[profile far]\nregion = ap-south-1\n")
    environ = {"AWS_CONFIG_FILE": str(config), "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert made("bedrock", environ).base.host == "bedrock-runtime.eu-north-1.amazonaws.com"
    far = made("bedrock", environ, options={"profile": "far"})
    assert far.base.host == "bedrock-runtime.ap-south-1.amazonaws.com"
    assert isinstance(far.credentials[0], Aws)
    assert far.credentials[0].region == "ap-south-1"


def test_the_project_of_a_service_account_is_used(tmp_path: Path) -> None:
    path = tmp_path / "login.json"
    login = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    path.write_text(json.dumps(login | {"quota_project_id": "mine"}))
    provider = made("vertex", {"GOOGLE_APPLICATION_CREDENTIALS": str(path)})
    endpoint = provider.endpoint("generate_content", "gemini-2.5-pro")
    assert endpoint is not None
    assert endpoint.path.startswith("/v1beta1/projects/mine/locations/global/")
    assert isinstance(provider.credentials[0], Token)


def test_a_credentials_file_that_is_not_there_is_named() -> None:
    (problem, *_) = problems(
        "vertex", {"GOOGLE_APPLICATION_CREDENTIALS": "/nonexistent/login.json"}, options={"project": "p"}
    )
    assert "'/nonexistent/login.json' cannot be read (FileNotFoundError)" in problem


# Headers


def test_configured_headers_are_sent_in_lower_case() -> None:
    provider = made("openai", api_key="k", headers={"OpenAI-Organization": "org"})
    assert provider.headers == [("openai-organization", "org")]


@pytest.mark.parametrize(
    "headers",
    [{"a b": "c"}, {"a": "b\r\nc: d"}, {"a": "ä"}, {"": "x"}, {"Host": "x"}, {"Content-Length": "1"}, {"a:": "b"}],
)
def test_a_header_that_would_break_the_request_is_refused(headers: dict[str, str]) -> None:
    (problem,) = problems("openai", api_key="k", headers=headers)
    assert "the header" in problem


# Identities


def test_azure_without_a_key_uses_an_entra_identity() -> None:
    environ = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"}
    options = {"resource": "r"}
    assert repr(made("azure", environ, options=options).credentials[0]) == "<Token azure#1 entra>"
    assert repr(made("azure", options=options | {"managed_identity": True}).credentials[0]) == "<Token azure#1 entra>"
    assert problems("azure", options=options) == [
        "Provider 'azure': it needs an `api_key`, or AZURE_OPENAI_API_KEY in the environment."
    ]


def test_an_identity_in_the_configuration_wins_over_a_key_in_the_environment() -> None:
    environ = {"AZURE_OPENAI_API_KEY": "k", "AWS_BEARER_TOKEN_BEDROCK": "k"}
    azure = made("azure", environ, options={"resource": "r", "managed_identity": "id"})
    bedrock = made("bedrock", environ, options={"profile": "p"})
    assert not azure.credentials[0].static
    assert not bedrock.credentials[0].static


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"access_key_id": "a"}, "`access_key_id` and `secret_access_key` go together"),
        ({"web_identity_token_file": "/f"}, "`web_identity_token_file` needs a `role_arn`"),
    ],
)
def test_half_an_aws_identity_is_refused(options: dict[str, str], says: str) -> None:
    (problem,) = problems("bedrock", options=options)
    assert says in problem


# Discovery


def test_providers_are_found_by_their_keys() -> None:
    environ = HOME | {"OPENAI_API_KEY": "a", "GROQ_API_KEY": "b", "EMPTY": "", "ANTHROPIC_API_KEY": ""}
    assert set(discover(environ)) == {"openai", "groq"}


def test_nothing_is_found_in_an_empty_environment() -> None:
    assert discover(HOME) == {}


def test_what_lacks_an_option_is_not_found() -> None:
    assert discover(HOME | {"AZURE_OPENAI_API_KEY": "k"}) == {}
    assert set(
        discover(HOME | {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com"})
    ) == {"azure"}


def test_clouds_are_found_by_their_own_variables() -> None:
    login = json.dumps({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"})
    assert set(discover(HOME | {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})) == {"bedrock"}
    assert set(discover(HOME | {"GOOGLE_APPLICATION_CREDENTIALS": login, "GOOGLE_CLOUD_PROJECT": "p"})) == {"vertex"}


def test_shared_and_local_rows_are_used_only_where_they_are_declared() -> None:
    environ = HOME | {"GITHUB_TOKEN": "t", "VLLM_API_KEY": "v", "MOONSHOT_API_KEY": "m"}
    assert set(discover(environ)) == {"moonshot"}
    assert sent(made("github", {"GITHUB_TOKEN": "t"})) == {"authorization": "Bearer t"}


def test_what_was_found_can_be_resolved_and_holds_no_key() -> None:
    environ = HOME | {variable: "KEY" for row in CATALOG.values() for variable in row.keys}
    found = discover(environ)
    assert len(found) > 60
    for name, declared in found.items():
        assert "KEY" not in repr(declared)
        assert resolve(name, declared, environ).credentials
