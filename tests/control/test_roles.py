"""Who may use what: every role on every route, nothing that is not said, and nobody beyond their own reach."""

import pytest

from control.conftest import Api, Grant
from portico.control.routes import ROUTES
from portico.store.entities.things import ROLES, Role

EXPECTED: dict[str, str] = {
    # one letter for each role that may: owner, admin, team admin, member, viewer, billing
    "create_organization": "oa", "list_organizations": "oavb", "read_organization": "oavb",
    "update_organization": "oa", "delete_organization": "oa", "read_organization_usage": "oavb",
    "create_team": "oa", "list_teams": "oatmvb", "read_team": "oatmvb", "update_team": "oa", "delete_team": "oa",
    "read_team_usage": "oatmvb",
    "add_member": "oat", "list_members": "oatmvb", "read_member": "oatmvb", "update_member": "oat",
    "remove_member": "oat",
    "create_user": "oa", "list_users": "oatmvb", "read_user": "oatmvb", "update_user": "oa", "delete_user": "oa",
    "read_user_usage": "oatmvb",
    "create_key": "oatm", "list_keys": "oatmvb", "read_key": "oatmvb", "update_key": "oatm", "delete_key": "oatm",
    "rotate_key": "oatm", "block_key": "oatm", "unblock_key": "oatm", "list_key_hashes": "oatmvb",
    "read_key_usage": "oatmvb",
    "create_customer": "oa", "list_customers": "oavb", "read_customer": "oavb", "update_customer": "oa",
    "delete_customer": "oa", "read_customer_usage": "oavb",
    "create_tag": "oa", "list_tags": "oavb", "read_tag": "oavb", "update_tag": "oa", "delete_tag": "oa",
    "read_tag_usage": "oavb",
    "create_template": "oa", "list_templates": "oavb", "read_template": "oavb", "update_template": "oa",
    "delete_template": "oa",
    "create_limit": "oa", "list_limits": "oavb", "read_limit": "oavb", "update_limit": "oa", "delete_limit": "oa",
    "create_budget": "oa", "list_budgets": "oavb", "read_budget": "oavb", "update_budget": "oa",
    "delete_budget": "oa",
    "create_credential": "oat", "list_credentials": "oat", "read_credential": "oat", "update_credential": "oat",
    "delete_credential": "oat", "renew_credential": "oat",
    "create_price": "oab", "list_prices": "oavb", "read_price": "oavb", "update_price": "oab", "delete_price": "oab",
    "create_correction": "oab",
    "list_corrections": "oavb",
    "list_records": "oatmvb", "read_record": "oatmvb", "explain_record": "oatmvb", "explain_call": "oatmvb",
    "list_jobs": "oatmvb",
    "read_spend": "oatmvb",
    "list_events": "oavb", "read_shadows": "oavb", "list_audit": "oa", "verify_audit": "oa", "read_me": "oatmvb",
}  # fmt: skip
LETTERS: dict[Role, str] = {
    "owner": "o", "admin": "a", "team_admin": "t", "member": "m", "viewer": "v", "billing": "b",
}  # fmt: skip


def test_the_table_is_what_was_meant_route_by_route() -> None:
    found = {route.name: "".join(LETTERS[role] for role in ROLES if role in route.allow) for route in ROUTES}
    assert found == {name: "".join(sorted(said, key="oatmvb".index)) for name, said in EXPECTED.items()}


def test_no_route_does_both_or_neither_and_only_changes_take_bodies() -> None:
    for route in ROUTES:
        assert (route.reads is None) != (route.changes is None), route.name
        asks = route.name == "explain_call"  # a question that needs a body, and changes nothing
        assert (route.method == "GET" or asks) == (route.reads is not None), route.name
        assert route.takes is None or route.changes is not None or asks, route.name
        assert route.path.startswith("/api/v1/"), route.name
        assert route.allow, route.name


@pytest.fixture
def people(api: Api, with_role: Grant) -> dict[str, Api]:
    """One key of each role, without a reach of its own but where the role asks for one."""
    api.make("teams", id="core")
    api.make("users", id="anna")
    own = {"team_admin": {"team": "core"}, "member": {"user": "anna", "team": "core"}}
    return {role: with_role(role, **own.get(role, {})) for role in ROLES}


def test_every_role_meets_every_route_as_the_table_says(api: Api, people: dict[str, Api]) -> None:
    for route in ROUTES:
        path = route.path.replace("{id}", "nothing").replace("{team}", "nothing").replace("{user}", "nothing")
        body = {} if route.takes is not None else None
        assert api.as_(None)(route.method, path, body).status_code == 401, route.name
        for role in ROLES:
            refused = people[role](route.method, path, body).status_code == 403
            if role not in route.allow:
                assert refused, f"{role} may {route.name}"
            elif role == "owner":
                assert not refused, f"{role} may not {route.name}"


@pytest.fixture
def houses(api: Api) -> None:
    """Two organizations with a team, a user and a key each."""
    for name in ("red", "blue"):
        api.make("organizations", id=name)
        api.make("teams", id=f"{name}-team", org=name)
        api.make("users", id=f"{name}-user", org=name)
        api.make(f"teams/{name}-team/members", user=f"{name}-user")
        api.make("keys", id=f"{name}-key", team=f"{name}-team", user=f"{name}-user")
    api.make("keys", id="loose-key")


REACHES: list[tuple[str, dict[str, str], dict[str, list[str]]]] = [
    (
        "admin",
        {"org": "red"},
        {"organizations": ["red"], "teams": ["red-team"], "users": ["red-user"], "customers": []},
    ),
    ("viewer", {"org": "red"}, {"organizations": ["red"], "teams": ["red-team"], "users": ["red-user"]}),
    ("team_admin", {"team": "red-team"}, {"teams": ["red-team"], "users": []}),
    ("member", {"team": "red-team", "user": "red-user"}, {"teams": ["red-team"], "users": ["red-user"]}),
]


@pytest.mark.parametrize(("role", "own", "sees"), REACHES, ids=lambda value: value if isinstance(value, str) else "")
def test_nobody_sees_beyond_their_reach(
    houses: None, with_role: Grant, role: str, own: dict[str, str], sees: dict[str, list[str]]
) -> None:
    mine = with_role(role, id="mine", **own)
    for plural, ids in sees.items():
        assert [one["id"] for one in mine("GET", plural).json()["items"]] == ids
    assert {"blue-key", "loose-key"}.isdisjoint(one["id"] for one in mine("GET", "keys").json()["items"])
    assert "red-key" in [one["id"] for one in mine("GET", "keys").json()["items"]]
    for path in ("keys/blue-key", "teams/blue-team", "users/blue-user", "teams/blue-team/members", "keys/loose-key"):
        assert mine("GET", path).status_code == 404, path
    assert mine("GET", "spend?of=team&value=blue-team").status_code == 403


CLIMBS: list[tuple[str, dict[str, str], str, str, dict[str, object]]] = [
    ("admin", {}, "POST", "keys", {"role": "owner"}),
    ("admin", {"org": "red"}, "POST", "keys", {"role": "admin", "org": "blue"}),
    ("admin", {"org": "red"}, "PATCH", "organizations/red", {"budgets": []}),
    ("admin", {"org": "red"}, "POST", "budgets", {"usd": 1}),
    ("admin", {"org": "red"}, "POST", "teams", {"id": "green", "org": "red", "queue": {"weight": 1000}}),
    ("admin", {"org": "red"}, "PATCH", "teams/red-team", {"queue": {"weight": 1000}}),
    ("admin", {"org": "red"}, "POST", "organizations", {"id": "green"}),
    ("team_admin", {"team": "red-team"}, "POST", "keys", {"role": "admin"}),
    ("team_admin", {"team": "red-team"}, "POST", "keys", {"team": "blue-team"}),
    ("team_admin", {"team": "red-team"}, "PATCH", "keys/red-key", {"team": "blue-team"}),
    ("team_admin", {"team": "red-team"}, "POST", "keys/red-admin/rotate", {}),
    ("team_admin", {"team": "red-team"}, "POST", "keys/red-admin/block", {}),
    ("team_admin", {"team": "red-team"}, "DELETE", "keys/red-admin", {}),
    ("team_admin", {"team": "red-team"}, "PATCH", "teams/red-team", {"budgets": []}),
    ("member", {"team": "red-team", "user": "red-user"}, "POST", "keys", {"role": "member"}),
    ("member", {"team": "red-team", "user": "red-user"}, "POST", "keys", {"user": "blue-user"}),
    ("member", {"team": "red-team", "user": "red-user"}, "POST", "keys", {"passthrough": ["*"]}),
    ("member", {"team": "red-team", "user": "red-user"}, "PATCH", "keys/red-key", {"allowance_usd": 100}),
    ("member", {"team": "red-team", "user": "red-user"}, "PATCH", "keys/red-key", {"limits": []}),
    ("member", {"team": "red-team", "user": "red-user"}, "PATCH", "keys/red-key", {"priority": "high"}),
    (
        "member",
        {"team": "red-team", "user": "red-user"},
        "POST",
        "/key/update",
        {"key": "red-key", "model_rpm_limit": {}},
    ),
    ("team_admin", {"team": "red-team"}, "POST", "/key/update", {"key": "red-key", "model_rpm_limit": {}}),
    ("admin", {"org": "red"}, "POST", "/team/update", {"team_id": "red-team", "model_rpm_limit": None}),
    ("viewer", {"team": "red-team"}, "POST", "/tag/info", {"names": ["name:eu"]}),
    ("viewer", {}, "DELETE", "keys/red-key", {}),
]


@pytest.mark.parametrize(
    ("role", "own", "method", "path", "body"), CLIMBS, ids=[f"{c[0]}-{c[2]}-{c[3]}-{i}" for i, c in enumerate(CLIMBS)]
)
def test_nobody_climbs(
    api: Api, houses: None, with_role: Grant, role: str, own: dict[str, str], method: str, path: str, body: object
) -> None:
    api.make("keys", id="red-admin", team="red-team", role="admin")
    api("PATCH", "keys/red-key", {"limits": [{"requests": 1}]})
    api("POST", "/key/update", {"key": "red-key", "model_rpm_limit": {"gpt-4o": 1}})
    api("POST", "/team/update", {"team_id": "red-team", "model_rpm_limit": {"gpt-4o": 1}})
    api("POST", "/tag/new", {"name": "name:eu"})
    rules = api("GET", "limits").json()["items"]
    reply = with_role(role, **own)(method, path, body)
    assert reply.status_code in (403, 422, 404), reply.text
    assert api("GET", "limits").json()["items"] == rules


def test_what_a_member_makes_is_its_own(houses: None, with_role: Grant) -> None:
    mine = with_role("member", team="red-team", user="red-user")
    made = mine.make("keys", name="mine")
    assert (made["team"], made["user"], made["org"]) == ("red-team", "red-user", "red")
    assert mine("POST", f"keys/{made['id']}/rotate", {}).status_code == 200
    assert mine("DELETE", f"keys/{made['id']}").status_code == 204


def test_a_membership_raises_what_a_member_may(api: Api, houses: None, with_role: Grant) -> None:
    mine = with_role("member", team="red-team", user="red-user")
    assert mine("GET", "me").json()["role"] == "member"
    api("PATCH", "teams/red-team/members/red-user", {"role": "team_admin"})
    assert mine("GET", "me").json()["role"] == "team_admin"
