"""What scripts written for LiteLLM do: the flows of its documentation and of its own tests, in our words."""

from datetime import UTC, datetime
from typing import Any

import pytest

from control.conftest import NOW, Api
from portico.control.admin import Admin
from portico.record import Record
from portico.types import Usage
from store.filled import fill, piece

TODAY = datetime.fromtimestamp(NOW / 1000, UTC).strftime("%Y-%m-%d")


def ok(reply: Any) -> Any:
    """Return what a reply says that must be good."""
    assert reply.status_code == 200, reply.text
    return reply.json()


def generated(api: Api, **said: Any) -> Any:
    """Make a key as scripts do: with every field that they know, mostly empty."""
    empty = {"duration": None, "max_budget": None, "budget_duration": None, "metadata": {}, "tags": None}
    asked = {"models": ["azure-models", "gpt-4"], "aliases": {"mistral-7b": "gpt-3.5-turbo"}, **empty, **said}
    return ok(api("POST", "/key/generate", asked))


def test_a_key_reads_itself_and_no_other_key(api: Api) -> None:
    mine, other = generated(api), generated(api)
    as_mine = api.as_(mine["key"])
    assert ok(as_mine("GET", f"/key/info?key={mine['key']}"))["info"]["models"] == ["azure-models", "gpt-4"]
    assert ok(as_mine("GET", "/key/info"))["key"] == mine["token"]
    for name in (other["key"], other["token"], "key_that_never_was"):
        assert as_mine("GET", f"/key/info?key={name}").status_code == 403
    assert as_mine("GET", "/key/info?key=sk-no-such-key-was-ever-made-here").status_code == 404
    assert ok(api.as_("sk-portico-of-the-file-0001")("GET", "/key/info"))["info"]["team_id"] == "declared"
    assert ok(as_mine("POST", "/key/health"))["key"] == "healthy"


def test_an_update_changes_what_it_names_and_nothing_else(api: Api) -> None:
    made = generated(api, max_budget=10, budget_duration="30d", rpm_limit=5, tpm_limit=100, soft_budget=8)
    token = made["token"]
    api("PATCH", f"keys/{token}", {"routes": ["chat"]})
    after = ok(api("POST", "/key/update", {"key": made["key"], "rpm_limit": 7}))
    assert (after["max_budget"], after["soft_budget"], after["budget_duration"]) == (10, 8, "30d")
    assert (after["rpm_limit"], after["tpm_limit"]) == (7, 100)
    after = ok(api("POST", "/key/update", {"key": token, "max_budget": 20, "models": ["gpt-4"]}))
    assert (after["max_budget"], after["budget_duration"], after["soft_budget"]) == (20, "30d", 8)
    assert (after["rpm_limit"], after["models"]) == (7, ["gpt-4"])
    after = ok(api("POST", "/key/update", {"key": token, "budget_duration": "1d"}))
    assert (after["max_budget"], after["soft_budget"], after["budget_duration"]) == (20, 8, "1d")
    after = ok(api("POST", "/key/update", {"key": token, "max_budget": None, "tpm_limit": None}))
    assert (after["max_budget"], after["soft_budget"], after["tpm_limit"], after["rpm_limit"]) == (None, 8, None, 7)
    assert ok(api("GET", f"keys/{token}"))["routes"] == ["chat"]


def test_what_it_has_no_word_for_survives_its_updates(api: Api) -> None:
    made = api.make(
        "keys",
        limits=[{"requests": 3, "tokens": 50}, {"output_tokens": 10, "per": "hour"}],
        budgets=[{"usd": 5, "tokens": 1000, "per": "day", "zone": "Europe/Berlin"}],
    )
    ok(api("POST", "/key/update", {"key": made["id"], "rpm_limit": 4, "max_budget": 6}))
    after = api("GET", f"keys/{made['id']}").json()
    said = [{name: value for name, value in limit.items() if value} for limit in after["limits"]]
    assert said == [
        {"tokens": 50, "per": "minute", "mode": "hard"},
        {"output_tokens": 10, "per": "hour", "mode": "hard"},
        {"requests": 4, "per": "minute", "mode": "hard"},
    ]
    assert [(one["usd"], one["tokens"], one["per"], one["zone"]) for one in after["budgets"]] == [
        (None, 1000, "day", "Europe/Berlin"),
        (6, None, "day", "Europe/Berlin"),
    ]


def test_models_that_stand_for_all_are_all(api: Api) -> None:
    for name in ("all-team-models", "all-proxy-models"):
        assert generated(api, models=[name])["models"] == []
    assert generated(api, models=["no-default-models"])["models"] == ["no-default-models"]


def test_a_window_says_when_it_begins_anew(api: Api) -> None:
    made = generated(api, max_budget=10, budget_duration="1d")
    assert ok(api("GET", f"/key/info?key={made['key']}"))["info"]["budget_reset_at"] == "2027-01-16T00:00:00Z"
    assert generated(api, max_budget=10)["budget_reset_at"] is None


def test_a_user_is_made_with_a_key_that_has_what_was_said_of_it(api: Api) -> None:
    team = ok(api("POST", "/team/new", {"team_alias": "my-new-team"}))
    asked = {"models": ["azure-models"], "aliases": {"mistral-7b": "gpt-3.5-turbo"}, "duration": "1h", "max_budget": 10}
    asked |= {"budget_duration": "5s", "user_email": "krrish@example.com", "team_id": team["team_id"]}
    made = ok(api("POST", "/user/new", asked))
    assert made["user_id"]
    assert (made["aliases"], made["team_id"]) == ({"mistral-7b": "gpt-3.5-turbo"}, team["team_id"])
    mine = api.as_(made["key"])
    info = ok(mine("GET", f"/user/info?user_id={made['user_id']}"))
    assert (info["user_info"]["user_email"], info["user_info"]["max_budget"]) == ("krrish@example.com", 10)
    assert [one["team_id"] for one in info["teams"]] == [team["team_id"]]
    assert ok(mine("GET", "/user/info"))["user_id"] == made["user_id"]
    assert ok(mine("GET", f"/team/info?team_id={team['team_id']}"))["team_info"]["team_alias"] == "my-new-team"
    other = ok(api("POST", "/user/new", {"user_id": "somebody"}))
    for path in (f"/user/info?user_id={made['user_id']}", f"/team/info?team_id={team['team_id']}"):
        assert api.as_(other["key"])("GET", path).status_code == 403
    assert "key" not in ok(api("POST", "/user/new", {"user_id": "no-key", "auto_create_key": False}))


def test_members_come_change_and_go_by_id_and_by_address(api: Api) -> None:
    ok(api("POST", "/user/new", {"user_id": "anna", "user_email": "anna@example.com", "auto_create_key": False}))
    asked = {"team_alias": "t", "members_with_roles": [{"role": "admin", "user_id": "boss"}], "max_budget": 100}
    team = ok(api("POST", "/team/new", asked))["team_id"]
    many = [{"role": "user", "user_id": f"u{number}@example.com"} for number in range(10)]
    ok(api("POST", "/team/member_add", {"team_id": team, "member": many, "max_budget_in_team": 2}))
    added = ok(
        api("POST", "/team/member_add", {"team_id": team, "member": {"role": "user", "user_email": "anna@example.com"}})
    )
    assert added["updated_users"] == [{"user_id": "anna"}]
    new = {"team_id": team, "member": {"role": "user", "user_email": "new@example.com"}}
    (stranger,) = ok(api("POST", "/team/member_add", new))["updated_users"]
    info = ok(api("GET", f"/team/info?team_id={team}"))
    assert len(info["team_info"]["members_with_roles"]) == 13
    assert {"user_id": "anna", "user_email": "anna@example.com", "role": "user"} in info["team_info"][
        "members_with_roles"
    ]
    assert {one["user_id"]: one["litellm_budget_table"]["max_budget"] for one in info["team_memberships"]}[
        "u3@example.com"
    ] == 2
    changed = {"team_id": team, "user_email": "anna@example.com", "max_budget_in_team": 0.5, "role": "admin"}
    assert ok(api("POST", "/team/member_update", changed))["max_budget_in_team"] == 0.5
    assert ok(api("GET", f"teams/{team}/members/anna"))["role"] == "team_admin"
    after = ok(api("POST", "/team/member_delete", {"team_id": team, "user_email": "anna@example.com"}))
    after = ok(api("POST", "/team/member_delete", {"team_id": team, "user_id": stranger["user_id"]}))
    assert len(after["members_with_roles"]) == 11
    missing = {"team_id": team, "user_email": "nobody@example.com"}
    assert api("POST", "/team/member_delete", missing).status_code == 400
    renamed = ok(api("POST", "/team/update", {"team_id": team, "team_alias": "other"}))["data"]
    assert (renamed["team_alias"], renamed["max_budget"]) == ("other", 100)
    assert [one["team_id"] for one in ok(api("GET", "/team/list?user_id=boss"))] == [team]
    assert ok(api("POST", "/team/model/add", {"team_id": team, "models": ["a", "b"]}))["models"] == ["a", "b"]
    assert ok(api("POST", "/team/model/delete", {"team_id": team, "models": ["a"]}))["models"] == ["b"]
    assert api("POST", "/team/model/delete", {"team_id": team, "models": ["b"]}).status_code == 400
    ok(api("POST", "/team/delete", {"team_ids": [team]}))
    assert api("GET", f"/team/info?team_id={team}").status_code == 404
    assert ok(api("GET", "/user/info?user_id=boss"))["teams"] == []


def test_users_are_found_by_id_address_and_team(api: Api) -> None:
    for name in ("anna", "bob", "carl"):
        ok(api("POST", "/user/new", {"user_id": name, "user_email": f"{name}@example.com", "auto_create_key": False}))
    ok(api("POST", "/team/new", {"team_id": "core", "members_with_roles": [{"role": "user", "user_id": "carl"}]}))

    def ids(query: str) -> list[str]:
        return [one["user_id"] for one in ok(api("GET", f"/user/list?{query}"))["users"]]

    assert ids("user_ids=anna,carl") == ["anna", "carl"]
    assert ids("user_email=BOB@") == ["bob"]
    assert ids("team=core") == ["carl"]
    assert ids("page=2&page_size=2") == ["carl"]


def test_what_members_are_given_is_theirs(api: Api) -> None:
    asked = {"team_id": "core", "team_member_budget": 3, "team_member_budget_duration": "1mo"}
    ok(api("POST", "/team/new", asked))
    ok(api("POST", "/team/member_add", {"team_id": "core", "member": {"role": "user", "user_id": "anna"}}))
    (one,) = ok(api("GET", "/team/info?team_id=core"))["team_memberships"]
    assert (one["litellm_budget_table"]["max_budget"], one["litellm_budget_table"]["budget_duration"]) == (3, "1mo")


def test_end_users_have_budgets_by_name(api: Api) -> None:
    ok(api("POST", "/budget/new", {"budget_id": "free-tier", "tpm_limit": 2, "max_budget": 1}))
    asked = {"user_id": "u1", "allowed_model_region": None, "default_model": None, "budget_id": "free-tier"}
    assert ok(api("POST", "/end_user/new", asked))["litellm_budget_table"]["budget_id"] == "free-tier"
    after = ok(api("POST", "/budget/update", {"budget_id": "free-tier", "max_budget": 2}))
    assert (after["max_budget"], after["tpm_limit"]) == (2, 2)
    assert api("POST", "/end_user/new", {"user_id": "u2", "allowed_model_region": "eu"}).status_code == 400


def recorded(number: int, key: str, user: str | None, cost: int | None, model: str = "smart") -> Record:
    """Return the record of a call, an hour apart from the next one."""
    return Record(
        id=f"call-{number}",
        time_ms=NOW - number * 3_600_000,
        key=key,
        user=user,
        operation="chat",
        model=model,
        target=f"openai/{model}",
        status=200 if cost else 500,
        stream=False,
        attempts=[],
        usage=Usage(input=10, output=5) if cost else None,
        cost_nano_usd=cost,
        basis="reported",
        first_byte_us=100,
        total_us=2_000_000,
        overhead_us=50,
    )


def test_what_calls_cost_is_told_by_call_and_by_day(api: Api, admin: Admin) -> None:
    made = generated(api, user_id="anna")
    other = generated(api)
    calls = [recorded(n, made["token"], "anna", 2_000_000_000) for n in (1, 2, 30)]
    calls += [recorded(3, other["token"], None, 500_000_000, "fast"), recorded(4, other["token"], None, None, "fast")]
    fill(admin.engine, piece(calls))
    (row,) = ok(api("GET", "/spend/logs?request_id=call-2"))
    assert (row["spend"], row["prompt_tokens"], row["completion_tokens"], row["user"]) == (2.0, 10, 5, "anna")
    assert (row["startTime"], row["endTime"]) == ("2027-01-15T06:00:00Z", "2027-01-15T06:00:02Z")
    assert len(ok(api("GET", "/spend/logs"))) == 5
    assert {one["request_id"] for one in ok(api("GET", f"/spend/logs?api_key={made['key']}"))} == {
        "call-1", "call-2", "call-30",
    }  # fmt: skip
    days = ok(api("GET", f"/spend/logs?start_date=2027-01-01&end_date={TODAY}"))
    assert [(day["startTime"], day["spend"]) for day in days] == [("2027-01-14", 2.0), ("2027-01-15", 4.5)]
    assert days[1]["models"] == {"smart": 4.0, "fast": 0.5}
    assert days[1]["users"] == {"anna": 4.0}
    (first, last) = ok(api("GET", f"/spend/logs?user_id=anna&start_date=2027-01-14&end_date={TODAY}"))
    assert (first["spend"], last["spend"], last["models"], last["users"]) == (2.0, 4.0, {"smart": 4.0}, {"anna": 4.0})
    one_day = f"start_date={TODAY}&end_date={TODAY}"
    assert len(ok(api("GET", f"/spend/logs?{one_day}&summarize=false"))) == 4
    assert ok(api("GET", "/global/spend"))["spend"] == 6.5
    assert ok(api("GET", f"/key/info?key={made['key']}"))["info"]["spend"] == 6.0
    member = api.as_(api.make("keys", role="member", user="anna")["key"])
    assert ok(member("GET", "/global/spend"))["spend"] == 6.0
    assert len(ok(member("GET", "/spend/logs"))) == 3
    assert [day["spend"] for day in ok(member("GET", f"/spend/logs?{one_day}"))] == [4.0]
    assert ok(member("GET", "/spend/logs?request_id=call-3")) == []


@pytest.mark.parametrize("odd", ["yesterday", "2026-13-01", "0000-00-00"])
def test_a_day_that_is_none_is_said_to_be(api: Api, odd: str) -> None:
    assert api("GET", f"/spend/logs?start_date={odd}&end_date={TODAY}").status_code == 400
    assert api("GET", f"/spend/logs?start_date={TODAY}&end_date=2020-01-01").status_code == 400
    assert ok(api("GET", "/spend/logs?request_id=chatcmpl-unknown")) == []


def test_organizations_have_members_and_go_when_they_are_empty(api: Api) -> None:
    asked = {"organization_alias": "Acme", "models": ["gpt-4"], "max_budget": 100, "budget_duration": "30d"}
    made = ok(api("POST", "/organization/new", asked))
    org = made["organization_id"]
    assert (made["organization_alias"], made["models"], made["spend"]) == ("Acme", ["gpt-4"], 0.0)
    assert made["litellm_budget_table"]["max_budget"] == 100
    changed = ok(api("PATCH", "/organization/update", {"organization_id": org, "models": ["gpt-4", "o3"]}))
    assert (changed["models"], changed["organization_alias"]) == (["gpt-4", "o3"], "Acme")
    user = ok(api("POST", "/user/new", {"user_email": "anna@example.com", "auto_create_key": False}))["user_id"]
    member = {"user_id": user, "role": "internal_user"}
    ok(api("POST", "/organization/member_add", {"organization_id": org, "member": member}))
    new = {"user_email": "bob@example.com"}
    added = ok(api("POST", "/organization/member_add", {"organization_id": org, "member": [new]}))
    bob = added["updated_users"][0]["user_id"]
    team = ok(api("POST", "/team/new", {"organization_id": org}))["team_id"]
    read = ok(api("GET", f"/organization/info?organization_id={org}"))
    assert {one["user_id"] for one in read["members"]} == {user, bob}
    assert [one["team_id"] for one in read["teams"]] == [team]
    assert [one["organization_id"] for one in ok(api("GET", "/organization/list"))] == [org]
    assert api("DELETE", "/organization/delete", {"organization_ids": [org]}).status_code == 409
    ok(api("POST", "/team/delete", {"team_ids": [team]}))
    for one in (user, bob):
        ok(api("DELETE", "/organization/member_delete", {"organization_id": org, "user_id": one}))
    gone = {"organization_id": org, "user_id": user}
    assert api("DELETE", "/organization/member_delete", gone).status_code == 400
    assert ok(api("DELETE", "/organization/delete", {"organization_ids": [org]}))[0]["organization_id"] == org
    assert ok(api("GET", "/organization/list")) == []


def test_who_joins_an_organization_brings_its_keys(api: Api) -> None:
    org = ok(api("POST", "/organization/new", {"organization_alias": "Acme"}))["organization_id"]
    other = ok(api("POST", "/organization/new", {"organization_alias": "Other"}))["organization_id"]
    user = ok(api("POST", "/user/new", {"user_id": "anna"}))
    ok(api("POST", "/organization/member_add", {"organization_id": org, "member": {"user_id": "anna"}}))
    assert ok(api("GET", f"/key/info?key={user['key']}"))["info"]["organization_id"] == org
    assert ok(api("GET", "/user/info?user_id=anna"))["user_info"]["organization_id"] == org
    team = ok(api("POST", "/team/new", {"organization_id": other}))["team_id"]
    ok(api("POST", "/user/new", {"user_id": "bob"}))
    ok(api("POST", "/team/member_add", {"team_id": team, "member": {"user_id": "bob"}}))
    said = {"organization_id": org, "member": {"user_id": "bob"}}
    assert api("POST", "/organization/member_add", said).status_code == 400
    leaving = {"organization_id": org, "user_id": "anna"}
    assert api("DELETE", "/organization/member_delete", leaving).status_code == 409, "its key would leave its bounds"


def test_an_organization_gives_no_member_more_than_it_can_hold_it_to(api: Api) -> None:
    org = ok(api("POST", "/organization/new", {"organization_alias": "Acme"}))["organization_id"]
    other = ok(api("POST", "/organization/new", {"organization_alias": "Other"}))["organization_id"]
    user = {"user_id": "anna"}
    said = {"organization_id": org, "member": {**user, "role": "org_admin"}}
    assert api("POST", "/organization/member_add", said).status_code == 400
    said = {"organization_id": org, "member": user, "max_budget_in_organization": 5}
    assert api("POST", "/organization/member_add", said).status_code == 400
    ok(api("POST", "/organization/member_add", {"organization_id": org, "member": user}))
    assert api("POST", "/organization/member_add", {"organization_id": other, "member": user}).status_code == 400


def test_a_key_sees_the_models_that_it_may_call_and_no_others(api: Api) -> None:
    everything = ok(api("GET", "/model_group/info"))["data"]
    assert [one["model_group"] for one in everything] == ["openai/*"]
    assert everything[0]["providers"] == ["openai"]
    team = ok(api("POST", "/team/new", {"models": ["anthropic/*"]}))["team_id"]
    user = ok(api("POST", "/user/new", {"models": ["gemini/*"]}))["key"]
    for key in (ok(api("POST", "/key/generate", {"team_id": team}))["key"], user):
        for path in ("/model/info", "/model_group/info"):
            assert ok(api.as_(key)("GET", path))["data"] == [], path
    mini = ok(api("POST", "/key/generate", {"models": ["openai/gpt-4o-mini"]}))["key"]
    assert len(ok(api.as_(mini)("GET", "/model/info"))["data"]) == 1


def test_a_budget_by_name_says_when_it_begins_anew(api: Api) -> None:
    made = ok(api("POST", "/budget/new", {"budget_id": "daily", "max_budget": 5, "budget_duration": "1d"}))
    assert made["budget_reset_at"] == "2027-01-16T00:00:00Z"


@pytest.mark.parametrize(
    ("said", "status", "param", "words"),
    [
        ({"max_budget": -1}, 400, "max_budget", "an amount in dollars"),
        ({"max_budget": "ten"}, 400, "max_budget", "an amount in dollars"),
        ({"max_budget": True}, 400, "max_budget", "an amount in dollars"),
        ({"soft_budget": [1]}, 400, "soft_budget", "an amount in dollars"),
        ({"tpm_limit": 1.5}, 400, "tpm_limit", "a whole number"),
        ({"rpm_limit": "1e400"}, 400, "rpm_limit", "a whole number"),
        ({"max_parallel_requests": -2}, 400, "max_parallel_requests", "a whole number"),
        ({"max_budgett": 5}, 400, "max_budgett", "did you mean 'max_budget'?"),
        ({"guardrails": ["x"]}, 400, "guardrails", "leave it out, and use /api/v1"),
        ({"budget_id": "nope"}, 422, "budget_id", "there is no budget 'nope'"),
        ({"team_id": "nope"}, 422, "team_id", "there is no team 'nope'"),
        ({"organization_id": "nope"}, 422, "organization_id", "nope"),
    ],
)
def test_an_error_names_the_field_by_the_name_it_was_said_with(
    api: Api, said: dict[str, Any], status: int, param: str | None, words: str
) -> None:
    reply = api("POST", "/key/generate", said)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (status, param, str(status))
    assert words in error["message"]


@pytest.mark.parametrize(
    ("said", "name", "value"),
    [
        ({"max_budget": "10"}, "max_budget", 10.0),
        ({"max_budget": 0}, "max_budget", 0.0),
        ({"tpm_limit": "100"}, "tpm_limit", 100),
        ({"rpm_limit": 5.0}, "rpm_limit", 5),
        ({"max_parallel_requests": "3"}, "max_parallel_requests", 3),
    ],
)
def test_an_amount_may_be_in_quotes(api: Api, said: dict[str, Any], name: str, value: float) -> None:
    made = ok(api("POST", "/key/generate", said))
    assert made[name] == value
    after = ok(api("POST", "/key/update", {"key": made["key"], name: str(value)}))
    assert after[name] == value


@pytest.mark.parametrize(("route", "status"), [("chatt", 422), ("/v1/chat/completions", 422), ("chat", 201)])
def test_a_route_of_a_key_is_one_that_can_be_called(api: Api, route: str, status: int) -> None:
    reply = api("POST", "keys", {"name": "k", "routes": ["models", route]})
    assert reply.status_code == status
    assert status == 201 or reply.json()["field"] == "routes[1]"
