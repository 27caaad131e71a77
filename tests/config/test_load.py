"""A configuration from its file: what is read, and what each mistake is answered with."""

import json
from pathlib import Path

import msgspec
import pytest

from portico.config.load import Loaded, load, load_plain
from portico.config.problems import Place, RejectedConfigError
from portico.config.schema import Config, Key, Model, Provider, Target, Timeouts
from portico.errors import ConfigError

ENVIRON = {"OPENAI_API_KEY": "sk-of-openai", "PORT": "4321", "EMPTY": "", "WORD": "not-a-number-sk-abcdefghijklmnop"}


def loaded(tmp_path: Path, text: str | bytes, name: str = "portico.yaml", catalog: list[str] | None = None) -> Loaded:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(file, ENVIRON, catalog=catalog)


def rejected(
    tmp_path: Path, text: str | bytes, name: str = "portico.yaml", catalog: list[str] | None = None
) -> RejectedConfigError:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, name, catalog)
    assert isinstance(caught.value, RejectedConfigError)
    return caught.value


def test_an_empty_file_is_the_default_configuration(tmp_path: Path) -> None:
    for text in ("", "\n# only a comment\n", "---\n", "null", "{}"):
        assert loaded(tmp_path, text).config == Config()


def test_durations_sizes_and_short_forms_are_read(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
server: {drain: 1m30s, limits: {body: 1GiB, url_bytes: 8000}}
providers: {openai: {}, vllm: }
models:
  one: openai/a
  several: [openai/a, {model: vllm/b/c}]
  whole: {strategy: weighted, targets: [{model: openai/a, weight: 3}, vllm/b]}
keys:
  team: sk-portico-0123456789
""",
    ).config
    assert config.server.drain == 90.0
    assert config.server.limits.body == 1 << 30
    assert config.server.limits.url_bytes == 8000
    assert config.models["one"] == Model(targets=(Target(model="openai/a"),))
    assert config.models["several"] == Model(targets=(Target(model="openai/a"), Target(model="vllm/b/c")))
    assert config.models["whole"].targets[0].weight == 3.0
    assert config.keys["team"] == Key(key="sk-portico-0123456789")


def test_words_that_yaml_1_1_would_change_stay_words(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
providers:
  no: {like: openai, options: {api_version: 1.10, on: yes, count: 3, share: 0.5, really: true,
    octal: 010, date: 2024-10-21}}
models: {on: no/1.10, 1.10: no/yes, 3: no/0x10}
retries: {on: [429, 5xx]}
""",
    ).config
    assert config.providers["no"].options == {
        "api_version": "1.10",
        "on": "yes",
        "count": 3,
        "share": 0.5,
        "really": True,
        "octal": "010",
        "date": "2024-10-21",
    }
    assert set(config.models) == {"on", "1.10", "3"}
    assert config.models["on"].targets[0].model == "no/1.10"
    assert config.retries.on == ("429", "5xx")


def test_variables_fill_values_of_any_kind_also_inside_braces(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
server: {port: ${PORT}, drain: ${DRAIN:-45s}, host: "${HOST:-::1}"}
providers: {openai: {api_keys: [${OPENAI_API_KEY}, ${OTHER:-a,b}], headers: {x-a: $${literal}}},
  azure: {options: {n: ${PORT}}}}
""",
    ).config
    assert config.server.port == 4321
    assert config.server.drain == 45.0
    assert config.server.host == "::1"
    assert config.providers["openai"].api_keys == ("sk-of-openai", "a,b")
    assert config.providers["openai"].headers == {"x-a": "${literal}"}
    assert config.providers["azure"].options == {"n": "4321"}


def test_anchors_merges_and_places_for_them_are_understood(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
x-pool: &pool {connections: 7, idle: 5s}
providers:
  openai: &openai {pool: *pool, proxy: none}
  groq: {<<: *openai, pool: {<<: *pool, idle: 9s}}
""",
    ).config
    assert config.providers["openai"].pool.connections == 7
    assert config.providers["groq"].pool.connections == 7
    assert config.providers["groq"].pool.idle == 9.0
    assert config.providers["groq"].proxy == "none"


def test_deadlines_that_are_left_out_come_from_the_level_above(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
timeouts: {connect: 1s, total: 100s}
providers: {openai: {timeouts: {total: 50s}}, groq: {}}
models: {m: [{model: openai/a, timeouts: {first_byte: 2s}}, {model: groq/a, timeouts: {first_byte: 3s}}]}
""",
    ).config
    assert config.providers["openai"].timeouts == Timeouts(connect=1.0, total=50.0)
    assert config.models["m"].targets[0].timeouts == Timeouts(connect=1.0, total=50.0, first_byte=2.0)
    assert config.models["m"].targets[1].timeouts == Timeouts(connect=1.0, total=100.0, first_byte=3.0)
    assert config.providers["groq"].timeouts is None


def test_a_secret_is_read_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "openai.key").write_text("  sk-from-a-file \n")
    result = loaded(tmp_path, "providers: {openai: {api_key: file:openai.key, headers: {x-more: file:openai.key}}}")
    assert result.config.providers["openai"].api_key == "sk-from-a-file"
    assert result.config.providers["openai"].headers == {"x-more": "sk-from-a-file"}
    assert result.secret_files == (str(tmp_path / "openai.key"),)


def test_included_files_are_merged_table_by_table(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.yaml").write_text("include: b.yaml\nproviders: {openai: {api_key: file:key}}\n")
    (tmp_path / "parts" / "b.yaml").write_text("models: {m: openai/x}\n")
    (tmp_path / "parts" / "key").write_text("sk-deep")
    result = loaded(tmp_path, "include: [parts/a.yaml]\nproviders: {openai: {proxy: none}}\n")
    assert result.config.providers["openai"] == Provider(api_key="sk-deep", proxy="none")
    assert result.config.models["m"].targets[0].model == "openai/x"
    assert [Path(file).name for file in result.files] == ["portico.yaml", "a.yaml", "b.yaml"]
    assert result.lines["models", "m"] == Place(str(tmp_path / "parts" / "b.yaml"), 1, 10)


def test_an_include_that_goes_round_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("include: [../" + tmp_path.name + "/portico.yaml]\n")
    assert "includes itself" in rejected(tmp_path, "include: [a.yaml]").message


def test_a_file_included_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    assert "already included" in rejected(tmp_path, "include: [a.yaml, ./a.yaml]").message


def test_a_value_that_two_files_set_is_refused_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("server:\n  port: 1\n")
    error = rejected(tmp_path, "include: [a.yaml]\nserver: {port: 2}\n")
    assert error.problems[0].place == Place(str(tmp_path / "a.yaml"), 2, 3)
    assert f"already set at {tmp_path / 'portico.yaml'}:2:10" in error.problems[0].message


def test_json_is_read_too_and_plain_data(tmp_path: Path) -> None:
    data = {"server": {"port": 5, "drain": "2s"}, "providers": {"openai": {"api_key": "${OPENAI_API_KEY}"}}}
    for text in (json.dumps(data), json.dumps(data, indent="\t")):
        assert loaded(tmp_path, text, "portico.json").config.server.port == 5
    config = load_plain(data, ENVIRON).config
    assert config.server.drain == 2.0
    assert config.providers["openai"].api_key == "sk-of-openai"
    with pytest.raises(ConfigError, match="cannot hold"):
        load_plain({"server": {"port": object()}}, {})
    with pytest.raises(ConfigError, match="a key is text"):
        load_plain({"models": {1: "a/b"}}, {})


def test_a_file_that_is_not_there_or_not_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.yaml", {})
    with pytest.raises(ConfigError, match="directory"):
        load(tmp_path, {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load("a\0b", {})


def test_every_problem_is_in_one_report_in_the_order_of_the_lines(tmp_path: Path) -> None:
    error = rejected(
        tmp_path,
        """server:
  prot: 1
  port: ${ABSENT}
providers:
  openai: {api_key: a, api_keys: [b, b]}
models:
  m: opneai/x
  n: []
retries: {attempts: many}
""",
    )
    assert [problem.place.line for problem in error.problems] == [2, 3, 5, 5, 7, 8, 9]
    assert error.message.count("\n") == 6


# One mistake each: the text, the line it stands on, and words of the answer.
MISTAKES = [
    ("server: {prot: 1}", 1, "server.prot: unknown key 'prot'; did you mean 'port'?"),
    ("servr: {}", 1, "unknown key 'servr'; did you mean 'server'?"),
    ("zzz: 1", 1, "the keys here are `server`, `providers`"),
    ("server:\n  port: 1\n  port: 2", 3, "the key 'port' stands twice; the first is on line 2"),
    ("providers:\n  a: {like: x}\n  'a': {}", 3, "providers.a: the key 'a' stands twice"),
    ("server: {port: '4000'}", 1, "expected a whole number, not '4000' (without quotes)"),
    ("server: {port: 70000}", 1, "'70000' is too large; the most is 65535"),
    ("server: {port: 99999999999999999999999}", 1, "expected a whole number"),
    ("server: {port: -1}", 1, "too small; the least is 0"),
    ("server: {port: 1_000}", 1, "expected a whole number"),
    ("server: {port: 0755}", 1, "octal"),
    ("server: {port: 1.0}", 1, "expected a whole number"),
    ("server: {port: [1]}", 1, "expected a whole number"),
    ("server: {port: }", 1, "expected a whole number"),
    ("server: {workers: no}", 1, "expected a whole number, or `auto`, not 'no'"),
    ("server: {workers: 0}", 1, "between 1 and 1024"),
    ("server: {drain: 1x}", 1, "expected a duration such as `30s`, not '1x'"),
    ("server: {drain: -5s}", 1, "expected a duration"),
    ("server: {limits: {body: 1Q}}", 1, "expected a size such as `64MB`, not '1Q'"),
    ("server: {limits: {connections: 0}}", 1, "too small"),
    ("server: []", 1, "server: expected a table of"),
    ("server: 4000", 1, "server: expected a table of"),
    ("- a\n- b", 1, "a configuration is a table"),
    ("just words", 1, "a configuration is a table"),
    ("server: {master_key: ${ABSENT}}", 1, "the environment variable 'ABSENT' is not set; set it, or give a default"),
    ("server:\n  host: '${A'", 2, "server.host: `${` begins a variable"),
    ("server: {master_key: ''}", 1, "server.master_key: it is empty"),
    ("server: {master_key: ${EMPTY}}", 1, "server.master_key: it is empty"),
    ('server: {master_key: "a\\nb"}', 1, "one line of printable characters"),
    ("server: {port: ${WORD}}", 1, "not what its variable holds"),
    ("server: {tls: {cert: /nowhere/c.pem}}", 1, "the key 'key' is missing"),
    ("server: {tls: {cert: /nowhere/c.pem, key: /nowhere/k.pem}}", 1, "tls.cert: the file '/nowhere/c.pem' cannot"),
    ("server: {unix_socket: " + "x" * 120 + "}", 1, "between 1 and 107 bytes"),
    ("providers: {openai: sk-a}", 1, "providers.openai: expected a table"),
    ("providers: {openai: {api_keys: sk-a}}", 1, "expected a list: write `api_keys: [...]`"),
    ("providers: {openai: {api_key: a, api_keys: [b]}}", 1, "exclude each other"),
    ("providers: {openai: {api_keys: [a, b, a]}}", 1, "api_keys[2]: this key is the same as `api_keys[0]`"),
    ("providers: {openai: {api_key: file:absent}}", 1, "cannot be read: No such file"),
    ("providers: {'a/b': {}}", 1, "letters, digits"),
    ("providers: {v1: {}}", 1, "a path of the gateway itself"),
    ("providers: {openai: {base_url: localhost}}", 1, "expected a URL such as"),
    ("providers: {openai: {base_url: 'ftp://x'}}", 1, "expected a URL such as"),
    ("providers: {openai: {base_url: 'https://u:p@x'}}", 1, "a key does not belong in the URL"),
    ("providers: {openai: {base_url: 'https://x:99999'}}", 1, "this is not a URL"),
    ("providers: {openai: {proxy: 'nope'}}", 1, "expected a URL"),
    ("providers: {openai: {headers: {'a b': c}}}", 1, "cannot be the name of a header"),
    ("providers: {openai: {headers: {Host: c}}}", 1, "belongs to the connection"),
    ("providers: {openai: {ca: /nowhere/ca.pem}}", 1, "cannot be read"),
    ("providers: {openai: {client_key: /dev/null}}", 1, "`client_key` needs `client_cert`"),
    ("providers: {opnai: {}}", 1, "no provider in the catalog is called 'opnai'; did you mean 'openai'?"),
    ("providers: {zzzzzz: {}}", 1, "no provider in the catalog is called 'zzzzzz'; for an endpoint of your own say"),
    ("providers: {mine: {like: opnai}}", 1, "providers.mine.like: no provider in the catalog is called 'opnai'"),
    ("models: {m: openai/x}", 1, "no provider is called 'openai'; add 'openai' under `providers`"),
    ("providers: {openai: }\nmodels: {m: openia/x}", 2, "no provider is called 'openia'; did you mean 'openai'?"),
    ("providers: {openai: }\nmodels: {m: gpt}", 2, "'gpt' is not `provider/model`"),
    ("providers: {openai: }\nmodels: {m: n, n: m}", 2, "it leads back to itself: m → n → m"),
    ("providers: {openai: }\nmodels: {m: m}", 2, "it leads back to itself: m → m"),
    ("providers: {openai: }\nmodels: {m: [openai/x, n], n: [openai/y, o], o: n}", 2, "n → o → n"),
    ("providers: {openai: }\nmodels: {m: openai/x, n: k}", 2, "'k' is not `provider/model`"),
    (
        'providers: {openai: }\nmodels: {m: {targets: [openai/x], rules: [{when: "stream"}]}}',
        2,
        "a rule says where calls go",
    ),
    (
        'providers: {openai: }\nmodels: {m: {targets: [openai/x], rules: [{when: "stream", use: n}]}}',
        2,
        "nothing is called 'n'",
    ),
    (
        'providers: {openai: }\nmodels: {m: {targets: [openai/x], rules: [{when: "stream", use: m}]}}',
        2,
        "it leads back to itself",
    ),
    (
        'providers: {openai: }\nrouting: {rules: [{when: "stream", require: {providers: [opnai]}}]}',
        2,
        "no provider is called 'opnai'; did you mean 'openai'",
    ),
    (
        "providers: {openai: }\nmodels: {m: {targets: [openai/x], shadow: {to: openia/y, share: 5%}}}",
        2,
        "models.m.shadow.to: nothing is called 'openia/y'",
    ),
    (
        "providers: {openai: }\nmodels: {m: {targets: [openai/x], shadow: {to: openai/y, share: 5 percent}}}",
        2,
        "a share such as `5%`",
    ),
    ("providers: {openai: }\nmodels: {m: {targets: [openai/x], shadow: {to: openai/y, share: 150%}}}", 2, "too large"),
    (
        (
            "providers: {openai: }\nteams: {ops: }\n"
            "models: {m: {targets: [openai/x], shadow: {to: openai/y, share: 1, team: opps}}}"
        ),
        3,
        "no team is called 'opps'; did you mean 'ops'?",
    ),
    (
        (
            "providers: {openai: }\nkeys: {shadow: sk-0123456789abcdefg}\n"
            "models: {m: {targets: [openai/x], shadow: {to: openai/y, share: 1}}}"
        ),
        2,
        "copies of calls are charged to a key of this name",
    ),
    (
        "providers: {openai: }\nmodels: {m: {targets: [openai/x], canary: {to: openia/y}}}",
        2,
        "models.m.canary.to: no provider is called 'openia'",
    ),
    (
        "providers: {openai: }\nmodels: {m: {targets: [openai/x], canary: {to: openai/y, steps: [5%, 1%]}}}",
        2,
        "each share is larger than the one before it",
    ),
    (
        "providers: {openai: }\nmodels: {m: {targets: [openai/x], canary: {to: openai/y, steps: [0, 1]}}}",
        2,
        "the first larger than 0",
    ),
    ("providers: {openai: }\nmodels: {m: {targets: [openai/x], canary: {to: m}}}", 2, "it leads back to itself: m → m"),
    ("providers: {openai: }\nmodels: {m: {targets: []}}", 2, "models.m.targets: at least one is needed"),
    ("providers: {openai: }\nmodels: {m: }", 2, "models.m: expected a table"),
    ("providers: {openai: }\nmodels: {m: {strategy: wieghted, targets: [openai/x]}}", 2, "did you mean 'weighted'?"),
    (
        "providers: {openai: }\nmodels: {m: {strategy: weighted, targets: [{model: openai/x, weight: 0}]}}",
        2,
        "no target has a weight",
    ),
    ("providers: {openai: }\nmodels: {m: [{model: openai/x, weight: 1e999}]}", 2, "too large"),
    ("providers: {openai: }\nmodels: {m: [{weight: 1}]}", 2, "models.m.targets[0]: the key 'model' is missing"),
    ("providers: {openai: }\nmodels: {m: openai/*}", 2, "has `*`, and the model's name 'm' does not have any"),
    ("providers: {openai: }\nmodels: {'*': '*'}", 2, "a target names its provider"),
    ("providers: {openai: }\nmodels: {'a**': openai/x}", 2, "`**` stands for nothing else"),
    ("keys: {a: sk-one-two-three-four, b: sk-one-two-three-four}", 1, "keys.b.key: this key is the same as the one at"),
    (
        "server: {master_key: sk-one-two-three-four}\nkeys: {b: {key: sk-one-two-three-four}}",
        2,
        "this key is the same as",
    ),
    ("keys: {a: {key: sk-one-two-three-four, models: ['']}}", 1, "a model's name, or a pattern"),
    ("keys: {a: {key: sk-one-two-three-four, passthrough: [openai]}}", 1, "no provider is called 'openai'"),
    ("keys: {a: {}}", 1, "keys.a: the key 'key' is missing"),
    ("keys: {a: }", 1, "keys.a: expected a table"),
    ("retries: {on: [5xx, conect]}", 1, "retries.on[1]: expected"),
    ("retries: {attempts: 11}", 1, "too large; the most is 10"),
    ("prices: {gpt: {input: 1, output: 1}}", 1, "'gpt' is not `provider/model`"),
    ("prices: {a/b: {input: 1}}", 1, "the key 'output' is missing"),
    ("prices: {a/b: {input: -1, output: 2}}", 1, "too small"),
    ("logs: {calls: file}", 1, "expected `none` or `stdout`, not 'file'"),
    ("providers: {openai: {'${WORD}': 1}}", 1, "unknown key"),
    ("models: {'${WORD}': a/b}", 1, "a variable cannot be part of a key"),
    ("include: [absent.yaml]", 0, "the file cannot be read"),
    ("include: {a: b}", 1, "expected the path of a file"),
    ("server:\n\tport: 1", 2, "a tab cannot indent YAML"),
    ("server: {port: 1", 1, "this is not YAML"),
    ("server: a: b", 1, "quote a value that holds `: `"),
    ("server: *nothing", 1, "refers to an anchor"),
    ("a: &a {b: *a}", 1, "stands inside what it refers to"),
    ("server: !env PORT", 1, "the tag '!env' is not used here"),
    ("server: !!python/object:os.system {}", 1, "is not used here"),
    ("server: {}\n---\nserver: {}", 2, "this begins a second one"),
    ("? [a, b]\n: c", 1, "a key is a word"),
    ("<<: 3", 1, "`<<` merges a table"),
    ("server: {host: 'a\x01'}", 1, "the character U+0001 may not stand here"),
    ("server: {host: \ue000}", 1, "the character U+E000 may not stand here"),
]


@pytest.mark.parametrize(("text", "line", "words"), MISTAKES, ids=[repr(m[0][:50]) for m in MISTAKES])
def test_a_mistake_is_answered_with_its_line_and_what_to_do(tmp_path: Path, text: str, line: int, words: str) -> None:
    error = rejected(tmp_path, text, catalog=["openai", "groq", "azure"])
    assert words in error.message
    assert line in {problem.place.line for problem in error.problems if words in str(problem)}


def test_the_excerpt_has_a_caret_under_the_mistake(tmp_path: Path) -> None:
    problem = rejected(tmp_path, "server: {port: 1, prot: 2, host: x}").problems[0]
    assert problem.excerpt.splitlines() == [
        "1 | server: {port: ***, prot: ***, host: ***}",
        "  |                     ^",
    ]
    problem = rejected(tmp_path, "server:\n  drain: 1x # seconds\n").problems[0]
    assert problem.excerpt.splitlines() == ["2 |   drain: 1x # seconds", "  |          ^"]


WARNINGS = [
    ("providers: {a: {like: x}}\nmodels: {m: [{model: a/x, weight: 2}]}", "no effect without `strategy: weighted`"),
    (
        "providers: {a: {like: x}}\nmodels: {m: [a/x], n: [{model: m, max_concurrency: 2}]}",
        "no effect on a name of `models`",
    ),
    ("providers: {a: {like: x}}\nmodels: {m: [a/x, a/x]}", "this target stands twice"),
    ("keys: {a: short}", "can be guessed"),
    ("keys: {a: {key: sk-one-two-three-four, models: [opnai/*]}}\nproviders: {openai: }", "it allows nothing"),
    (
        "keys: {a: {key: sk-one-two-three-four, models: [smrt]}}\nproviders: {a: }\nmodels: {smart: a/b}",
        "did you mean 'smart'?",
    ),
    ("prices: {a/b: {input: 1, output: 1}}", "no provider is called 'a'"),
    ("server: {limits: {header_bytes: 1KB, url_bytes: 2KB}}", "also bounds the request line"),
]


@pytest.mark.parametrize(("text", "words"), WARNINGS)
def test_what_is_probably_not_meant_is_a_warning(tmp_path: Path, text: str, words: str) -> None:
    warnings = loaded(tmp_path, text).warnings
    assert [words in str(warning) for warning in warnings] == [True]


def test_every_path_has_its_line(tmp_path: Path) -> None:
    result = loaded(tmp_path, "providers:\n  a: {}\nmodels:\n  m:\n  - a/x\n  - model: a/y\n")
    assert result.lines["providers", "a"].line == 2
    assert result.lines["models", "m", "targets", 1, "model"].line == 6


def test_the_variables_used_are_known(tmp_path: Path) -> None:
    assert loaded(tmp_path, "server: {host: '${HOST:-h}', port: ${PORT}}").variables == ("HOST", "PORT")


@pytest.mark.parametrize(
    ("written", "share"), [("5%", 0.05), ("0.05", 0.05), ("12.5%", 0.125), ("100%", 1.0), ("0", 0.0)]
)
def test_a_share_may_be_written_as_a_part_of_a_hundred(tmp_path: Path, written: str, share: float) -> None:
    text = f"providers: {{a: }}\nmodels: {{m: {{targets: [a/x], shadow: {{to: a/y, share: {written}}}}}}}"
    shadow = loaded(tmp_path, text).config.models["m"].shadow
    assert shadow is not None
    assert shadow.share == share


def test_what_is_loaded_is_what_the_schema_says(tmp_path: Path) -> None:
    config = loaded(tmp_path, "providers: {a: {timeouts: {total: 3}}}\nmodels: {m: a/b}").config
    assert msgspec.convert(msgspec.to_builtins(config), Config) == config


def test_problems_without_end_are_counted_and_not_all_told(tmp_path: Path) -> None:
    providers = "".join(f"  p{n}: {{}}\n" for n in range(3000))
    models = "".join(f"  m{n}: q{n}/x\n" for n in range(3000))
    error = rejected(tmp_path, f"providers:\n{providers}models:\n{models}")
    assert len(error.problems) == 501
    assert error.problems[-1].message == "and 2500 more problems"
