"""The JSON Schema says yes and no where the loader does."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from portico.config.editor import DIALECT, schema
from portico.config.load import load
from portico.errors import ConfigError

SCHEMA = schema()
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "null": type(None),
    "boolean": bool,
}
WORDS = {"$schema", "$defs", "title", "description", "default"}


def fits(value: Any, rule: dict[str, Any]) -> bool:
    """Whether a value is valid; the words of JSON Schema that the schema uses, and a failure for every other one."""
    for word, said in rule.items():
        if word in WORDS:
            continue
        if not check(value, word, said, rule):
            return False
    return True


def check(value: Any, word: str, said: Any, rule: dict[str, Any]) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match word:
        case "$ref":
            return fits(value, SCHEMA["$defs"][said.removeprefix("#/$defs/")])
        case "anyOf":
            return any(fits(value, one) for one in said)
        case "type":
            names = said if isinstance(said, list) else [said]
            return any(isinstance(value, TYPES[n]) and (n == "boolean" or not isinstance(value, bool)) for n in names)
        case "enum":
            return value in said
        case "pattern":
            return not isinstance(value, str) or re.search(said, value) is not None
        case "minLength":
            return not isinstance(value, str) or len(value) >= said
        case "minimum":
            return not number or value >= said
        case "maximum":
            return not number or value <= said
        case "minItems":
            return not isinstance(value, list) or len(value) >= said
        case "items":
            return not isinstance(value, list) or all(fits(item, said) for item in value)
        case "required":
            return not isinstance(value, dict) or all(name in value for name in said)
        case "properties":
            return not isinstance(value, dict) or all(fits(value[k], r) for k, r in said.items() if k in value)
        case "patternProperties":
            return not isinstance(value, dict) or all(
                fits(v, r) for p, r in said.items() for k, v in value.items() if re.search(p, k)
            )
        case "propertyNames":
            return not isinstance(value, dict) or all(fits(name, said) for name in value)
        case "additionalProperties":
            known = rule.get("properties", {})
            patterns = rule.get("patternProperties", {})
            rest = (
                [v for k, v in value.items() if k not in known and not any(re.search(p, k) for p in patterns)]
                if isinstance(value, dict)
                else []
            )
            return all(said is not False and fits(item, said) for item in rest)
    raise AssertionError(f"the schema uses {word!r}, which this test does not know")


def test_it_is_a_schema_of_the_2020_12_dialect() -> None:
    assert SCHEMA["$schema"] == DIALECT == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["additionalProperties"] is False
    for name, table in SCHEMA["$defs"].items():
        assert table["description"], name


def test_every_field_says_what_it_means() -> None:
    for name, table in SCHEMA["$defs"].items():
        tables = [table] if "properties" in table else [one for one in table["anyOf"] if "properties" in one]
        for field, rule in tables[0]["properties"].items():
            assert rule["description"], f"{name}.{field}"


def test_the_example_fits(example: Path) -> None:
    # In braces, YAML's own grammar wants variables in quotes; Portico and this schema do not care.
    text = re.sub(r"(?<![\"'])(\$\{[^}]*\})", r'"\1"', example.read_text()).replace("  on:", "  'on':")
    assert fits(yaml.safe_load(text), SCHEMA)


GOOD = [
    "{}",
    "server: {drain: 30s, port: '${PORT:-1}', limits: {body: 64MB, reply: 1000}, workers: auto}",
    "server: {drain: 1.5, workers: 4}",
    "server:",
    "providers: {a: }\nmodels: {m: a/x, n: [a/x, {model: a/y, weight: 2, timeouts: {total: 1h}}], o: {targets: [a/x]}}",
    "providers: {a: {api_keys: [x, y], options: {n: 1, t: true, s: x}, headers: {h: v}}}",
    "keys: {a: sk-0123456789abcdefg, b: {key: sk-a123456789abcdefg, models: [x, 'y/*']}}",
    "keys: {a: {key: sk-a123456789abcdefg, expires: '2030-01-01', defaults: {stop: [a], n: {b: null}}}}",
    "teams: {t: {limits: [{requests: 1, per: 5h}], member: {budgets: [{usd: 1.5}]}}, u: }",
    "budgets: [{usd: 1, per: month, for: {model: 'a/*', team: [b]}, each: [customer], alerts: [50]}]",
    "retries: {'on': ['429', 5xx], attempts: 3}",
    "retries: {'on': [429]}",
    "providers: {a: }\nmodels: {m: {targets: [a/x], shadow: {to: a/y, share: 5%}, hedge: {share: 0.1}}}",
    "providers: {a: }\nprices: {a/b: {input: 1, output: 0.5, cache_read: 0.1}}",
    "x-anchors: [anything]",
]
BAD = [
    "servr: {}",
    "server: {prot: 1}",
    "server: {port: 70000}",
    "server: {port: '1'}",
    "server: {drain: 1x}",
    "server: {limits: {body: 1Q}}",
    "server: []",
    "models: {m: no-slash}",
    "models: {m: {targets: []}}",
    "models: {m: }",
    "models: {m: {strategy: x, targets: [a/b]}}",
    "providers: {a: {api_keys: x}}",
    "providers: {a: x}",
    "keys: {a: {}}",
    "keys: {a: ''}",
    "retries: {attempts: 0}",
    "teams: {t: {limits: [{requests: -1}]}}",
    "teams: {t: {limits: [{requests: 1, per: fortnight}]}}",
    "budgets: [{usd: 1, for: {color: red}}]",
    "budgets: [{usd: 1, each: [color]}]",
    "keys: {a: {key: sk-a123456789abcdefg, bodies: some}}",
    "retries: {'on': [never]}",
    "providers: {a: }\nmodels: {m: {targets: [a/x], shadow: {to: a/y, share: 5 of 100}}}",
    "prices: {a/b: {input: 1}}",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_the_loader_takes_fits(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    load(tmp_path / "c.yaml", {})
    assert fits(yaml.safe_load(text), SCHEMA)


@pytest.mark.parametrize("text", BAD)
def test_what_the_loader_refuses_does_not_fit(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError):
        load(tmp_path / "c.yaml", {})
    assert not fits(yaml.safe_load(text), SCHEMA)
