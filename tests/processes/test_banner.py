"""The banner says what a stranger needs, and a key only when it was made just now, to a person."""

import pytest

from portico.supervisor.announce import render_banner
from portico.supervisor.plan import Plan, Resolved, parse_resolved, render_resolved

URL = "http://127.0.0.1:4000"
PLAN = Plan(
    config=b"secret bytes",
    source=None,
    host="127.0.0.1",
    port=4000,
    tls=False,
    unix_socket=None,
    workers=2,
    data_dir="/data",
    drain=30.0,
    key_from="made",
    key_path="/data/master_key",
    made_key="sk-portico-made-now",
    providers=("openai", "anthropic"),
    models=("smart", "cheap"),
    keys=0,
)


def test_a_new_key_is_shown_to_a_person():
    assert "sk-portico-made-now" in render_banner(PLAN, URL, shown=True)


@pytest.mark.parametrize("key_from", ["made", "data directory", "environment", "configuration"])
def test_no_key_is_shown_where_nobody_is_looking(key_from):
    plan = PLAN._replace(key_from=key_from)
    assert "sk-portico" not in render_banner(plan, URL, shown=False)


@pytest.mark.parametrize(
    ("key_from", "how"),
    [
        ("made", '"Authorization: Bearer $(cat /data/master_key)"'),
        ("data directory", '"Authorization: Bearer $(cat /data/master_key)"'),
        ("environment", '"Authorization: Bearer $PORTICO_MASTER_KEY"'),
        ("configuration", '"Authorization: Bearer YOUR_KEY"'),
    ],
)
def test_the_first_call_can_be_copied(key_from, how):
    said = render_banner(PLAN._replace(key_from=key_from), URL, shown=False)
    assert f"curl {URL}/v1/chat/completions" in said
    assert how in said
    assert '"model": "smart"' in said


def test_without_models_of_ones_own_the_first_call_lists_those_there_are():
    assert f"curl {URL}/v1/models" in render_banner(PLAN._replace(models=()), URL, shown=False)


def test_without_providers_it_says_what_to_do():
    said = render_banner(PLAN._replace(providers=()), URL, shown=False)
    assert "none yet: set a key such as OPENAI_API_KEY" in said


def test_a_path_with_a_space_is_quoted():
    said = render_banner(PLAN._replace(key_path="/my data/master_key"), URL, shown=False)
    assert "$(cat '/my data/master_key')" in said


def test_a_plan_survives_the_pipe_and_hides_its_secrets():
    resolved = Resolved(PLAN, ("/etc/portico.yaml",))
    assert parse_resolved(render_resolved(resolved)) == resolved
    assert "sk-portico" not in repr(PLAN)
    assert "secret" not in repr(PLAN)
    assert parse_resolved(b"") == Resolved()
