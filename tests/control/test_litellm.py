"""LiteLLM's management routes: what scripts send and read, over the same objects."""

import hashlib
from typing import Any

import pytest

from control.conftest import SECRET, Api, Clock, Grant
from portico.control.litellm.routes import ROUTES
from portico.control.publish import NoSnapshot
from portico.secret import digest
from portico.store.entities.things import ROLES


def held(snapshot: NoSnapshot, token: str) -> Any:
    return snapshot.holders.get(digest(token.encode(), SECRET))


def test_a_generated_key_has_what_was_asked_for(api: Api, snapshot: NoSnapshot) -> None:
    api("POST", "/team/new", {"team_id": "core", "max_budget": 100, "budget_duration": "30d"})
    asked = {"key_alias": "web", "team_id": "core", "user_id": "anna", "models": ["openai/*"], "duration": "1h"}
    asked |= {"max_budget": 5, "budget_duration": "1d", "rpm_limit": 60, "tpm_limit": 1000, "tags": ["prod"]}
    made = api("POST", "/key/generate", asked).json()
    assert made.get("key", "").startswith("sk-"), made
    assert (made["key_alias"], made["team_id"], made["user_id"], made["spend"]) == ("web", "core", "anna", 0.0)
    assert (made["max_budget"], made["budget_duration"], made["rpm_limit"], made["tpm_limit"]) == (5, "1d", 60, 1000)
    assert made["expires"] == "2027-01-15T09:00:00Z"
    holder = held(snapshot, made["key"])
    assert holder.tags == ("tag:prod",)
    assert {applied.rule.counts for applied in holder.rules} == {"cost", "requests", "tokens"}


def test_a_key_is_read_by_itself_or_by_its_id(api: Api) -> None:
    made = api("POST", "/key/generate", {"key_alias": "a"}).json()
    for name in (made["key"], made["token"]):
        reply = api("GET", f"/key/info?key={name}").json()
        assert reply["info"]["key_alias"] == "a"
        assert made["key"] not in str(reply["info"])


def test_a_key_is_changed_blocked_renewed_and_removed(api: Api, snapshot: NoSnapshot, clock: Clock) -> None:
    made = api("POST", "/key/generate", {}).json()
    assert api("POST", "/key/update", {"key": made["key"], "rpm_limit": 5}).json()["rpm_limit"] == 5
    assert api("POST", "/key/block", {"key": made["key"]}).json()["blocked"] is True
    assert held(snapshot, made["key"]).blocked
    api("POST", "/key/unblock", {"key": made["key"]})
    new = api("POST", f"/key/{made['token']}/regenerate", {"grace_period": "1h"}).json()
    assert held(snapshot, made["key"]).expires == clock.now / 1000 + 3600
    assert api("POST", "/key/delete", {"keys": [new["key"]]}).json() == {"deleted_keys": [new["key"]]}
    assert held(snapshot, new["key"]) is None
    assert api("GET", f"/key/info?key={made['token']}").status_code == 404


def test_a_key_that_is_nobodys_is_not_found_whoever_asks_and_anothers_is_not_shown(api: Api) -> None:
    mine, other = (api("POST", "/key/generate", {}).json() for _ in range(2))
    alone = api.as_(mine["key"])
    assert alone("GET", "/key/info?key=sk-nobody-has-this-key-0001").status_code == 404
    assert api("GET", "/key/info?key=sk-nobody-has-this-key-0001").status_code == 404
    for name in (other["key"], other["token"], "key_that_never_was"):
        assert alone("GET", f"/key/info?key={name}").status_code == 403


def test_a_key_of_ones_own_is_taken_and_one_that_can_be_guessed_is_not(api: Api, snapshot: NoSnapshot) -> None:
    own = "sk-" + hashlib.sha256(b"own").hexdigest()
    assert api("POST", "/key/generate", {"key": own}).json()["key"] == own
    assert held(snapshot, own) is not None
    assert api("POST", "/key/generate", {"key": own}).status_code == 409
    assert api("POST", "/key/generate", {"key": "sk-1234"}).status_code == 422


@pytest.mark.parametrize("field", ["allowed_routes", "model_max_budget", "enforced_params", "permissions"])
def test_what_would_hold_a_key_and_is_not_known_is_refused(api: Api, field: str) -> None:
    reply = api("POST", "/key/generate", {field: {"a": 1}})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == field
    assert reply.json()["error"]["code"] == "400"


ROUTES_SAID: dict[str, tuple[list[str], list[str]]] = {
    "llm_api_routes": (["llm_api_routes"], []),
    "paths": (["/chat/completions", "/v1/embeddings", "/v1/models"], ["chat", "embeddings", "models"]),
    "one twice": (["/chat/completions", "/v1/chat/completions"], ["chat"]),
    "as it is told": (["chat"], ["chat"]),
    "nothing": ([], []),
}


@pytest.mark.parametrize("case", ROUTES_SAID)
def test_the_routes_of_a_key_are_what_it_may_call(api: Api, snapshot: NoSnapshot, case: str) -> None:
    said, routes = ROUTES_SAID[case]
    made = api("POST", "/key/generate", {"allowed_routes": said}).json()
    assert made["allowed_routes"] == routes
    assert list(held(snapshot, made["key"]).routes) == routes
    changed = api("POST", "/key/update", {"key": made["key"], "allowed_routes": ["/v1/messages"]}).json()
    assert changed["allowed_routes"] == ["messages"]
    # What is said to be nothing is not said: no right is widened by it.
    unsaid = {"allowed_routes": None, "allowed_passthrough_routes": None, "key_type": None}
    assert api("POST", "/key/update", {"key": made["key"], **unsaid}).json()["allowed_routes"] == ["messages"]


OTHER_RIGHTS: list[dict[str, Any]] = [
    {"key_type": "read_only"},
    {"key_type": "management"},
    {"allowed_routes": ["management_routes"]},
    {"allowed_routes": ["info_routes"]},
    {"allowed_routes": ["llm_api_routes", "management_routes"]},
    {"allowed_routes": ["/key/generate"]},
    {"allowed_routes": ["/v1/*"]},
]


@pytest.mark.parametrize("said", OTHER_RIGHTS, ids=str)
def test_a_key_that_may_do_something_else_is_not_made_as_one_that_calls_models(api: Api, said: dict[str, Any]) -> None:
    for path in ("/key/generate", "/user/new"):
        reply = api("POST", path, said)
        assert reply.status_code == 400, path
        assert reply.json()["error"]["param"] == next(iter(said))
    assert api("POST", "/key/generate", {"key_type": "llm_api"}).status_code == 200


def test_a_key_passes_through_to_the_providers_that_its_routes_name(api: Api, snapshot: NoSnapshot) -> None:
    made = api("POST", "/key/generate", {"allowed_passthrough_routes": ["/anthropic", "/gemini/*"]}).json()
    assert made["allowed_passthrough_routes"] == ["/anthropic", "/gemini"]
    assert held(snapshot, made["key"]).passthrough == ("anthropic", "gemini")
    wrong: list[Any] = ["/", "/*", "/anthropic/v1/messages", 1]
    for bad in wrong:
        assert api("POST", "/key/generate", {"allowed_passthrough_routes": [bad]}).status_code == 400


def test_bounds_for_one_model_are_rules_of_their_own_that_go_with_their_holder(api: Api, snapshot: NoSnapshot) -> None:
    def rules() -> set[tuple[Any, ...]]:
        return {
            (*sorted((name, *values) for name, values in one.to.items()), one.rule.counts, one.rule.amount)
            for one in snapshot.rules
        }

    said: dict[str, Any] = {
        "model_max_budget": {"gpt-4o": {"budget_limit": 0.5, "time_period": "1d"}, "o1": {"budget_limit": 2}},
        "model_rpm_limit": {"gpt-4o": 3},
        "model_tpm_limit": {"gpt-4o": 100},
    }
    before = rules()
    key = api("POST", "/key/generate", said).json()
    told = api("GET", f"/key/info?key={key['token']}").json()["info"]
    assert {name: told[name] for name in said} == {
        **said,
        "model_max_budget": {**said["model_max_budget"], "o1": {"budget_limit": 2, "time_period": None}},
    }
    of_key = ("key", key["token"])
    assert rules() - before == {
        (of_key, ("model", "gpt-4o"), "cost", 500_000_000),
        (of_key, ("model", "o1"), "cost", 2_000_000_000),
        (of_key, ("model", "gpt-4o"), "requests", 3),
        (of_key, ("model", "gpt-4o"), "tokens", 100),
    }
    # What is said anew takes the place of all that was said by that name; the rest stays.
    changed = api("POST", "/key/update", {"key": key["key"], "model_rpm_limit": {"o1": 9}}).json()
    assert changed["model_rpm_limit"] == {"o1": 9}
    assert changed["model_tpm_limit"] == {"gpt-4o": 100}
    api("POST", "/team/new", {"team_id": "core", "model_rpm_limit": {"gpt-4o": 7}})
    assert (("model", "gpt-4o"), ("team", "core"), "requests", 7) in rules()
    assert api("GET", "/team/info?team_id=core").json()["team_info"]["model_rpm_limit"] == {"gpt-4o": 7}
    inner = api("POST", "/key/generate", {"team_id": "core", "model_rpm_limit": {"gpt-4o": 1}}).json()
    api("POST", "/user/new", {"user_id": "anna", "model_rpm_limit": {"gpt-4o": 2}})
    assert api("GET", "/user/info?user_id=anna").json()["user_info"]["model_rpm_limit"] == {"gpt-4o": 2}
    assert (("key", inner["token"]), ("model", "gpt-4o"), "requests", 1) in rules()
    api("POST", "/team/delete", {"team_ids": ["core"]})
    api("POST", "/user/delete", {"user_ids": ["anna"]})
    api("POST", "/key/delete", {"keys": [key["key"]]})
    assert rules() == before


BAD_FOR_MODELS: list[dict[str, Any]] = [
    {"model_max_budget": {"gpt-4o": 1}},
    {"model_max_budget": {"gpt-4o": {"budget_limit": 1, "rpm_limit": 1}}},
    {"model_max_budget": {"gpt-4o": {"budget_limit": "much"}}},
    {"model_max_budget": {"gpt-4o": {"budget_limit": 1, "time_period": 5}}},
    {"model_rpm_limit": {"gpt-4o": -1}},
    {"model_rpm_limit": [1]},
    {"model_tpm_limit": {f"model-{n}": 1 for n in range(101)}},
]


@pytest.mark.parametrize("said", BAD_FOR_MODELS, ids=lambda said: str(said)[:60])
def test_bounds_for_models_that_cannot_be_are_refused_and_no_key_is_made(api: Api, said: dict[str, Any]) -> None:
    before = api("GET", "/key/list").json()["total_count"]
    assert api("POST", "/key/generate", {**said, "key_alias": "none"}).status_code == 400
    assert api("GET", "/key/list").json()["total_count"] == before


def test_budgets_of_several_windows_hold_at_once(api: Api) -> None:
    windows: list[dict[str, Any]] = [
        {"budget_duration": "1d", "max_budget": 1.0},
        {"budget_duration": "1mo", "max_budget": 20.0},
    ]
    key = api("POST", "/key/generate", {"budget_limits": windows}).json()
    assert key["budget_limits"] == windows
    stored = api("GET", f"keys/{key['token']}").json()["budgets"]
    assert [(one["usd"], one["per"], one["mode"]) for one in stored] == [(1, "1d", "hard"), (20, "month", "hard")]
    # A change of one leaves the others.
    changed = api("POST", "/key/update", {"key": key["key"], "max_budget": 2}).json()
    assert [one["max_budget"] for one in changed["budget_limits"]] == [2, 20]
    again = api("POST", "/key/update", {"key": key["key"], "budget_limits": windows[:1]}).json()
    assert (again["max_budget"], again["budget_duration"], again["budget_limits"]) == (1, "1d", None)
    team = api("POST", "/team/new", {"max_budget": 50, "budget_limits": windows}).json()
    assert [one["max_budget"] for one in team["budget_limits"]] == [50, 1, 20]
    wrong: list[Any] = [{"max_budget": 1}, {"budget_duration": "1d"}, "1d", {"max_budget": -1, "budget_duration": "1d"}]
    for bad in wrong:
        assert api("POST", "/key/generate", {"budget_limits": [bad]}).status_code == 400
    assert api("POST", "/key/generate", {"budget_limits": 5}).status_code == 400


def test_many_keys_are_changed_each_for_itself(api: Api) -> None:
    keys = [api("POST", "/key/generate", {"max_budget": 5}).json()["key"] for _ in range(2)]
    wanted: list[dict[str, Any]] = [
        {"key": keys[0], "max_budget": 42},
        {"key": "sk-nobody-has-this-key-0001"},
        {"max_budget": 1},
        {"key": keys[1], "max_budget": -1},
        {"key": keys[1], "nonsense": 1},
    ]
    reply = api("POST", "/key/bulk_update", {"keys": wanted}).json()
    assert reply["total_requested"] == 5
    assert [(one["key"], one["key_info"]["max_budget"]) for one in reply["successful_updates"]] == [(keys[0], 42)]
    assert len(reply["failed_updates"]) == 4
    assert [api("GET", f"/key/info?key={key}").json()["info"]["max_budget"] for key in keys] == [42, 5]
    nothing: list[Any] = [[], ["a"], {}, None]
    for bad in nothing:
        assert api("POST", "/key/bulk_update", {"keys": bad}).status_code == 400


def test_tags_are_made_with_their_budget_and_told(api: Api, snapshot: NoSnapshot) -> None:
    said = {"name": "prod", "description": "what pays", "max_budget": 3, "budget_duration": "30d"}
    made = api("POST", "/tag/new", said).json()["tag"]
    assert (made["name"], made["litellm_budget_table"]["max_budget"]) == ("prod", 3)
    assert {"tag": ("tag:prod",)} in [one.to for one in snapshot.rules]
    assert api("POST", "/tag/new", said).status_code == 409
    assert api("POST", "/tag/new", {"name": "eu", "models": ["gpt-4o"]}).status_code == 400
    api("POST", "/tag/update", {"name": "prod", "max_budget": 4})
    info = api("POST", "/tag/info", {"names": ["prod"]}).json()
    assert info["prod"]["litellm_budget_table"]["max_budget"] == 4
    assert [one["name"] for one in api("GET", "/tag/list").json()] == ["prod"]
    assert api("POST", "/tag/info", {"names": ["prod", "other"]}).status_code == 404
    api("POST", "/tag/delete", {"name": "prod"})
    assert api("GET", "/tag/list").json() == []


def test_a_member_of_an_organization_or_a_team_is_changed_and_told_in_full(api: Api) -> None:
    org = api("POST", "/organization/new", {"organization_alias": "o"}).json()["organization_id"]
    member = {"organization_id": org, "member": {"user_id": "anna", "role": "internal_user"}}
    api("POST", "/organization/member_add", member)
    said: dict[str, Any] = {"organization_id": org, "user_id": "anna"}
    assert api("PATCH", "/organization/member_update", {**said, "role": "internal_user"}).json()["user_id"] == "anna"
    bad: list[dict[str, Any]] = [{"role": "org_admin"}, {"max_budget_in_organization": 1}, {"user_id": "bob"}]
    for one in bad:
        assert api("PATCH", "/organization/member_update", {**said, **one}).status_code in (400, 404)
    team = api("POST", "/team/new", {"organization_id": org}).json()["team_id"]
    api("POST", "/team/member_add", {"team_id": team, "member": {"role": "user", "user_id": "anna"}})
    changed = {"team_id": team, "user_id": "anna", "max_budget_in_team": 1, "budget_duration": "1d"}
    api("POST", "/team/member_update", changed)
    (membership,) = api("GET", f"/team/info?team_id={team}").json()["team_memberships"]
    assert membership["litellm_budget_table"]["budget_reset_at"].endswith("T00:00:00Z")


def test_teams_have_members_and_go_with_their_keys(api: Api, snapshot: NoSnapshot) -> None:
    team = {"team_id": "core", "team_alias": "Core", "members_with_roles": [{"role": "admin", "user_id": "anna"}]}
    api("POST", "/team/new", team)
    added = api("POST", "/team/member_add", {"team_id": "core", "member": {"role": "user", "user_id": "bob"}}).json()
    assert [(one["user_id"], one["role"]) for one in added["members_with_roles"]] == [
        ("anna", "admin"),
        ("bob", "user"),
    ]
    key = api("POST", "/key/generate", {"team_id": "core"}).json()
    api("POST", "/team/block", {"team_id": "core"})
    assert held(snapshot, key["key"]).blocked
    info = api("GET", "/team/info?team_id=core").json()
    assert (info["team_info"]["team_alias"], info["team_info"]["blocked"]) == ("Core", True)
    assert [one["token"] for one in info["keys"]] == [key["token"]]
    assert "core" in [one["team_id"] for one in api("GET", "/team/list").json()]
    assert api("POST", "/team/delete", {"team_ids": ["core"]}).json() == {"deleted_teams": ["core"]}
    assert held(snapshot, key["key"]) is None


def test_users_customers_and_budgets(api: Api, snapshot: NoSnapshot) -> None:
    user = api("POST", "/user/new", {"user_id": "anna", "user_email": "a@b.example", "max_budget": 3}).json()
    assert user["key"].startswith("sk-")
    assert api("GET", "/user/info?user_id=anna").json()["user_info"]["max_budget"] == 3
    assert api("GET", "/user/list").json()["total"] == 1
    api("POST", "/budget/new", {"budget_id": "gold", "max_budget": 10, "budget_duration": "1mo", "rpm_limit": 5})
    assert api("POST", "/budget/info", {"budgets": ["gold"]}).json()[0]["budget_duration"] == "1mo"
    made = api("POST", "/customer/new", {"user_id": "c1", "budget_id": "gold"}).json()
    assert made["litellm_budget_table"]["budget_id"] == "gold"
    assert api("GET", "/end_user/info?end_user_id=c1").json()["blocked"] is False
    api("POST", "/customer/block", {"user_ids": ["c1", "c2"]})
    assert {"customer:c1/blocked", "customer:c2/blocked"} <= {applied.rule.id for applied in snapshot.rules}
    assert api("POST", "/budget/delete", {"id": "gold"}).status_code == 409
    assert api("POST", "/user/delete", {"user_ids": ["anna"]}).json() == 1
    assert held(snapshot, user["key"]) is None


def test_what_happened_is_told_in_its_shapes(api: Api) -> None:
    assert api("GET", "/spend/logs").json() == []
    assert api("GET", "/global/spend").json() == {"spend": 0.0, "max_budget": None}
    assert [one["model_name"] for one in api("GET", "/model/info").json()["data"]] == ["openai/*"]
    assert api.as_(None)("GET", "/health/liveliness").json() == "I'm alive!"
    assert api.as_(None)("GET", "/health/readiness").json()["status"] == "healthy"


def test_a_key_without_a_role_meets_every_route_as_the_table_says(api: Api) -> None:
    own = {"/key/info", "/key/health", "/team/info", "/user/info", "/health"}
    own |= {"/model/info", "/v1/model/info", "/model_group/info"}
    assert {route.path for route in ROUTES if route.alone} == own
    declared = api.as_("sk-portico-of-the-file-0001")
    stored = api.as_(api("POST", "/key/generate", {"team_id": "declared", "user_id": "anna"}).json()["key"])
    for route in ROUTES:
        asked: Any = {"team_id": "declared"} if route.method == "POST" else None
        path = route.path.replace("{key}", "nothing") + ("?team_id=declared" if route.path == "/team/info" else "")
        for who in (declared, stored):
            status = who(route.method, path, asked).status_code
            if not route.alone:
                assert status == 403, path
            elif path != "/user/info" or who is stored:
                assert status == 200, path
    for path in ("keys", "me", "teams/declared", "records"):
        assert stored("GET", path).status_code == 403


def test_no_role_gets_in_where_the_table_does_not_say_so(api: Api, with_role: Grant) -> None:
    api.make("teams", id="core")
    api.make("users", id="anna")
    own = {"team_admin": {"team": "core"}, "member": {"user": "anna", "team": "core"}}
    people = {role: with_role(role, **own.get(role, {})) for role in ROLES}
    for route in ROUTES:
        path = route.path.replace("{key}", "nothing")
        body = {} if route.method == "POST" else None
        assert api.as_(None)(route.method, path, body).status_code == 401, path
        for role in ROLES:
            if role not in route.allow:
                assert people[role](route.method, path, body).status_code == 403, f"{role} {path}"


ODD: list[Any] = [
    [],
    1,
    "x",
    {"keys": "x"},
    {"key": 5},
    {"key": None},
    {"models": [1]},
    {"max_budget": "much"},
    {"user_ids": [{}]},
    {"team_id": "\0"},
    {"duration": "soon"},
    {"duration": "99999999999mo"},
    {"metadata": 1},
    {"member": [{}]},
    {"member": 5, "team_id": "declared"},
    {"members_with_roles": [7]},
    {"tags": [1]},
]


@pytest.mark.parametrize("body", ODD, ids=str)
def test_no_odd_request_is_our_fault(api: Api, body: Any) -> None:
    for route in ROUTES:
        if route.method == "POST":
            status = api("POST", route.path.replace("{key}", "nothing"), body).status_code
            assert status < 500, route.path
