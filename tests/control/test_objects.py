"""Objects in the admin API: pages, versions, requests that come again, and what the configuration declares."""

from typing import Any

import pytest

from control.conftest import Api, Clock, Grant
from portico.control.admin import Admin
from portico.control.routing import KEPT_MS, MOST_BODY


def test_pages_go_by_id_and_miss_nothing_that_stays(api: Api) -> None:
    made = [api.make("customers", id=f"c{number:02d}")["id"] for number in range(7)]
    seen: list[str] = []
    after = ""
    while True:
        page = api("GET", f"customers?limit=3&after={after}").json()
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
        if len(seen) == 3:
            api("DELETE", "customers/c01")
            api.make("customers", id="a-late-one")
    assert seen == ["big", *made]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "unknown=1", "limit=1&limit=2", "after=a%00b"])
def test_a_wrong_parameter_is_named(api: Api, query: str) -> None:
    reply = api("GET", f"customers?{query}")
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["field"] == query.partition("=")[0]


def test_a_wrong_field_is_named_by_its_path(api: Api) -> None:
    cases: list[tuple[str, Any, str]] = [
        ("teams", {"limits": [{"requests": 1}, {"requests": "x"}]}, "limits[1].requests"),
        ("teams", {"limits": [{"per": "hour"}]}, "limits[0]"),
        ("teams", {"budgets": [{"usd": 1, "zone": "Mars/Base"}]}, "budgets[0].zone"),
        ("teams", {"budgets": [{"usd": 1}, {"usd": 2}]}, "budgets[1]"),
        ("teams", {"member": {"limits": [{"requests": 1, "per": "soon"}]}}, "member.limits[0].per"),
        ("teams", {"id": "with space"}, "id"),
        ("teams", {"id": "with-an-end\n"}, "id"),
        ("keys", {"ips": ["10.0.0.0/8", "10.0.0.300"]}, "ips[1]"),
        ("keys", {"tags": ["plain"]}, "tags[0]"),
        ("keys", {"role": "team_admin"}, "team"),
        ("budgets", {"for": {"color": ["red"]}, "usd": 1}, "for"),
        ("prices", {"model": "no-slash", "since": "2026-01-01T00:00:00Z", "input": 1, "output": 1}, "model"),
        ("tags", {"id": "plain"}, "id"),
    ]
    for path, body, field in cases:
        reply = api("POST", path, body)
        assert reply.status_code == 422, (path, body, reply.text)
        assert (reply.json().get("field") or "").startswith(field), (reply.json(), field)


def test_a_change_over_a_version_that_is_gone_is_refused(api: Api) -> None:
    api.make("teams", id="core")
    seen = api("GET", "teams/core").headers["etag"]
    assert api("PATCH", "teams/core", {"name": "first"}, if_match=seen).status_code == 200
    lost = api("PATCH", "teams/core", {"name": "second"}, if_match=seen)
    assert (lost.status_code, lost.json()["code"]) == (412, "version_mismatch")
    assert api("DELETE", "teams/core", if_match=seen).status_code == 412
    assert api("PATCH", "teams/core", {"name": "third"}).json()["name"] == "third"
    assert api("PATCH", "teams/core", {"name": "fourth"}, if_match="nonsense").status_code == 400


def test_a_request_that_comes_again_is_done_once(api: Api, clock: Clock) -> None:
    first = api("POST", "keys", {"name": "one"}, idempotency_key="abc")
    again = api("POST", "keys", {"name": "one"}, idempotency_key="abc")
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert api("POST", "keys", {"name": "other"}, idempotency_key="abc").json()["code"] == "idempotency_key_reused"
    names = [one["name"] for one in api("GET", "keys").json()["items"]]
    assert names.count("one") == 1
    clock.now += KEPT_MS + 1
    assert api("POST", "keys", {"name": "one"}, idempotency_key="abc").json()["id"] != first.json()["id"]


def test_a_request_that_failed_may_come_again(api: Api) -> None:
    assert api("POST", "keys", {"team": "core"}, idempotency_key="abc").status_code == 422
    api.make("teams", id="core")
    assert api("POST", "keys", {"team": "core"}, idempotency_key="abc").status_code == 201


@pytest.mark.parametrize(
    ("path", "id_"),
    [("teams", "declared"), ("customers", "big"), ("keys", "of-the-file"), ("limits", "configuration.0")],
)
def test_what_the_configuration_declares_is_read_here_and_changed_there(api: Api, path: str, id_: str) -> None:
    found = api("GET", f"{path}/{id_}").json()
    assert found["source"] == "configuration"
    assert found in api("GET", path).json()["items"]
    for reply in (api("PATCH", f"{path}/{id_}", {}), api("DELETE", f"{path}/{id_}")):
        assert (reply.status_code, reply.json()["code"]) == (409, "declared_in_configuration")
    if path == "prices":
        body = {"model": "openai/known", "since": "2027-01-01T00:00:00Z", "input": 1, "output": 1}
        assert api("POST", path, body).json()["code"] == "declared_in_configuration"
    elif path != "limits":
        reply = api("POST", path, {"id": id_})
        assert (reply.status_code, reply.json()["code"]) == (409, "declared_in_configuration")
        assert "configuration" in reply.json()["detail"]


def test_what_others_refer_to_stays(api: Api) -> None:
    api.make("templates", id="gold", budgets=[{"usd": 1}])
    api.make("customers", id="c", template="gold")
    reply = api("DELETE", "templates/gold")
    assert (reply.status_code, reply.json()["code"]) == (409, "in_use")
    api("DELETE", "customers/c")
    assert api("DELETE", "templates/gold").status_code == 204


def test_bodies_are_bounded_and_are_json(api: Api) -> None:
    assert api("POST", "teams", {"metadata": {"a": "x" * MOST_BODY}}).status_code == 413
    for content, kind, status in (
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'{"name": "\\u0000"}', "application/json", 422),
        (b'{"name": "\\ud800"}', "application/json", 400),
    ):
        headers = {"authorization": f"Bearer {api.token}", "content-type": kind}
        reply = api.client.post("/api/v1/teams", content=content, headers=headers)
        assert reply.status_code == status, (content[:40], reply.text)


def test_a_method_that_is_not_taken_is_named_with_those_that_are(api: Api) -> None:
    reply = api("PUT", "teams/core")
    assert reply.status_code == 405
    assert reply.headers["allow"] == "DELETE, GET, HEAD, PATCH"


def test_every_change_is_in_the_audit_with_before_and_after(api: Api, with_role: Grant) -> None:
    api.make("teams", id="core")
    admin = with_role("admin", id="the-admin")
    admin("PATCH", "teams/core", {"name": "Core"})
    admin("DELETE", "teams/core")
    entries = api("GET", "audit?kind=team&object=core").json()["items"]
    assert [(one["actor"], one["action"]) for one in entries] == [
        ("the-admin", "delete"),
        ("the-admin", "update"),
        ("master", "create"),
    ]
    assert (entries[1]["before"]["name"], entries[1]["after"]["name"]) == ("", "Core")
    assert entries[0]["after"] is None
    assert api("GET", "audit/verify").json() == {"sound": True, "changes": 4, "broken_at": None, "why": None}


def test_usage_shows_the_rules_that_apply(api: Api, admin: Admin) -> None:
    api.make("teams", id="core", budgets=[{"usd": 10, "per": "day"}])
    key = api.make("keys", team="core", limits=[{"requests": 5}])
    api.make("budgets", **{"for": {"team": ["core"]}, "each": ["customer"], "usd": 1})
    items = api("GET", f"keys/{key['id']}/usage").json()["items"]
    shown = {one["row"] or "apart": (one["counts"], one["amount"], one["used"]) for one in items}
    assert shown == {
        f"key:{key['id']}": ("requests", 5, 0),
        "team:core": ("cost", 10_000_000_000, 0),
        "apart": ("cost", 1_000_000_000, None),
    }
    declared = api("GET", "keys/of-the-file/usage").json()["items"]
    assert {one["row"] for one in declared} == {"team:declared"}
