"""Secrets are in no error, excerpt, warning, repr or display."""

import io
import traceback
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from portico.config import schema
from portico.config.handover import redacted
from portico.config.load import load, load_plain
from portico.config.problems import RejectedConfigError, safe
from portico.config.schema import HIDDEN, Config, Key, Provider, Server

S = "Zq7-hush-hush-9X"
"""The secret of these tests: no key of its kind is known."""
ENVIRON = {"SECRET": S}

# Each file is refused for some reason, and holds the secret somewhere.
LEAKY = [
    f"providers: {{openai: {{api_kye: {S}}}}}",
    f"providers: {{openai: {{api_keys: {S}}}}}",
    f"providers: {{openai: {S}}}",
    f"providers: {S}",
    f"server: {{master_key: {S}, prot: 1}}",
    f"server: {{master_key: [{S}]}}",
    f"server: {{master_key: {{a: {S}}}}}",
    f"server:\n  master_key: {S}: x\n",
    f"server:\n  master_key: '{S}\n",
    f"server: {{master_key: {S}",
    f"server: [{S}]",
    "server: {port: ${SECRET}}",
    "server: {port: ${ABSENT:-" + S + "}, drain: ${SECRET}}",
    f"providers: {{openai: {{api_key: a, api_keys: [{S}, {S}]}}}}",
    f"keys: {{a: {S}, b: {S}, c: {{}}}}",
    f"keys: {S}",
    f"keys: [{S}]",
    f'keys: {{a: "{S}\\n{S}"}}',
    f"keys: {{a: |\n    {S}\n    {S}\n}}",
    f"keys:\n  a: |\n    {S}\n    {S}\n",
    f"providers: {{openai: {{headers: {{'x y': {S}}}}}}}",
    f"providers: {{openai: {{headers: [{S}]}}}}",
    f"providers: {{openai: {{options: {{token: [{S}]}}}}}}",
    f"providers: {{openai: {{base_url: 'https://u:{S}@host'}}}}",
    f"providers: {{openai: {{base_url: 'nope://{S}@host'}}}}",
    "providers: {openai: {base_url: ${SECRET}}}",
    "providers: {openai: {proxy: ${SECRET}}}",
    "retries: {on: [${SECRET}]}",
    f"server: {{host: a, host: {S}}}",
    f"# {S}\nserver: {{master_key: {S}, \x01}}",
    f"x: &a {S}\ny: *b",
    f"api_key: {S}",
    f"- {S}",
    f"{S}",
    f"models: {{m: {{api_key: {S}, targets: []}}}}",
]  # fmt: skip


@pytest.mark.parametrize("text", LEAKY)
def test_a_refused_file_shows_no_secret(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(RejectedConfigError) as caught:
        load(file, ENVIRON)
    everything = str(caught.value) + repr(caught.value) + "".join(p.excerpt + repr(p) for p in caught.value.problems)
    assert S not in everything
    assert S not in "".join(traceback.format_exception(caught.value))


def test_a_warning_shows_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("keys: {a: {key: short-one, models: [x/y]}, b: tiny}\n")
    warnings = load(file, {}).warnings
    assert warnings
    for warning in warnings:
        assert "short-one" not in str(warning) + warning.excerpt
        assert "tiny" not in str(warning) + warning.excerpt


FULL = Config(
    server=Server(master_key=S),
    providers={
        "a": Provider(
            api_key=S,
            api_keys=(S, S),
            headers={"authorization": S, "x-other": S},
            options={
                "secret_access_key": S,
                "session_token": S,
                "credentials": S,
                "region": "eu",
                "url": f"http://u:{S}@h",
            },
            proxy=f"http://user:{S}@proxy:3128",
        )
    },
    keys={"team": Key(key=S)},
)


def test_no_repr_shows_a_secret() -> None:
    console = Console(file=io.StringIO(), width=500)
    console.print(FULL, FULL.providers["a"], FULL.keys["team"], FULL.server)
    assert isinstance(console.file, io.StringIO)
    shown = [repr(FULL), str(FULL), f"{FULL}", repr(FULL.providers), repr(FULL.keys), console.file.getvalue()]
    for text in shown:
        assert S not in text
        assert HIDDEN in text
    assert "region" in repr(FULL)


def test_a_display_shows_no_secret_and_everything_else() -> None:
    shown = redacted(FULL)
    assert S not in repr(shown)
    assert shown["providers"]["a"]["options"]["region"] == "eu"
    assert shown["providers"]["a"]["proxy"] == f"http://{HIDDEN}@proxy:3128"
    assert shown["providers"]["a"]["api_keys"] == [HIDDEN, HIDDEN]
    assert redacted(FULL, defaults=False)["server"] == {"master_key": HIDDEN}
    assert redacted(Config(), defaults=False) == {}


def test_every_field_that_holds_a_secret_is_hidden() -> None:
    tables = [t for t in vars(schema).values() if isinstance(t, type) and issubclass(t, msgspec.Struct)]
    secret = {f"{table.__name__}.{name}" for table in tables for name in schema.secret_fields(table)}
    assert secret == {
        "Server.master_key",
        "Provider.api_key",
        "Provider.api_keys",
        "Provider.headers",
        "Key.key",
        "Alerts.webhook",
    }


@pytest.mark.parametrize(
    "key", ["sk-proj-abcdefghijklmnop", "gsk_abcdefghijklmnop", "AIzaSyA-abcdefghijkl", "AKIAIOSFODNN7EXAMPLE"]
)
def test_what_looks_like_a_key_is_hidden_wherever_it_stands(key: str) -> None:
    assert safe(key) == key[:3] + HIDDEN
    with pytest.raises(RejectedConfigError) as caught:
        load_plain({"models": {key: {"target": key}}, key: key, "keys": {key: {key: key}}}, {})
    assert key not in str(caught.value)


@given(st.text(min_size=1, max_size=200))
def test_what_is_quoted_from_a_file_is_one_short_printable_line(text: str) -> None:
    quoted = safe(text)
    assert quoted.isprintable()
    assert len(quoted) <= 80
