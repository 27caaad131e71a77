"""Who may call and within what bounds, as a configuration declares it: what it becomes, and what is wrong with it."""

from pathlib import Path
from typing import Any

import pytest

from portico.config.declared import MASTER, NO_MODEL, Declared, declared, nano, within
from portico.config.handover import decode, encode
from portico.config.load import load, load_plain
from portico.config.problems import RejectedConfigError
from portico.rules import Applied, Rule, Window

WHOLE = """
server: {master_key: sk-portico-the-master-key}
providers: {openai: }
organizations: {acme: {budgets: [{usd: 1000, per: month}]}}
teams:
  core:
    org: acme
    models: ["openai/*"]
    tags: [stage:prod]
    default_max_tokens: 500
    allowance_usd: 0.25
    markup: 1.1
    limits: [{requests: 100, tokens: 5000, per: minute}]
    member: {budgets: [{usd: 10, per: week}]}
users: {anna: {limits: [{in_flight: 3}]}}
customers: {bad: {blocked: true}, good: {budgets: [{requests: 5, per: 36h}]}}
keys:
  web:
    key: sk-portico-of-the-web
    team: core
    user: anna
    expires: 2030-01-01
    models: [openai/gpt, groq/x]
    ips: [10.0.0.0/8]
    defaults: {temperature: 0.5, stop: [a, b]}
    enforced: {store: false}
    tags: [app:web]
    bodies: none
    budgets: [{usd: 0.1, per: month, zone: Europe/Berlin, mode: clamp, alerts: [80, 50, 80]}]
  plain: sk-portico-of-nobody
limits:
  - {for: {team: core, model: "openai/*"}, each: [customer], requests: 7, per: hour}
budgets:
  - {usd: 5, per: day, rolling: true, mode: soft}
"""


def compiled(tmp_path: Path, text: str) -> Declared:
    file = tmp_path / "portico.yaml"
    file.write_text(text)
    return declared(decode(encode(load(file, {}).config)))


def problems(tmp_path: Path, text: str) -> str:
    file = tmp_path / "portico.yaml"
    file.write_text(text)
    with pytest.raises(RejectedConfigError) as caught:
        load(file, {})
    return str(caught.value)


def test_a_key_takes_from_its_team_what_it_leaves_out(tmp_path: Path) -> None:
    holder = compiled(tmp_path, WHOLE).holders["sk-portico-of-the-web"]
    assert (holder.id, holder.org, holder.team, holder.user) == ("web", "acme", "core", "anna")
    assert holder.models == ("openai/gpt",)
    assert (holder.default_max_tokens, holder.allowance, holder.markup) == (500, 250_000_000, 1_100_000)
    assert holder.tags == ("stage:prod", "app:web")
    assert holder.expires == 1_893_456_000.0
    assert bytes(holder.defaults["stop"]) == b'["a","b"]'
    assert bytes(holder.defaults["temperature"]) == b"0.5"
    assert bytes(holder.enforced["store"]) == b"false"
    assert holder.bodies == "none"


def test_the_master_key_is_a_holder_and_a_plain_key_belongs_to_nobody(tmp_path: Path) -> None:
    result = compiled(tmp_path, WHOLE)
    assert result.holders["sk-portico-the-master-key"] == MASTER
    plain = result.holders["sk-portico-of-nobody"]
    assert (plain.org, plain.team, plain.user, plain.models, plain.markup) == (None, None, None, (), 1_000_000)


def test_no_key_is_shown(tmp_path: Path) -> None:
    assert repr(compiled(tmp_path, WHOLE)) == "<Declared 3 keys, 10 rules>"


def test_limits_and_budgets_are_rules_whose_ids_tell_whose_they_are(tmp_path: Path) -> None:
    rules = {applied.rule.id: applied for applied in compiled(tmp_path, WHOLE).rules}
    assert sorted(rules) == sorted(
        [
            "org:acme/budget/cost/month",
            "team:core/limit/requests/minute",
            "team:core/limit/tokens/minute",
            "team:core/member/budget/cost/week",
            "user:anna/limit/in_flight",
            "customer:bad/blocked",
            "customer:good/budget/requests/36h",
            "key:web/budget/cost/month/Europe/Berlin",
            "model=openai/*,team=core|each=customer/limit/requests/hour",
            "all/budget/cost/day/rolling",
        ]
    )
    assert rules["team:core/member/budget/cost/week"] == Applied(
        Rule("team:core/member/budget/cost/week", "budget", "cost", 10_000_000_000, Window("week")),
        {"team": ("core",)},
        ("user",),
    )
    assert rules["key:web/budget/cost/month/Europe/Berlin"].rule == Rule(
        "key:web/budget/cost/month/Europe/Berlin",
        "budget",
        "cost",
        100_000_000,
        Window("month", zone="Europe/Berlin"),
        "clamp",
        (50, 80),
    )
    apart = rules["model=openai/*,team=core|each=customer/limit/requests/hour"]
    assert apart.to == {"team": ("core",), "model": ("openai/*",)}
    assert apart.each == ("customer",)
    assert rules["customer:bad/blocked"].rule.amount == 0
    assert rules["customer:good/budget/requests/36h"].rule.window == Window(129_600)
    assert rules["all/budget/cost/day/rolling"].to == {}


HARD, CLAMP, SOFT = ({"usd": 5, "mode": mode} for mode in ("hard", "clamp", "soft"))


@pytest.mark.parametrize("where", ["key", "team", "apart"])
@pytest.mark.parametrize(
    ("budgets", "ids"),
    [
        ([HARD], {"hard": ""}),
        ([CLAMP], {"clamp": ""}),
        ([SOFT], {"soft": ""}),
        ([HARD, SOFT], {"hard": "", "soft": "/soft"}),
        ([SOFT, HARD], {"hard": "", "soft": "/soft"}),
        ([SOFT, CLAMP], {"clamp": "", "soft": "/soft"}),
        ([CLAMP, HARD], {"hard": "", "clamp": "/clamp"}),
        ([SOFT, CLAMP, HARD], {"hard": "", "clamp": "/clamp", "soft": "/soft"}),
        ([HARD, {**SOFT, "per": "day"}], {"hard": "", "soft": ""}),
    ],
)
def test_the_firmest_of_those_that_bound_the_same_has_the_name_alone(
    where: str, budgets: list[dict[str, Any]], ids: dict[str, str]
) -> None:
    declares = {
        "key": {"keys": {"a": {"key": "sk-portico-0123456789", "budgets": budgets}}},
        "team": {"teams": {"a": {"budgets": budgets}}},
        "apart": {"teams": {"a": {}}, "budgets": [{**one, "for": {"team": ["a"]}} for one in budgets]},
    }
    made = declared(load_plain({"providers": {"openai": {"api_key": "x"}}, **declares[where]}, {}).config)
    told = {one.rule.mode: one.rule.id.rpartition("/budget/cost/")[2].removeprefix("forever") for one in made.rules}
    assert {mode: name.removeprefix("day") for mode, name in told.items()} == ids


def test_a_rule_is_the_same_one_when_its_amount_changes(tmp_path: Path) -> None:
    text = "keys: {a: {key: sk-portico-0123456789, budgets: [{usd: %s, per: day}]}}"
    one, other = (compiled(tmp_path, text % usd).rules[0].rule for usd in (1, 2))
    assert one.id == other.id
    assert (one.amount, other.amount) == (1_000_000_000, 2_000_000_000)


@pytest.mark.parametrize("above", ["teams: {t: {blocked: true}}", "users: {u: {blocked: true}}"])
def test_a_key_is_blocked_with_its_team_or_user(tmp_path: Path, above: str) -> None:
    field = "team: t" if above.startswith("teams") else "user: u"
    text = f"{above}\nkeys: {{a: {{key: sk-portico-0123456789, {field}}}}}"
    assert compiled(tmp_path, text).holders["sk-portico-0123456789"].blocked


@pytest.mark.parametrize(
    ("levels", "allowed"),
    [
        ([(), ()], ()),
        ([("a",), ()], ("a",)),
        ([(), ("a*",), ()], ("a*",)),
        ([("openai/gpt", "groq/x"), ("openai/*",)], ("openai/gpt",)),
        ([("*",), ("openai/*",)], ("openai/*",)),
        ([("a*",), ("*b",)], NO_MODEL),
        ([("a",), ("b",), ("a", "b")], NO_MODEL),
    ],
)
def test_what_every_level_allows_is_allowed(levels: list[tuple[str, ...]], allowed: tuple[str, ...]) -> None:
    assert within(*levels) == allowed


@pytest.mark.parametrize(
    ("usd", "expected"), [(0.1, 100_000_000), (10, 10_000_000_000), (1e-9, 1), (0.29, 290_000_000)]
)
def test_dollars_are_counted_as_they_are_written(usd: float, expected: int) -> None:
    assert nano(usd) == expected


WRONG = [
    (
        "keys: {a: {key: sk-portico-0123456789, team: cor}}\nteams: {core: }",
        "there is no team 'cor'; did you mean 'core'",
    ),
    ("keys: {a: {key: sk-portico-0123456789, user: u}}", "there is no user 'u'; declare it under `users`"),
    ("teams: {t: {org: o}}", "there is no org 'o'"),
    ("teams: {t: {limits: [{per: day}]}}", "it bounds nothing"),
    ("teams: {t: {limits: [{requests: 1, per: forever}]}}", "what is used up for ever is a budget"),
    ("teams: {t: {budgets: [{usd: 1, zone: Europe/Berln}]}}", "no time zone is called 'Europe/Berln'"),
    ("teams: {t: {budgets: [{requests: 1, mode: clamp}]}}", "`clamp` is for tokens and money"),
    ("teams: {t: {budgets: [{usd: 1}, {usd: 2}]}}", "bounded twice; the other is at `teams.t.budgets.0`"),
    ("teams: {t: {limits: [{requests: 1, per: fortnight}]}}", "or a duration, not 'fortnight'"),
    ("teams: {t: {limits: [{requests: 1, per: 100ms}]}}", "not a whole number of seconds"),
    ("teams: {t: {budgets: [{usd: -1}]}}", "too small"),
    ("teams: {t: {budgets: [{usd: 1, alerts: [0]}]}}", "too small"),
    ("budgets: [{usd: 1, for: {tema: x}}]", "unknown key 'tema'; did you mean 'team'"),
    ("budgets: [{usd: 1, each: [key, color]}]", "not 'color'"),
    ("budgets: [{usd: 1, for: {team: []}}]", "it names nothing"),
    ("budgets: [{usd: 1}, {usd: 3}]", "bounded twice"),
    ("keys: {a: {key: sk-portico-0123456789, ips: [10.0.0.300]}}", "expected an address or a network"),
    ("keys: {a: {key: sk-portico-0123456789, tags: [web]}}", "a tag is `name:value`"),
    ("keys: {a: {key: sk-portico-0123456789, expires: tomorrow}}", "expected a time such as"),
    ("keys: {a: {key: sk-portico-0123456789, expires: 1960-01-01}}", "is before 1970"),
    ("teams: {t: {models: [x]}}\nkeys: {a: {key: sk-portico-0123456789, team: t, models: [y]}}", "it may call nothing"),
    (
        "organizations: {o: , p: }\nteams: {t: {org: o}}\nkeys: {a: {key: sk-portico-0123456789, team: t, org: p}}",
        "its team",
    ),
    ("teams: {'a*': }", "a name holds no `*`"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_makes_no_sense_is_said(tmp_path: Path, text: str, said: str) -> None:
    assert said in problems(tmp_path, text)


def test_a_rule_for_a_team_that_is_not_declared_is_doubtful(tmp_path: Path) -> None:
    file = tmp_path / "portico.yaml"
    file.write_text("teams: {core: }\nbudgets: [{usd: 1, for: {team: [cora, 'x*']}}]")
    (warning,) = load(file, {}).warnings
    assert "no team here is called 'cora'" in warning.message
