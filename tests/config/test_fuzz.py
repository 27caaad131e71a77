"""Whatever a file holds, the loader answers with a configuration or with a ConfigError."""

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portico.config.handover import decode, encode
from portico.config.load import Loaded, load, load_plain
from portico.config.schema import Config
from portico.errors import ConfigError

KEYS = """
server port drain limits body tls cert key providers openai api_key api_keys headers options pool timeouts
connect models targets model weight strategy keys passthrough retries on attempts prices input output logs
calls include model_list litellm_params model_name router_settings litellm_settings general_settings fallbacks
credential_list num_retries model_group_alias environment_variables master_key api_base model_info a/* * x-a
""".split()  # noqa: SIM905 - names read better in a row
WORDS = st.sampled_from(
    [
        "openai/gpt",
        "openai/*",
        "azure/x",
        "*",
        "smart",
        "30s",
        "64MB",
        "1e5",
        "010",
        "file:nowhere",
        "${A}",
        "${B:-c}",
        "${",
        "weighted",
        "os.environ/A",
        "os.environ/NOPE",
        "https://h/v1",
        "",
        "-1",
        "429",
        "bedrock/us-east-1/m",
        "hosted_vllm/m",
        "gpt-4o",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-10, 10**20) | st.floats(allow_nan=True) | WORDS | st.text(max_size=12)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), inner, max_size=5)
    ),
    max_leaves=25,
)


def answered(read: Callable[[], Loaded]) -> None:
    """A sound configuration, or a ConfigError that says something."""
    try:
        result = read()
    except ConfigError as error:
        assert str(error)  # noqa: PT017 - either answer is good
        return
    assert decode(encode(result.config)) == result.config
    assert msgspec.convert(msgspec.to_builtins(result.config), Config) == result.config


@given(st.dictionaries(st.sampled_from(KEYS), TREES, max_size=6))
def test_no_data_breaks_the_loader(data: dict[str, Any]) -> None:
    answered(lambda: load_plain(data, {"A": "value"}))


# Trees of the right shape: what stands at a place is mostly of the kind that belongs there.
SEMI = st.fixed_dictionaries(
    {},
    optional={
        "server": st.dictionaries(
            st.sampled_from(["port", "drain", "workers", "host", "limits", "tls"]), TREES, max_size=3
        ),
        "providers": st.dictionaries(
            st.sampled_from(["openai", "azure", "a b"]),
            st.none()
            | st.dictionaries(
                st.sampled_from(["api_key", "api_keys", "headers", "options", "base_url", "timeouts"]),
                TREES,
                max_size=3,
            ),
            max_size=3,
        ),
        "models": st.dictionaries(
            WORDS,
            WORDS
            | st.lists(
                WORDS | st.fixed_dictionaries({"model": WORDS}, optional={"weight": LEAVES, "timeouts": TREES}),
                max_size=3,
            ),
            max_size=4,
        ),
        "keys": st.dictionaries(
            st.text(max_size=5), WORDS | st.fixed_dictionaries({"key": WORDS}, optional={"models": TREES}), max_size=3
        ),
        "timeouts": st.dictionaries(st.sampled_from(["connect", "total", "first_byte"]), LEAVES, max_size=2),
        "prices": st.dictionaries(WORDS, st.fixed_dictionaries({"input": LEAVES, "output": LEAVES}), max_size=2),
        "retries": st.dictionaries(st.sampled_from(["on", "attempts"]), TREES, max_size=2),
    },
)


@given(SEMI)
def test_no_nearly_good_data_breaks_the_loader(data: dict[str, Any]) -> None:
    answered(lambda: load_plain(data, {"A": "value"}, catalog=["openai", "azure"]))


PARAMS = st.dictionaries(
    st.sampled_from(
        [
            "model",
            "api_key",
            "api_base",
            "api_version",
            "organization",
            "weight",
            "rpm",
            "order",
            "timeout",
            "extra_headers",
            "tags",
            "input_cost_per_token",
            "aws_region_name",
            "vertex_project",
            "litellm_credential_name",
            "custom_llm_provider",
            "temperature",
        ]
    ),
    WORDS | TREES,
    max_size=6,
)
GROUPS = st.sampled_from(["a", "b", "a/*", "*"])
LITELLM = st.fixed_dictionaries(
    {
        "model_list": st.lists(
            st.fixed_dictionaries(
                {"model_name": GROUPS, "litellm_params": PARAMS}, optional={"model_info": TREES, "rpm": LEAVES}
            ),
            max_size=5,
        )
    },
    optional={
        "router_settings": st.dictionaries(
            st.sampled_from(
                ["fallbacks", "default_fallbacks", "model_group_alias", "num_retries", "timeout", "routing_strategy"]
            ),
            TREES
            | st.lists(st.dictionaries(GROUPS, st.lists(GROUPS)), max_size=3)
            | st.dictionaries(st.text(max_size=4), GROUPS, max_size=3),
        ),
        "litellm_settings": TREES,
        "general_settings": st.dictionaries(st.sampled_from(["master_key", "database_url", "x"]), TREES),
        "environment_variables": st.dictionaries(st.sampled_from(["A", "OPENAI_API_KEY"]), TREES),
        "credential_list": st.lists(
            st.fixed_dictionaries({"credential_name": WORDS, "credential_values": PARAMS}), max_size=2
        ),
        "include": st.just([]),
        "guardrails": TREES,
    },
)


@given(LITELLM)
def test_no_litellm_data_breaks_the_loader(data: dict[str, Any]) -> None:
    answered(lambda: load_plain(data, {"A": "value"}))


@given(st.binary(max_size=200) | st.text(alphabet=string.printable, max_size=200).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_breaks_the_loader(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(data)
    answered(lambda: load(file, {}))


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_a_file_cut_anywhere_is_answered(example: Path, environ: dict[str, str], size: int) -> None:
    whole = example.read_bytes()
    for end in range(0, len(whole), max(1, len(whole) // 40)):
        example.write_bytes(whole[:end] + b"%" * (size // 100))
        answered(lambda: load(example, environ))
