"""`portico check`, `portico config` and `portico import`, as a person and as a script use them."""

import json
import stat
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from portico.cli import portico
from portico.config.editor import schema

GOOD = """\
providers:
  openai: {api_keys: [sk-hush-one, sk-hush-two]}
  mine: {like: vllm, base_url: http://10.0.0.5:8000/v1}
models:
  smart: [openai/a, mine/b]
  trial: {strategy: weighted, targets: [{model: openai/a, weight: 3}, mine/b]}
keys: {team: sk-portico-hush-hush-hush}
"""
BAD = "server: {prot: 1}\nproviders:\n  openai: {api_key: ${ABSENT}}\n"
LITELLM = """\
model_list:
  - model_name: m
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/MY_KEY, tags: [a]}
litellm_settings: {drop_params: true}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PORTICO_CONFIG", "ABSENT", "OPENAI_API_KEY", "MY_KEY", "LITELLM_MASTER_KEY"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(portico, list(arguments))


def test_check_says_what_is_understood() -> None:
    Path("portico.yaml").write_text(GOOD)
    for arguments in (["check"], ["check", "portico.yaml"]):
        done = run(*arguments)
        assert done.exit_code == 0, done.output
        assert "portico.yaml can be used." in done.output
        assert "openai (2 keys)" in done.output
        assert "mine (like vllm, http://10.0.0.5:8000/v1)" in done.output
        assert "smart -> openai/a, then mine/b" in done.output
        assert "trial -> openai/a 75% | mine/b 25%" in done.output
        assert "keys       1, and a master key of its own making" in done.output
        assert "hush" not in done.output


def test_check_lists_every_problem_with_its_line_and_a_caret() -> None:
    Path("bad.yaml").write_text(BAD)
    done = run("check", "bad.yaml")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "bad.yaml:1:10: server.prot: unknown key 'prot'; did you mean 'port'?" in done.stderr
    assert "    1 | server: {prot: ***}\n      |          ^" in done.stderr
    assert "bad.yaml:3:21: providers.openai.api_key: the environment variable 'ABSENT' is not set" in done.stderr
    assert "bad.yaml cannot be used: 2 problems." in done.stderr


def test_check_knows_what_a_provider_needs() -> None:
    Path("portico.yaml").write_text("providers:\n  openai: {}\n")
    done = run("check")
    assert done.exit_code == 1
    assert (
        "portico.yaml:2:3: Provider 'openai': it needs an `api_key`, or OPENAI_API_KEY in the environment."
        in done.stderr
    )


@pytest.mark.parametrize(
    ("route", "hint"),
    [
        ("chatt", "did you mean 'chat'?"),
        ("/v1/embeddings", "did you mean 'embeddings'?"),
        ("files_creat", "did you mean 'files_create'?"),
        ("everything", "write names such as `chat`"),
        ("chat", None),
        ("files_create", None),
        ("passthrough", None),
    ],
)
def test_check_knows_what_can_be_called(route: str, hint: str | None) -> None:
    key = f"keys: {{k: {{key: sk-0123456789012345678901234, routes: [models, {route}]}}}}"
    Path("portico.yaml").write_text(f"providers: {{openai: {{api_key: x}}}}\n{key}\n")
    done = run("check")
    assert done.exit_code == (0 if hint is None else 1)
    assert hint is None or (hint in done.stderr and "portico.yaml:2:" in done.stderr)


@pytest.mark.parametrize(
    ("bounded", "prices", "named"),
    [
        ("budgets: [{usd: 3}]", "{}", ["models.m.targets.1", "models.n.targets.0"]),
        ("budgets: [{usd: 3, mode: clamp}]", "{}", ["models.m.targets.1", "models.n.targets.0"]),
        ("teams: {t: {member: {budgets: [{usd: 3}]}}}", "{}", ["models.m.targets.1", "models.n.targets.0"]),
        ("budgets: [{usd: 3}]", "{mine/a: {input: 0, output: 0}}", ["models.n.targets.0"]),
        ("budgets: [{usd: 3}]", '{"mine/*": {input: 0, output: 0}}', []),
        ("budgets: [{usd: 3, mode: soft}]", "{}", []),
        ("budgets: [{tokens: 3}]", "{}", []),
        ("limits: [{requests: 3}]", "{}", []),
    ],
)
def test_check_names_models_that_a_budget_in_dollars_would_refuse(bounded: str, prices: str, named: list[str]) -> None:
    provider = "{like: vllm, base_url: 'http://127.0.0.1:1/v1'}"
    models = "{m: [second/gpt-4o, mine/a], n: [mine/b], all: ['mine/a', m]}" if named else "{m: [mine/a], n: [mine/b]}"
    text = f"providers: {{mine: {provider}, second: {{like: openai, api_key: x}}}}\nmodels: {models}\n{bounded}\n"
    Path("portico.yaml").write_text(f"{text}prices: {prices}\n")
    done = run("check", "--json")
    said = json.loads(done.stdout)
    assert done.exit_code == 0
    assert [one["path"] for one in said["warnings"] if "costs: budgets" in one["message"]] == [
        *named,
        *(["models.all.targets.0"] if "models.m.targets.1" in named else []),
    ]


def test_check_speaks_json() -> None:
    Path("portico.yaml").write_text(GOOD)
    said = json.loads(run("check", "--json").stdout)
    assert said["ok"] is True
    assert said["providers"]["openai"] == {"like": "openai", "keys": 2, "base_url": None}
    assert said["models"]["smart"] == {"strategy": "fallback", "targets": ["openai/a", "mine/b"]}
    assert said["keys"] == ["team"]
    Path("portico.yaml").write_text(BAD)
    done = run("check", "--json")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert [(p["line"], p["path"]) for p in said["problems"]] == [(1, "server.prot"), (3, "providers.openai.api_key")]


def test_check_takes_a_litellm_file_and_says_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-hush")
    Path("litellm.yaml").write_text(LITELLM)
    done = run("check", "litellm.yaml")
    assert done.exit_code == 0, done.output
    assert "m -> openai/gpt-4o" in done.output
    assert "litellm.yaml:3:72: model_list[0].litellm_params.tags: routing by tags" in done.output
    assert "sk-hush" not in done.output


def test_without_a_file_the_answer_is_how_to_name_one() -> None:
    done = run("check")
    assert done.exit_code == 2
    assert "name a FILE" in done.output


def test_a_file_that_is_not_there_fails() -> None:
    done = run("check", "absent.yaml")
    assert done.exit_code == 1
    assert "absent.yaml: the file cannot be read: No such file or directory" in done.stderr


def test_the_schema_is_printed_whole() -> None:
    done = run("config", "schema")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads(json.dumps(schema()))


def test_the_example_can_be_saved_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("config", "example")
    Path("key").write_text("sk-a\n")
    Path("portico.yaml").write_text(done.stdout.replace("/run/secrets/anthropic", "key"))
    for name in (
        "PORTICO_MASTER_KEY",
        "OPENAI_API_KEY",
        "OPENAI_API_KEY_2",
        "GROQ_API_KEY",
        "SHOP_KEY",
        "RESEARCH_KEY",
    ):
        monkeypatch.setenv(name, f"sk-portico-of-{name.lower()}")
    done = run("check")
    assert done.exit_code == 0, done.output


def test_show_writes_out_what_is_meant_and_hides_secrets() -> None:
    Path("portico.yaml").write_text(GOOD)
    done = run("config", "show")
    assert done.exit_code == 0
    shown = yaml.safe_load(done.stdout)
    assert shown["models"]["smart"] == {"targets": [{"model": "openai/a"}, {"model": "mine/b"}]}
    assert shown["providers"]["openai"] == {"api_keys": ["***", "***"]}
    assert "hush" not in done.output
    assert json.loads(run("config", "show", "--json", "--all").stdout)["server"]["port"] == 4000
    Path("portico.yaml").write_text(BAD)
    assert run("config", "show").exit_code == 1


def test_import_prints_the_new_file_and_lists_what_is_left_out() -> None:
    Path("litellm.yaml").write_text(LITELLM)
    done = run("import", "litellm", "litellm.yaml")
    assert done.exit_code == 0, done.output
    new = yaml.safe_load(done.stdout)
    assert new == {
        "server": {"litellm_headers": True},
        "providers": {"openai": {"api_key": "${MY_KEY}"}},
        "models": {"m": {"targets": ["openai/gpt-4o"]}},
    }
    assert "not carried over, or worth a look (2)" in done.stderr
    assert "litellm.yaml:4:20: litellm_settings.drop_params:" in done.stderr


def test_import_writes_a_file_that_only_its_owner_reads_and_overwrites_none() -> None:
    Path("litellm.yaml").write_text(LITELLM)
    done = run("import", "litellm", "litellm.yaml", "-o", "new.yaml")
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert stat.S_IMODE(Path("new.yaml").stat().st_mode) == 0o600
    again = run("import", "litellm", "litellm.yaml", "-o", "new.yaml")
    assert again.exit_code == 2
    assert "--force overwrites it" in again.output
    assert run("import", "litellm", "litellm.yaml", "-o", "new.yaml", "--force").exit_code == 0
    assert run("import", "litellm", "litellm.yaml", "-o", "no/such/folder").exit_code == 1


def test_import_says_as_json_what_became_of_every_value() -> None:
    Path("litellm.yaml").write_text(LITELLM)
    said = json.loads(run("import", "litellm", "litellm.yaml", "--json").stdout)
    carried = {one["from"]: one["to"] for one in said["carried"]}
    assert carried["model_list[0].litellm_params.api_key"] == "providers.openai.api_key"
    assert carried["model_list[0].litellm_params.model"] == "models.m.targets[0].model"
    assert {one["path"] for one in said["left_out"]} == {
        "model_list[0].litellm_params.tags",
        "litellm_settings.drop_params",
    }


@pytest.mark.parametrize("text", ["providers: {}", "", "a: [", "\x00"])
def test_import_refuses_what_is_not_litellms(text: str) -> None:
    Path("x.yaml").write_text(text)
    done = run("import", "litellm", "x.yaml")
    assert done.exit_code == 1
    assert "x.yaml" in done.stderr
