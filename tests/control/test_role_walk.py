"""The tables of who may use what have no hole: all that control answers is in one of them, and asks for a key."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route

from control.conftest import Api, Grant
from control.test_roles import LETTERS
from portico.control.admin import Admin
from portico.control.app import ROUTES as OPEN
from portico.control.app import make_app
from portico.control.litellm.routes import ROUTES as SCRIPTED
from portico.control.routes import ROUTES
from portico.control.serving import DOCUMENT
from portico.store.entities.things import ROLES

OPENLY = {"/api/v1/health", "/api/v1/version", "/health/liveliness", "/health/liveness", "/health/readiness"}
"""What a stranger may ask: whether it lives, and which Portico it is."""
FOR_ALL = {DOCUMENT}
"""What everybody with a role may read: the description of the API."""

EXPECTED: dict[str, str] = {
    # one letter for each role that may: owner, admin, team admin, member, viewer, billing; `k` for a key without a role
    "POST /key/generate": "oatm", "POST /key/update": "oatm", "POST /key/delete": "oatm",
    "POST /key/bulk_update": "oatm",
    "GET /key/info": "oatmvbk", "GET /key/list": "oatmvb", "POST /key/health": "oatmvbk",
    "POST /key/block": "oatm", "POST /key/unblock": "oatm",
    "POST /key/regenerate": "oatm", "POST /key/{key}/regenerate": "oatm",
    "POST /team/new": "oa", "POST /team/update": "oa", "POST /team/delete": "oa",
    "GET /team/info": "oatmvbk", "GET /team/list": "oatmvb",
    "POST /team/block": "oa", "POST /team/unblock": "oa",
    "POST /team/member_add": "oat", "POST /team/member_update": "oat", "POST /team/member_delete": "oat",
    "POST /team/model/add": "oa", "POST /team/model/delete": "oa",
    "POST /organization/new": "oa", "PATCH /organization/update": "oa", "DELETE /organization/delete": "oa",
    "GET /organization/info": "oavb", "GET /organization/list": "oavb",
    "POST /organization/member_add": "oa", "DELETE /organization/member_delete": "oa",
    "PATCH /organization/member_update": "oa",
    "POST /tag/new": "oa", "POST /tag/update": "oa", "POST /tag/delete": "oa",
    "POST /tag/info": "oavb", "GET /tag/list": "oavb",
    "POST /user/new": "oa", "POST /user/update": "oa", "POST /user/delete": "oa",
    "GET /user/info": "oatmvbk", "GET /user/list": "oatmvb",
    **{
        f"{method} /{word}/{what}": who
        for word in ("customer", "end_user")
        for method, what, who in (
            ("POST", "new", "oa"), ("POST", "update", "oa"), ("POST", "delete", "oa"), ("POST", "block", "oa"),
            ("POST", "unblock", "oa"), ("GET", "info", "oavb"), ("GET", "list", "oavb"),
        )
    },
    "POST /budget/new": "oa", "POST /budget/update": "oa", "POST /budget/delete": "oa",
    "POST /budget/info": "oavb", "GET /budget/list": "oavb",
    "GET /spend/logs": "oatmvb", "GET /global/spend": "oatmvb",
    "GET /spend/tags": "oatmvb", "GET /spend/keys": "oatmvb", "GET /spend/users": "oatmvb",
    "POST /spend/calculate": "oatmvb", "GET /global/spend/report": "oatmvb", "GET /global/spend/tags": "oatmvb",
    **{f"GET /global/spend/{what}": "oavb" for what in ("keys", "teams", "models", "provider", "logs")},
    "GET /global/spend/all_tag_names": "oavb",
    "GET /global/activity": "oavb", "GET /global/activity/model": "oavb",
    "GET /user/daily/activity": "oatmvb", "GET /team/daily/activity": "oatmvb", "GET /tag/daily/activity": "oatmvb",
    "GET /model/info": "oatmvbk", "GET /v1/model/info": "oatmvbk", "GET /health": "oatmvbk",
    "GET /model_group/info": "oatmvbk",
}  # fmt: skip


def served(admin: Admin) -> Iterator[Route]:
    """Yield everything that control answers."""
    for route in make_app(admin).routes:
        assert isinstance(route, Route), f"{route!r} is no plain route, and in no table"
        yield route


def test_all_that_control_answers_is_in_a_table(admin: Admin) -> None:
    tables = {route.path for route in (*ROUTES, *SCRIPTED)}
    found = [route.path for route in served(admin)]
    assert set(found) == tables | OPENLY | FOR_ALL
    methods = {(method, route.path) for route in served(admin) for method in route.methods or ()}
    scripted = {(route.method, route.path) for route in SCRIPTED}
    others = {(method, path) for method, path in methods if path in {route.path for route in SCRIPTED}}
    assert {pair for pair in others if pair[0] != "HEAD"} == scripted
    assert {route.path for route in OPEN if isinstance(route, Route)} <= OPENLY


def test_the_page_on_security_names_what_a_stranger_may_ask() -> None:
    page = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    assert set(re.findall(r"`(/[a-z0-9/]+)`", page)) == OPENLY | {"/livez", "/readyz"}


def test_the_table_of_scripts_is_what_was_meant_route_by_route() -> None:
    found = {
        f"{route.method} {route.path}": "".join(LETTERS[role] for role in ROLES if role in route.allow)
        + ("k" if route.alone else "")
        for route in SCRIPTED
    }
    assert found == {name: "".join(sorted(who, key="oatmvbk".index)) for name, who in EXPECTED.items()}


SPELLINGS = ("{}", "{}/", "/{}", "{}?key=nothing", "{};x", "/.{}", "{}%2f", "{}%00", "/api/v1/..{}")


def test_without_a_key_nothing_is_answered_however_it_is_asked(api: Api, admin: Admin) -> None:
    stranger = api.as_(None)
    for route in served(admin):
        if route.path in OPENLY:
            continue
        path = route.path.replace("{", "").replace("}", "")
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            for spelling in SPELLINGS:
                reply = stranger(method, spelling.format(path))
                assert reply.status_code in (401, 404, 405), f"{method} {spelling.format(path)}: {reply.status_code}"
        encoded = path[:1] + "".join(f"%{ord(letter):02x}" for letter in path[1:])
        assert stranger(sorted(route.methods or ["GET"])[0], encoded).status_code in (401, 404, 405)
    for header in ("x-forwarded-for", "x-real-ip", "forwarded"):
        assert stranger("GET", "keys", **{header: "127.0.0.1"}).status_code == 401


def test_what_a_stranger_is_told_says_nothing_of_the_installation(api: Api) -> None:
    told = "".join(api.as_(None)("GET", path).text for path in sorted(OPENLY))
    assert "declared" not in told
    assert "sqlite" not in told


@pytest.fixture
def houses(api: Api) -> None:
    """Two organizations with a team, a user and a key each."""
    for name in ("red", "blue"):
        api.make("organizations", id=name)
        api.make("teams", id=f"{name}-team", org=name)
        api.make("users", id=f"{name}-user", org=name, email=f"{name}@example.com")
        api.make(f"teams/{name}-team/members", user=f"{name}-user")
        api.make("keys", id=f"{name}-key", name="web", team=f"{name}-team", user=f"{name}-user")


BEYOND: list[tuple[str, str, dict[str, object] | None]] = [
    ("GET", "/key/info?key=blue-key", None),
    ("GET", "/team/info?team_id=blue-team", None),
    ("GET", "/user/info?user_id=blue-user", None),
    ("POST", "/key/update", {"key": "blue-key", "rpm_limit": 1}),
    ("POST", "/key/block", {"key": "blue-key"}),
    ("POST", "/key/unblock", {"key": "blue-key"}),
    ("POST", "/key/regenerate", {"key": "blue-key"}),
    ("POST", "/key/blue-key/regenerate", {}),
    ("POST", "/key/delete", {"keys": ["blue-key"]}),
    ("POST", "/key/generate", {"team_id": "blue-team"}),
    ("POST", "/key/generate", {"user_id": "blue-user", "team_id": "red-team"}),
    ("POST", "/key/update", {"key": "red-key", "team_id": "blue-team"}),
    ("POST", "/team/member_add", {"team_id": "blue-team", "member": {"user_id": "red-user", "role": "admin"}}),
    ("POST", "/team/member_update", {"team_id": "blue-team", "user_id": "blue-user", "role": "admin"}),
    ("POST", "/team/member_delete", {"team_id": "blue-team", "user_id": "blue-user"}),
    ("POST", "/team/update", {"team_id": "blue-team", "team_alias": "mine"}),
    ("POST", "/team/block", {"team_id": "blue-team"}),
    ("POST", "/team/delete", {"team_ids": ["blue-team"]}),
    ("POST", "/team/model/add", {"team_id": "blue-team", "models": ["x"]}),
    ("POST", "/user/update", {"user_id": "blue-user", "models": []}),
    ("POST", "/user/delete", {"user_ids": ["blue-user"]}),
    ("GET", "/spend/logs?api_key=blue-key", None),
]
REACHES: list[tuple[str, dict[str, str]]] = [
    ("admin", {"org": "red"}),
    ("team_admin", {"team": "red-team"}),
    ("member", {"team": "red-team", "user": "red-user"}),
    ("viewer", {"org": "red"}),
    ("billing", {"org": "red"}),
]


@pytest.mark.parametrize(("role", "own"), REACHES, ids=[role for role, _ in REACHES])
def test_no_script_reaches_beyond_its_key(
    api: Api, houses: None, with_role: Grant, role: str, own: dict[str, str]
) -> None:
    mine = with_role(role, **own)
    before = [api("GET", path).json() for path in ("keys/blue-key", "teams/blue-team", "users/blue-user")]
    for method, path, body in BEYOND:
        reply = mine(method, path, body)
        assert reply.status_code in (403, 404, 422), f"{method} {path} {body}: {reply.status_code} {reply.text}"
    assert mine("POST", "/key/delete", {"key_aliases": ["web"]}).status_code in (200, 403, 404)
    assert [api("GET", path).json() for path in ("keys/blue-key", "teams/blue-team", "users/blue-user")] == before
    for path in ("/key/list?return_full_object=true", "/team/list", "/user/list", "/spend/logs", "/health"):
        assert "blue" not in mine("GET", path).text, path


def test_a_key_without_a_role_sees_itself_alone(api: Api, houses: None) -> None:
    made = api.make("keys", id="lone", team="red-team")
    mine = api.as_(made["key"])
    info = mine("GET", "/team/info?team_id=red-team").json()
    assert [key["token"] for key in info["keys"]] == ["lone"]
    assert info["team_info"]["members_with_roles"] == info["team_memberships"] == []
    for path in ("/key/info?key=red-key", "/team/info?team_id=blue-team", "/user/info?user_id=red-user", "/user/info"):
        assert mine("GET", path).status_code == 403, path
