"""litellm configurations of many styles: what they become, and that nothing in them is lost without a word."""

import os
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from portico.config.document import Document, Node, Scalar, Series, Table, leaves, plain_node
from portico.config.files import read
from portico.config.interpolation import escape
from portico.config.litellm import Imported, convert, recognised, render
from portico.config.litellm.prefixes import ROWS
from portico.config.litellm.settings import KNOWN
from portico.config.load import load, load_plain
from portico.config.problems import Problem, Report, spelled
from portico.config.schema import Config, Target
from portico.errors import ConfigError
from portico.providers.catalog import CATALOG

HERE = Path(__file__).parent
CASES = sorted((HERE / "cases").glob("*.yaml"))
ENVIRON = {"DYNAMIC_MODEL": "groq/llama-3.3-70b-versatile", "DEEPSEEK_API_KEY": "sk-d"}
NAMES = re.compile(r"os\.environ/([A-Z_0-9]+)")


def imported(file: Path, environ: dict[str, str] = ENVIRON) -> Imported:
    report = Report()
    document = read(str(file), report)
    assert document is not None
    assert recognised(document)
    result = convert(document, str(file), environ, report, CATALOG)
    assert report.errors == []
    return result


def of(data: dict[str, Any], environ: dict[str, str] | None = None) -> Imported:
    report = Report()
    result = convert(Document(plain_node(data, "f"), []), "f", environ or {}, report, CATALOG)
    assert report.errors == []
    return result


def case(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("file", CASES, ids=case)
def test_a_configuration_becomes_what_is_expected(file: Path) -> None:
    """The expected files are written by this test with PORTICO_REWRITE=1, and read by people before they are kept."""
    expected = HERE / "expected" / file.name
    text = render(imported(file))
    if os.environ.get("PORTICO_REWRITE"):
        expected.parent.mkdir(exist_ok=True)
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", CASES, ids=case)
def test_what_it_becomes_loads_and_is_the_same_as_loading_it_directly(file: Path, tmp_path: Path) -> None:
    environ = {
        name: f"https://{name.lower().replace('_', '-')}-0123456789" for name in NAMES.findall(everything(file))
    } | ENVIRON
    new = tmp_path / "portico.yaml"
    new.write_text(render(imported(file, environ)))
    by_file = load(new, environ, catalog=CATALOG).config
    directly = load(file, environ, catalog=CATALOG)
    assert by_file == directly.config
    assert by_file.models
    assert directly.left_out


def everything(file: Path) -> str:
    return file.read_text() + "".join(part.read_text() for part in (HERE / "cases").rglob("*.yml"))


# Nothing is lost without a word. The files are walked once more here, by PyYAML alone.


def places(file: Path) -> Iterator[tuple[str, int, str]]:
    """Yield file, line and text of every value in a YAML file that says something, by PyYAML's own events."""
    stack: list[list[bool]] = []  # for each open table or list: whether it is a table, and whether a key comes next
    for event in yaml.parse(file.read_text(), Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
            turn(stack)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            stack.append([isinstance(event, yaml.MappingStartEvent), True])
        elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            is_key = bool(stack) and stack[-1][0] and stack[-1][1]
            if isinstance(event, yaml.ScalarEvent) and not is_key and event.value not in ("", "null", "~"):
                assert event.start_mark is not None
                yield str(file), event.start_mark.line + 1, event.value
            turn(stack)


def turn(stack: list[list[bool]]) -> None:
    if stack and stack[-1][0]:
        stack[-1][1] = not stack[-1][1]


def accounted(result: Imported, path: tuple[str | int, ...]) -> bool:
    prefixes = [path[:n] for n in range(1, len(path) + 1)]
    left = {problem.path for problem in result.left_out}
    return any(prefix in result.carried or spelled(prefix) in left for prefix in prefixes)


@pytest.mark.parametrize("file", CASES, ids=case)
def test_every_value_of_the_files_is_carried_over_or_listed_with_its_line(file: Path) -> None:
    result = imported(file)
    by_place: dict[tuple[str, int, str], list[tuple[str | int, ...]]] = {}
    for path, leaf in leaves(result.merged):
        if isinstance(leaf, Scalar):
            by_place.setdefault((leaf.place.file, leaf.place.line, leaf.text), []).append(path)
    listed = {(problem.place.file, problem.place.line) for problem in result.left_out}
    walked = 0
    for part in map(Path, result.files):
        for place in places(part):
            walked += 1
            paths = by_place.get(place)
            if paths is None:
                above = any(name == place[0] and line <= place[1] for name, line in listed)
                assert place[:2] in listed, f"{place} is in no table any more, and not listed ({above})"
                continue
            for path in paths:
                assert accounted(result, path), f"{spelled(path)} ({place}) is neither carried over nor listed"
    assert walked >= len([leaf for _, leaf in leaves(result.merged) if isinstance(leaf, Scalar) and leaf.text]) - 10


@pytest.mark.parametrize("file", CASES, ids=case)
def test_every_value_that_is_carried_over_stands_where_it_is_said_to(file: Path) -> None:
    result = imported(file)
    checked = 0
    for source, to in result.carried.items():
        if not to:
            continue
        old, new = at(result.merged, source), at(result.root, to)
        assert new is not None, f"{spelled(source)} is said to be at {spelled(to)}, where nothing is"
        texts = {leaf.text for _, leaf in leaves(new) if isinstance(leaf, Scalar)}
        if isinstance(old, Scalar) and isinstance(new, Scalar):
            assert texts & renderings(old.text, source, result), f"{spelled(source)} at {spelled(to)}: {texts}"
            checked += 1
    assert checked


def renderings(text: str, path: tuple[str | int, ...], result: Imported) -> set[str]:
    """All that a value may look like in the new file."""
    found = {text, escape(text), text.rstrip("/")}
    if match := NAMES.fullmatch(text):
        found.add(f"${{{match[1]}}}")
        own = at(result.merged, ("environment_variables", match[1]))
        found |= renderings(own.text, ("x",), result) if isinstance(own, Scalar) else set()
        found |= renderings(ENVIRON.get(match[1], ""), path, result) if path[-1] == "model" else set()
    if path[-1] == "num_retries":
        found.add(str(int(text) + 1))
    if "cost" in str(path[-1]):
        found.add(format((Decimal(text) * 1_000_000).normalize(), "f"))
    if path[-1] == "base_model":
        found.add(text.partition("/")[2])
    if path[-1] == "api_base":
        found.add(text.split("/openai/")[0])
    if path[-1] == "model":
        rest = [text, text.partition("/")[2], *(text.partition("/")[2].partition("/")[2::2])]
        names = [name for name in at_names(result) if any(name.partition("/")[2] == part for part in rest)]
        found |= set(names)
    return found


def at_names(result: Imported) -> set[str]:
    models = result.root.rows["models"]
    return {leaf.text for path, leaf in leaves(models) if path[-1] == "model" and isinstance(leaf, Scalar)}


def at(node: Node, path: tuple[str | int, ...]) -> Node | None:
    for step in path:
        if isinstance(node, Table) and isinstance(step, str) and step in node.rows:
            node = node.rows[step]
        elif isinstance(node, Series) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            return None
    return node


@pytest.mark.parametrize("file", CASES, ids=case)
def test_a_key_that_nobody_knows_is_listed_wherever_it_is_put(file: Path) -> None:
    data = undated(yaml.safe_load(file.read_text()))
    data.pop("include", None)
    tables = list(all_tables(data, ()))
    assert len(tables) > 3
    for path, table in tables:
        table["zzz_unheard_of"] = "hush"
        result = of(data, ENVIRON)
        whole = (*path, "zzz_unheard_of")
        assert accounted(result, whole), f"{spelled(whole)} is lost"
        del table["zzz_unheard_of"]


def undated(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: undated(item) for key, item in data.items()}
    if isinstance(data, list):
        return [undated(item) for item in data]
    return str(data) if isinstance(data, date) else data


def all_tables(data: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    if isinstance(data, dict):
        yield path, data
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, item in items:
        yield from all_tables(item, (*path, key))


# What single settings become.


def entry(name: str, model: str, **params: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": model, **params}}


def config(data: dict[str, Any], environ: dict[str, str] | None = None) -> Config:
    return load_plain(data, environ or {}, catalog=CATALOG).config


def said(problems: tuple[Problem, ...], path: str) -> str:
    return " ".join(problem.message for problem in problems if problem.path == path)


TARGETS = [
    ("openai/gpt-4o", "openai", "openai/gpt-4o"),
    ("gpt-4o", "openai", "openai/gpt-4o"),
    ("o3-mini", "openai", "openai/o3-mini"),
    ("claude-sonnet-4-5", "anthropic", "anthropic/claude-sonnet-4-5"),
    ("anthropic.claude-v2", "bedrock", "bedrock/anthropic.claude-v2"),
    ("bedrock/converse/us.meta.llama3", "bedrock", "bedrock/us.meta.llama3"),
    ("bedrock/invoke/x.y", "bedrock", "bedrock/x.y"),
    ("bedrock/us-gov-west-1/x.y", "bedrock", "bedrock/x.y"),
    (
        "bedrock/arn:aws:bedrock:us-east-1:1:inference-profile/x",
        "bedrock",
        "bedrock/arn:aws:bedrock:us-east-1:1:inference-profile/x",
    ),
    ("vertex_ai/gemini-2.5-pro", "vertex", "vertex/gemini-2.5-pro"),
    ("gemini/gemini-2.5-pro", "gemini", "gemini/gemini-2.5-pro"),
    ("together_ai/meta-llama/Llama-3", "together", "together/meta-llama/Llama-3"),
    ("fireworks_ai/accounts/fireworks/models/x", "fireworks", "fireworks/accounts/fireworks/models/x"),
    ("openrouter/deepseek/deepseek-chat:free", "openrouter", "openrouter/deepseek/deepseek-chat:free"),
    ("cohere_chat/command-r", "cohere", "cohere/command-r"),
    ("nvidia_nim/meta/llama", "nvidia", "nvidia/meta/llama"),
    ("azure/responses/gpt-5", "azure", "azure/gpt-5"),
    ("azure_ai/claude-opus-4-1", "azure_anthropic", "azure_anthropic/claude-opus-4-1"),
]


@pytest.mark.parametrize(("model", "provider", "target"), TARGETS)
def test_a_model_goes_to_the_provider_that_litellm_means(model: str, provider: str, target: str) -> None:
    result = config({"model_list": [entry("m", model)]})
    assert result.models["m"].targets == (Target(model=target),)
    assert list(result.providers) == [provider]
    assert result.providers[provider].like is None


def test_every_prefix_leads_to_a_row_of_the_catalog() -> None:
    assert {row.name for row in ROWS.values()} <= set(CATALOG)
    assert len(ROWS) >= 45


def test_an_openai_endpoint_of_ones_own_is_another_provider() -> None:
    result = config({"model_list": [entry("m", "openai/x", api_base="http://10.0.0.1:8000/v1", api_key="none")]})
    (name,) = result.providers
    assert result.providers[name].like == "openai"
    assert result.providers[name].base_url == "http://10.0.0.1:8000/v1"
    assert result.models["m"].targets[0].model == f"{name}/x"


def test_one_credential_is_one_provider_however_many_models_use_it() -> None:
    models = [entry(f"m{n}", f"openai/g{n % 3}", api_key=f"os.environ/KEY_{n % 2}") for n in range(6)]
    assert list(config({"model_list": models}, {"KEY_0": "a", "KEY_1": "b"}).providers) == ["openai", "openai-1"]


def test_a_repeated_name_is_balanced_by_weight_else_rpm_else_tpm() -> None:
    def weights(*params: dict[str, Any]) -> list[float]:
        models = [entry("m", f"openai/{n}", **p) for n, p in enumerate(params)]
        model = config({"model_list": models}).models["m"]
        assert model.strategy == "weighted"
        return [target.weight for target in model.targets]

    assert weights({}, {}) == [1, 1]
    assert weights({"weight": 3}, {"weight": 1, "rpm": 9}) == [3, 1]
    assert weights({"rpm": 30, "tpm": 1}, {"rpm": 10, "tpm": 9}) == [30, 10]
    assert weights({"tpm": 5}, {"tpm": 6}) == [5, 6]
    assert weights({"weight": 2}, {}) == [2, 0]
    assert weights({"weight": 0}, {"weight": 0}) == [1, 1]


def test_order_comes_before_weight() -> None:
    models = [
        entry("m", "openai/late", order=2, weight=9),
        entry("m", "openai/a", order=1, weight=3),
        entry("m", "openai/b", order=1, weight=1),
        entry("m", "openai/never"),
    ]
    model = config({"model_list": models}).models["m"]
    assert [(t.model, t.weight) for t in model.targets] == [
        ("openai/a", 3),
        ("openai/b", 1),
        ("openai/late", 0),
        ("openai/never", 0),
    ]


def test_fallbacks_are_appended_and_those_of_the_router_win() -> None:
    data = {
        "model_list": [entry("a", "openai/a"), entry("b", "groq/b"), entry("c", "mistral/c")],
        "router_settings": {"fallbacks": [{"a": ["b"]}], "default_fallbacks": ["c"]},
        "litellm_settings": {"fallbacks": [{"a": ["c"]}]},
    }
    models = config(data).models
    assert [t.model for t in models["a"].targets] == ["openai/a", "groq/b"]
    assert models["a"].strategy == "fallback"
    assert [t.model for t in models["b"].targets] == ["groq/b", "mistral/c"]
    assert "router_settings.fallbacks" in said(of(data).left_out, "litellm_settings.fallbacks")


def test_a_fallback_for_a_name_that_only_a_pattern_knows_gets_an_entry() -> None:
    data = {
        "model_list": [entry("gem-*", "gemini/gemini-*"), entry("b", "groq/b")],
        "litellm_settings": {"fallbacks": [{"gem-pro": ["b"]}, {"b": ["gem-flash"]}]},
    }
    models = config(data).models
    assert [t.model for t in models["gem-pro"].targets] == ["gemini/gemini-pro", "groq/b"]
    assert [t.model for t in models["b"].targets] == ["groq/b", "gemini/gemini-flash"]


def test_a_star_in_fallbacks_holds_for_all_without_their_own() -> None:
    data = {
        "model_list": [entry("a", "openai/a"), entry("b", "groq/b"), entry("c", "mistral/c")],
        "router_settings": {"fallbacks": [{"*": ["c"]}, {"a": ["b"]}]},
    }
    models = config(data).models
    assert [[t.model for t in models[name].targets] for name in "abc"] == [
        ["openai/a", "groq/b"],
        ["groq/b", "mistral/c"],
        ["mistral/c"],
    ]


def test_a_catch_all_brings_the_providers_that_have_a_key() -> None:
    data = {"model_list": [entry("*", "*")]}
    result = config(data, {"GROQ_API_KEY": "gsk", "TOGETHERAI_API_KEY": "t"})
    assert set(result.providers) == {"groq", "together"}
    assert result.providers["together"].api_key == "t"
    assert result.models == {}
    assert "callable without an entry" in said(of(data).left_out, "model_list[0]")


def test_a_key_of_the_environment_does_not_go_to_another_address() -> None:
    models = [entry("m", "openai/x", api_base="https://elsewhere.example.com/v1")]
    data = {"model_list": models, "environment_variables": {"OPENAI_API_KEY": "sk-own"}}
    (provider,) = config(data).providers.values()
    assert provider.api_key is None
    assert "litellm would send OPENAI_API_KEY there" in said(of(data).left_out, "model_list[0]")


def test_a_missing_address_is_never_left_out_so_that_no_key_goes_astray() -> None:
    models = [entry("m", "openai/x", api_base="os.environ/NOWHERE", api_key="os.environ/ALSO_NOWHERE")]
    with pytest.raises(ConfigError, match="'NOWHERE' is not set"):
        config({"model_list": models})
    loaded = load_plain({"model_list": models}, {"NOWHERE": "https://h/v1"})
    assert [w.message for w in loaded.warnings] == [
        "the environment variable 'ALSO_NOWHERE' is not set; this is left out"
    ]


def test_prices_per_token_become_dollars_per_million() -> None:
    prices = {
        "input_cost_per_token": 3e-07,
        "output_cost_per_token": "0.0000025",
        "cache_read_input_token_cost": 7.5e-08,
    }
    price = config({"model_list": [entry("m", "openai/x", **prices)]}).prices["openai/x"]
    assert (price.input, price.output, price.cache_read) == (0.3, 2.5, 0.075)


def test_retries_deadlines_and_the_master_key() -> None:
    data: dict[str, Any] = {
        "model_list": [entry("m", "openai/x", timeout=9)],
        "litellm_settings": {"num_retries": 99, "request_timeout": "os.environ/T"},
    }
    result = config(data, {"T": "70", "LITELLM_MASTER_KEY": "sk-from-the-environment"})
    assert result.retries.attempts == 10
    assert result.timeouts.total == 70
    timeouts = result.models["m"].targets[0].timeouts
    assert timeouts is not None
    assert timeouts.total == 9
    assert result.server.master_key == "sk-from-the-environment"


def test_a_setting_in_the_wrong_section_is_told_where_it_belongs() -> None:
    data = {
        "model_list": [],
        "general_settings": {"request_timeout": 3, "drop_parms": True},
        "litellm_settings": {"master_key": "x"},
    }
    left = of(data).left_out
    assert "it belongs in `litellm_settings`" in said(left, "general_settings.request_timeout")
    assert "it belongs in `general_settings`" in said(left, "litellm_settings.master_key")
    assert "not known to read it" in said(left, "general_settings.drop_parms")


def test_secrets_are_not_in_the_list_of_what_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "model_list:\n- {model_name: m, litellm_params: {model: openai/x, api_key: hush-hush, api_kye: hush-hush}}\n"
        "general_settings: {database_url: 'postgresql://u:hush-hush@db', master_key: hush-hush, masterkey: hush-hush}\n"
        "environment_variables: {LANGFUSE_SECRET: hush-hush}\ngeneral_settings: {salt: hush-hush}\n"
    )
    left = imported(file).left_out
    assert len(left) >= 4
    assert "hush-hush" not in "".join(str(problem) + problem.excerpt for problem in left)


def test_known_settings_are_known_in_one_section_or_say_so_in_both() -> None:
    assert all(len(names) > 20 for names in KNOWN.values())


def test_what_is_not_a_litellm_file_is_not_taken_for_one(tmp_path: Path) -> None:
    for text, expected in (
        ("model_list: []", True),
        ("litellm_settings: {}", True),
        ("providers: {}\nmodels: {}", False),
        ("model_list: []\nproviders: {}", False),
        ("", False),
        ("[model_list]", False),
    ):
        file = tmp_path / "c.yaml"
        file.write_text(text)
        document = read(str(file), Report())
        assert document is not None
        assert recognised(document) is expected


STRATEGIES = [
    ("simple-shuffle", "weighted"),
    ("least-busy", "least_busy"),
    ("latency-based-routing", "lowest_latency"),
    ("cost-based-routing", "lowest_cost"),
    ("usage-based-routing-v2", "least_busy"),
]


@pytest.mark.parametrize(("theirs", "ours"), STRATEGIES)
def test_the_strategy_is_carried_over_and_fall_backs_stay_behind_it(theirs: str, ours: str) -> None:
    def deployment(name: str, model: str) -> dict[str, Any]:
        return {"model_name": name, "litellm_params": {"model": model, "api_key": "k"}}

    models = [deployment("a", "openai/one"), deployment("a", "groq/two"), deployment("b", "openai/three")]
    settings: dict[str, Any] = {"routing_strategy": theirs}
    alone = load_plain({"model_list": models, "router_settings": settings}, {}, catalog=CATALOG).config
    assert alone.models["a"].strategy == ours
    settings["fallbacks"] = [{"a": ["b"]}]
    config = load_plain({"model_list": models, "router_settings": settings}, {}, catalog=CATALOG).config
    if ours == "weighted":
        assert [target.weight for target in config.models["a"].targets] == [1, 1, 0]
        return
    assert [target.model for target in config.models["a"].targets] == ["a.balanced", "openai/three"]
    assert config.models["a"].strategy == "fallback"
    assert config.models["a.balanced"].strategy == ours


def test_one_model_is_not_said_to_be_two() -> None:
    said: list[tuple[str, Any]] = [("mine", "gpt-4o"), ("mine", "openai/gpt-4o"), ("mine", "gpt-4.1")]
    said += [("our-*", "gpt-4.1"), ("other", [])]
    entries = [
        {
            "model_name": f"openai/{model}",
            "litellm_params": {"model": f"openai/{model}", "api_key": "k"},
            "model_info": {"base_model": base},
        }
        for model, base in said
    ]
    result = of({"model_list": entries})
    bases = at(result.root, ("providers", "openai", "base_models"))
    assert isinstance(bases, Table)
    assert {name: node.text for name, node in bases.rows.items() if isinstance(node, Scalar)} == {"mine": "gpt-4o"}
    assert sorted((one.path, one.message) for one in result.left_out if one.path.endswith("base_model")) == [
        ("model_list[2].model_info.base_model", "the same model is said to be another one before"),
        ("model_list[3].model_info.base_model", "many models are not one"),
        ("model_list[4].model_info.base_model", "expected the name of a model"),
    ]
