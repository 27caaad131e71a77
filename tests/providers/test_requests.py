"""The request that leaves for every row is the one on the provider's own page: URL, key, model."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from portico.config import schema
from portico.dialects.operations import OPERATIONS
from portico.dialects.request import peek, rewrite
from portico.providers.auth import Headers
from portico.providers.catalog import CATALOG, resolve

CALLS: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("expected.toml").read_text(encoding="utf-8"))[
    "calls"
]
NOW = 1_800_000_000.0
LOGIN = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}


async def hand_out(
    method: str, url: str, headers: Headers, body: bytes
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Stand in for a token endpoint: the token is KEY."""
    return 200, [], json.dumps({"access_token": "KEY", "expires_in": 3600}).encode()


def environment(call: Mapping[str, Any]) -> dict[str, str]:
    environ = {"HOME": "/nonexistent", **call.get("env", {})}
    if "key" in call:
        environ[call["key"]] = "KEY"
    if call["row"] == "vertex":
        environ["GOOGLE_APPLICATION_CREDENTIALS"] = json.dumps(LOGIN)
    return environ


# Where a provider's own words stand that are not at the site of its API.
SITES: dict[str, tuple[str, ...]] = {
    "anthropic": ("claude.com",),
    "azure": ("microsoft.com",),
    "azure_ai": ("microsoft.com",),
    "azure_anthropic": ("claude.com",),
    "bedrock": ("amazon.com", "amazonaws.cn"),
    "bedrock_mantle": ("amazon.com", "claude.com"),
    "cohere_openai": ("cohere.com",),
    "dashscope": ("alibabacloud.com",),
    "dashscope_cn": ("alibabacloud.com",),
    "databricks": ("databricks.com",),
    "digitalocean": ("digitalocean.com",),
    "docker_model_runner": ("docker.com",),
    "gemini": ("google.dev",),
    "gemini_openai": ("google.dev",),
    "github": ("github.com",),
    "gmi": ("github.com/GMISWE",),
    "helicone": ("github.com/Helicone",),
    "jan": ("jan.ai",),
    "litellm": ("litellm.ai",),
    "llamacpp": ("github.com/ggml-org",),
    "llamafile": ("github.com/mozilla-ai",),
    "lm_studio": ("lmstudio.ai",),
    "localai": ("localai.io",),
    "modelscope": ("github.com/modelscope",),
    "moonshot": ("kimi.ai",),
    "ollama": ("ollama.com",),
    "ovhcloud": ("ovh.github.io",),
    "qianfan": ("baidu.com",),
    "scaleway": ("scaleway.com",),
    "sglang": ("sglang.io",),
    "snowflake": ("snowflake.com",),
    "stackit": ("stackit.cloud",),
    "tgi": ("huggingface.co",),
    "v0": ("vercel.com",),
    "vercel_ai_gateway": ("vercel.com",),
    "vertex": ("google.com", "github.com/googleapis", "claude.com"),
    "vllm": ("vllm.ai",),
    "volcengine": ("volcengine.com",),
    "vultr": ("vultr.com",),
    "xinference": ("inference.readthedocs.io",),
}


def site(host: str) -> str:
    """Return the name under which a host is registered."""
    labels = host.split(".")
    return ".".join(labels[-3:] if labels[-2:-1] in (["com"], ["co"]) else labels[-2:])


@pytest.mark.parametrize("call", CALLS, ids=[f"{call['row']}-{call['call']}" for call in CALLS])
def test_its_source_is_the_providers_own(call: dict[str, Any]) -> None:
    source = urlsplit(call["source"])
    assert source.scheme == "https"
    own = (site(urlsplit(call["url"]).hostname or ""), *SITES.get(call["row"], ()))
    there = f".{source.hostname}{source.path}/"
    assert any(f".{name}/" in there for name in own), call["source"]


def test_every_row_has_an_expected_request() -> None:
    assert {call["row"] for call in CALLS} == set(CATALOG)


def test_the_first_variable_of_every_key_is_tried() -> None:
    for name, row in CATALOG.items():
        if row.keys:
            assert row.keys[0] in {call.get("key") for call in CALLS if call["row"] == name}, name


@pytest.mark.parametrize("call", CALLS, ids=[f"{call['row']}-{call['call']}" for call in CALLS])
async def test_the_request_is_the_one_on_the_providers_page(call: dict[str, Any]) -> None:
    declared = schema.Provider(options=call.get("options", {}))
    provider = resolve(call["row"], declared, environment(call), clock=lambda: NOW)

    endpoint = provider.endpoint(call["call"], call["model"], stream=call.get("stream", False))
    (credential,) = provider.credentials
    if not credential.ready(NOW):
        await credential.prepare(hand_out, NOW)

    assert endpoint is not None
    assert endpoint.url == call["url"]
    method = "GET" if OPERATIONS[call["call"]].body == "none" else "POST"
    assert method == call.get("method", "POST")
    headers = credential.headers(method, endpoint.authority, endpoint.path, endpoint.query, [], b"")
    expected = call.get("header", "authorization: Bearer KEY")
    assert [f"{name}: {value}" for name, value in headers] == ([expected] if expected else [])
    assert [f"{name}: {value}" for name, value in provider.defaults] == ([call["sent"]] if "sent" in call else [])


@pytest.mark.parametrize(
    "call",
    [call for call in CALLS if OPERATIONS[call["call"]].model_in == "body" and OPERATIONS[call["call"]].body == "json"],
    ids=lambda call: f"{call['row']}-{call['call']}",
)
def test_the_model_in_the_body_is_the_providers_name_for_it(call: dict[str, Any]) -> None:
    operation = OPERATIONS[call["call"]]
    body = json.dumps({"model": "asked-for", "messages": [{"role": "user", "content": "hi"}], "input": "hi"}).encode()

    sent = rewrite(operation, body, peek(operation, body, b"application/json"), model=call["model"], ask_usage=False)

    assert json.loads(sent)["model"] == call["model"]
