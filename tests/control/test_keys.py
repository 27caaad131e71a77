"""Keys in the admin API: shown once, known by their hash, in force at once, renewed with a time of grace."""

import json
from typing import Any

import pytest

from control.conftest import MASTER, NOW, SECRET, Api, Clock
from portico.control.admin import Admin
from portico.control.publish import NoSnapshot
from portico.secret import digest

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)


def held(snapshot: NoSnapshot, token: str) -> Any:
    return snapshot.holders.get(digest(token.encode(), SECRET))


def test_a_key_is_shown_once_and_in_force_at_once(api: Api, snapshot: NoSnapshot) -> None:
    made = api.make("keys", name="web", models=["openai/*"], tags=["app:web"], allowance_usd=0.5)
    assert made["key"].startswith("sk-portico-")
    assert len(made["key"]) == 54  # 32 bytes in base64 behind the prefix
    holder = held(snapshot, made["key"])
    assert (holder.id, holder.name, holder.models) == (made["id"], "web", ("openai/*",))
    assert (holder.tags, holder.allowance) == (("app:web",), 500_000_000)
    read = api("GET", f"keys/{made['id']}").json()
    assert "key" not in read
    assert read["prefix"] == f"{made['key'][:15]}…{made['key'][-4:]}"


def test_a_key_takes_from_its_team_what_it_leaves_out_and_follows_its_changes(api: Api, snapshot: NoSnapshot) -> None:
    api.make("organizations", id="acme")
    api.make("teams", id="core", org="acme", models=["openai/*"], default_max_tokens=100, markup=1.5)
    key = api.make("keys", team="core")
    assert key["org"] == "acme"
    holder = held(snapshot, key["key"])
    assert (holder.org, holder.team, holder.models) == ("acme", "core", ("openai/*",))
    assert (holder.default_max_tokens, holder.markup) == (100, 1_500_000)
    assert api("PATCH", "teams/core", {"blocked": True, "default_max_tokens": None}).status_code == 200
    holder = held(snapshot, key["key"])
    assert holder.blocked
    assert holder.default_max_tokens is None


def test_how_the_calls_of_a_key_wait_is_said_by_it_and_by_its_team(api: Api, snapshot: NoSnapshot) -> None:
    api.make("teams", id="core", queue={"weight": 3, "wait": 600})
    key = api.make("keys", team="core", priority="low")
    holder = held(snapshot, key["key"])
    assert (holder.priority, holder.weight, holder.wait) == ("low", 3.0, 600.0)
    assert api("PATCH", f"keys/{key['id']}", {"priority": "high"}).status_code == 200
    assert api("PATCH", "teams/core", {"queue": {"weight": 0.5}}).status_code == 200
    holder = held(snapshot, key["key"])
    assert (holder.priority, holder.weight, holder.wait) == ("high", 0.5, None)
    assert api("PATCH", "teams/core", {"queue": None}).status_code == 200
    assert held(snapshot, key["key"]).weight == 1.0
    changed = api("GET", "audit?kind=team").json()["items"]
    assert any("queue" in json.dumps(entry) for entry in changed)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("teams", {"queue": {"weight": 0}}),
        ("teams", {"queue": {"weight": 1001}}),
        ("teams", {"queue": {"wait": -1}}),
        ("teams", {"queue": {"calls": 5}}),
        ("keys", {"priority": "urgent"}),
    ],
)
def test_a_way_to_wait_that_there_is_not_is_refused(api: Api, path: str, body: dict[str, object]) -> None:
    assert api("POST", path, body).status_code == 422


def test_a_key_may_belong_to_a_team_of_the_configuration(api: Api, snapshot: NoSnapshot) -> None:
    key = api.make("keys", team="declared")
    assert held(snapshot, key["key"]).models == ("openai/*",)


def test_a_renewed_key_works_beside_the_old_one_until_its_grace_is_over(
    api: Api, snapshot: NoSnapshot, clock: Clock
) -> None:
    old = api.make("keys", role="owner")
    new = api("POST", f"keys/{old['id']}/rotate", {"grace": 3600}).json()
    assert new["id"] == old["id"]
    assert new["key"] != old["key"]
    assert held(snapshot, old["key"]).expires == (NOW + 3_600_000) / 1000
    assert held(snapshot, new["key"]).expires is None
    assert len(api("GET", f"keys/{old['id']}/hashes").json()["items"]) == 2
    for token in (old["key"], new["key"]):
        assert api.as_(token)("GET", "me").status_code == 200
    clock.now += 3_600_001
    assert api.as_(old["key"])("GET", "me").status_code == 401
    assert api.as_(new["key"])("GET", "me").status_code == 200


def test_without_grace_the_old_key_is_gone_at_once(api: Api, snapshot: NoSnapshot) -> None:
    old = api.make("keys")
    new = api("POST", f"keys/{old['id']}/rotate", {}).json()
    assert held(snapshot, old["key"]) is None
    assert held(snapshot, new["key"]).id == old["id"]


def test_a_blocked_key_is_in_force_as_blocked_and_a_deleted_one_not_at_all(api: Api, snapshot: NoSnapshot) -> None:
    key = api.make("keys")
    assert api("POST", f"keys/{key['id']}/block").json()["blocked"] is True
    assert held(snapshot, key["key"]).blocked
    assert api("POST", f"keys/{key['id']}/unblock").json()["blocked"] is False
    assert api("DELETE", f"keys/{key['id']}").status_code == 204
    assert held(snapshot, key["key"]) is None
    assert api("GET", f"keys/{key['id']}").status_code == 404


def test_the_rules_of_a_key_its_user_and_its_membership_ride_with_it(api: Api, snapshot: NoSnapshot) -> None:
    api.make("templates", id="gold", limits=[{"requests": 100}])
    api.make("users", id="anna", budgets=[{"usd": 50, "per": "month"}])
    api.make("teams", id="core", member={"budgets": [{"usd": 5, "per": "day"}]})
    member = api.make("teams/core/members", user="anna")
    assert member["budgets"][0]["usd"] == 5
    key = api.make("keys", team="core", user="anna", template="gold", limits=[{"in_flight": 2}])
    rules = [applied.rule.id for applied in held(snapshot, key["key"]).rules]
    assert rules == [
        f"key:{key['id']}/limit/in_flight",
        f"key:{key['id']}/gold/limit/requests/minute",
        "user:anna/budget/cost/month",
        "team:core/user:anna/budget/cost/day",
    ]
    api("PATCH", "templates/gold", {"limits": []})
    api("DELETE", "teams/core/members/anna")
    rules = [applied.rule.id for applied in held(snapshot, key["key"]).rules]
    assert rules == [f"key:{key['id']}/limit/in_flight", "user:anna/budget/cost/month"]


def test_rules_that_no_key_carries_are_published_by_themselves(api: Api, snapshot: NoSnapshot) -> None:
    api.make("teams", id="core", limits=[{"requests": 10}])
    api.make("customers", id="c-1", blocked=True)
    made = api.make("budgets", **{"for": {"team": ["core"]}, "each": ["customer"], "usd": 1, "per": "day"})
    ids = [applied.rule.id for applied in snapshot.rules]
    assert ids == [
        "team:core/limit/requests/minute",
        "customer:c-1/blocked",
        f"{made['id']}:team=core|each=customer/budget/cost/day",
    ]
    assert api("DELETE", f"budgets/{made['id']}").status_code == 204
    assert len(snapshot.rules) == 2


def test_state_that_is_another_is_filled_anew_and_one_that_is_known_is_not(admin: Admin, api: Api) -> None:
    keys = [api.make("keys")["key"] for _ in range(3)]
    assert admin.start() is None
    emptied = NoSnapshot()
    emptied.identity = "another boot"
    emptied.put_holders({b"of nobody now..": None, b"0123456789abcdef": held(admin.snapshot, keys[0])})  # type: ignore[arg-type]
    admin.snapshot = emptied
    assert admin.start() == 3
    assert set(emptied.holders) == {digest(key.encode(), SECRET) for key in keys}
    assert admin.start() is None


def test_only_keys_with_a_role_may_come_in(api: Api, clock: Clock) -> None:
    assert api.as_(None)("GET", "keys").status_code == 401
    assert api.as_("sk-portico-of-nobody")("GET", "keys").status_code == 401
    assert api.as_(api.make("keys")["key"])("GET", "keys").status_code == 403
    assert api.as_("sk-portico-of-the-file-0001")("GET", "keys").status_code == 403
    assert api.as_(MASTER)("GET", "keys").status_code == 200
    ending = api.make("keys", role="owner", expires="2027-01-15T08:00:01Z")
    assert api.as_(ending["key"])("GET", "me").json()["role"] == "owner"
    clock.now += 2000
    assert api.as_(ending["key"])("GET", "me").status_code == 401


@pytest.mark.parametrize("field", ["org", "team", "user", "template"])
def test_a_key_of_somebody_who_does_not_exist_is_not_made(api: Api, field: str) -> None:
    reply = api("POST", "keys", {field: "nobody"})
    assert (reply.status_code, reply.json()["field"]) == (422, field)
