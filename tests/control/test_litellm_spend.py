"""LiteLLM's reports of what was spent: by tag, key, user, team and customer, over all and day by day."""

from datetime import datetime
from typing import Any

import pytest

from control.conftest import NOW, Api
from portico.control.admin import Admin
from portico.record import Record
from portico.types import Usage
from store.filled import fill, piece

TODAY, BEFORE = "2027-01-15", "2027-01-14"
RANGE = f"start_date={BEFORE}&end_date={TODAY}"
DOLLAR = 1_000_000_000


def ok(reply: Any) -> Any:
    """Return what a reply says that must be good."""
    assert reply.status_code == 200, reply.text
    return reply.json()


def call(number: int, hours: int, dollars: float | None, **who: Any) -> Record:
    """Return the record of a call some hours ago; one without a cost failed."""
    return Record(
        id=f"call-{number}",
        time_ms=NOW - hours * 3_600_000,
        operation="chat",
        target=f"openai/{who.get('model', 'smart')}",
        status=500 if dollars is None else 200,
        stream=False,
        attempts=[],
        usage=None if dollars is None else Usage(input=10, output=5, cache_read=2),
        cost_nano_usd=None if dollars is None else round(dollars * DOLLAR),
        basis="reported",
        first_byte_us=100,
        total_us=2_000_000,
        overhead_us=50,
        **{"key": None, "model": "smart", **who},
    )


class World:
    """Two teams with a key each, in two days."""

    def __init__(self, api: Api, admin: Admin) -> None:
        self.api = api
        for team in ("core", "lab"):
            api.make("teams", id=team, name=f"Team {team}")
        api.make("users", id="anna")
        self.core = ok(api("POST", "/key/generate", {"team_id": "core", "key_alias": "web"}))
        self.lab = ok(api("POST", "/key/generate", {"team_id": "lab", "user_id": "anna"}))
        core = {"key": self.core["token"], "team": "core"}
        lab = {"key": self.lab["token"], "team": "lab", "user": "anna"}
        records = [
            call(1, 1, 2.0, **core, tags=("tag:prod", "env:eu"), customer="c1"),
            call(2, 2, 1.0, **core, model="fast", tags=("tag:prod",)),
            call(3, 30, 0.25, **core),
            call(4, 3, 4.0, **lab, tags=("env:eu",), customer="c1"),
            call(5, 4, None, **lab),
            call(6, 5, 0.5, key="gone"),
        ]
        fill(admin.engine, piece(records))
        self.team_admin = self.with_role("team_admin", team="core")
        self.member = self.with_role("member", user="anna", team="lab")
        self.alone = api.as_(self.core["key"])

    def with_role(self, role: str, **fields: Any) -> Api:
        return self.api.as_(self.api.make("keys", role=role, **fields)["key"])


@pytest.fixture
def world(api: Api, admin: Admin) -> World:
    return World(api, admin)


def test_tags_say_what_their_calls_cost(world: World) -> None:
    told = ok(world.api("GET", "/spend/tags"))
    assert told == [
        {"individual_request_tag": "env:eu", "log_count": 2, "total_spend": 6.0},
        {"individual_request_tag": "prod", "log_count": 2, "total_spend": 3.0},
    ]
    assert ok(world.api("GET", f"/spend/tags?start_date={BEFORE}&end_date={BEFORE}")) == []
    one = ok(world.api("GET", f"/global/spend/tags?{RANGE}&tags=prod"))
    assert one == {"spend_per_tag": [{"name": "prod", "spend": 3.0, "log_count": 2}]}
    assert len(ok(world.api("GET", f"/global/spend/tags?{RANGE}&tags=all-tags"))["spend_per_tag"]) == 2
    mine = ok(world.team_admin("GET", f"/spend/tags?{RANGE}"))
    assert [(one["individual_request_tag"], one["total_spend"]) for one in mine] == [("prod", 3.0), ("env:eu", 2.0)]
    assert world.member("GET", "/spend/tags").status_code == 403


def test_keys_and_users_are_listed_by_what_they_spent(world: World) -> None:
    rows = ok(world.api("GET", "/spend/keys"))
    spent = [(row["token"], row["spend"]) for row in rows if row["spend"]]
    assert spent == [(world.lab["token"], 4.0), (world.core["token"], 3.25)]
    assert [row["spend"] for row in rows] == sorted((row["spend"] for row in rows), reverse=True)
    assert {row["team_id"] for row in ok(world.team_admin("GET", "/spend/keys"))} == {"core"}
    assert {row["user_id"] for row in ok(world.member("GET", "/spend/keys"))} == {"anna"}
    assert [(row["user_id"], row["spend"]) for row in ok(world.api("GET", "/spend/users"))] == [("anna", 4.0)]
    assert [row["spend"] for row in ok(world.api("GET", "/spend/users?user_id=anna"))] == [4.0]
    assert world.member("GET", "/spend/users?user_id=bob").status_code == 403


def test_a_report_by_team_adds_up_to_all_there_is(world: World) -> None:
    days = ok(world.api("GET", f"/global/spend/report?{RANGE}"))
    assert [day["group_by_day"] for day in days] == [f"{BEFORE}T00:00:00+00:00", f"{TODAY}T00:00:00+00:00"]
    teams = {team["team_name"]: team for team in days[1]["teams"]}
    assert {name: team["total_spend"] for name, team in teams.items()} == {
        "Team core": 3.0, "Team lab": 4.0, "Unassigned Team": 0.5,
    }  # fmt: skip
    models = {one["model"]: (one["spend"], one["total_tokens"]) for one in teams["Team core"]["metadata"]}
    assert models == {"smart": (2.0, 17), "fast": (1.0, 17)}
    total = sum(team["total_spend"] for day in days for team in day["teams"])
    assert total == ok(world.api("GET", "/global/spend"))["spend"] == 7.75
    mine = ok(world.team_admin("GET", f"/global/spend/report?{RANGE}"))
    assert [team["team_name"] for day in mine for team in day["teams"]] == ["Team core", "Team core"]
    assert world.member("GET", f"/global/spend/report?{RANGE}").status_code == 403


def test_a_report_by_customer_tells_each_team_of_its_own_calls(world: World) -> None:
    (day,) = ok(world.api("GET", f"/global/spend/report?{RANGE}&group_by=customer"))
    assert [(one["customer"], one["total_spend"]) for one in day["customers"]] == [("c1", 6.0)]
    assert day["customers"][0]["metadata"] == [{"model": "smart", "api_key": None, "spend": 6.0, "total_tokens": 34}]
    (mine,) = ok(world.team_admin("GET", f"/global/spend/report?{RANGE}&group_by=customer"))
    assert [(one["customer"], one["total_spend"]) for one in mine["customers"]] == [("c1", 2.0)]
    path = f"/global/spend/report?{RANGE}&customer_id=c1&team_id="
    (both,) = ok(world.api("GET", f"{path}lab"))
    assert both["teams_customers"][0]["total_spend"] == 4.0
    assert world.team_admin("GET", f"{path}lab").status_code == 404
    assert ok(world.team_admin("GET", f"{path}core"))[0]["teams_customers"][0]["total_spend"] == 2.0


def test_a_report_by_key_has_its_models(world: World) -> None:
    path = f"/global/spend/report?{RANGE}&group_by=api_key"
    rows = ok(world.api("GET", path))
    assert [(row["api_key"], row["total_cost"]) for row in rows] == [
        (world.lab["token"], 4.0), (world.core["token"], 3.25), ("gone", 0.5),
    ]  # fmt: skip
    assert {one["model"]: one["total_cost"] for one in rows[1]["model_details"]} == {"smart": 2.25, "fast": 1.0}
    assert (rows[1]["total_input_tokens"], rows[1]["total_output_tokens"]) == (36, 15)
    assert [row["api_key"] for row in ok(world.team_admin("GET", path))] == [world.core["token"]]
    assert [row["api_key"] for row in ok(world.member("GET", path))] == [world.lab["token"]]
    one = ok(world.api("GET", f"/global/spend/report?{RANGE}&api_key={world.core['key']}"))
    assert [row["total_cost"] for row in one] == [3.25]
    assert world.team_admin("GET", f"{path}&api_key={world.lab['token']}").status_code == 404
    (user,) = ok(world.api("GET", f"/global/spend/report?{RANGE}&internal_user_id=anna"))
    assert (user["api_key"], user["total_cost"]) == (None, 4.0)
    assert world.api("GET", f"/global/spend/report?{RANGE}&group_by=moon").status_code == 400


def test_what_teams_did_is_told_day_by_day(world: World) -> None:
    told = ok(world.api("GET", f"/team/daily/activity?{RANGE}"))
    assert [day["date"] for day in told["results"]] == [TODAY, BEFORE]
    today = told["results"][0]
    assert today["metrics"] == {
        "spend": 7.0, "prompt_tokens": 36, "completion_tokens": 15, "total_tokens": 51, "api_requests": 4,
        "successful_requests": 3, "failed_requests": 1, "cache_read_input_tokens": 6,
        "cache_creation_input_tokens": 0,
    }  # fmt: skip
    entities = today["breakdown"]["entities"]
    assert {name: one["metrics"]["spend"] for name, one in entities.items()} == {"core": 3.0, "lab": 4.0}
    assert entities["core"]["api_key_breakdown"][world.core["token"]]["metadata"]["key_alias"] == "web"
    assert today["breakdown"]["models"]["smart"]["metrics"]["spend"] == 6.0
    assert today["breakdown"]["providers"]["openai"]["metrics"]["api_requests"] == 4
    assert (told["metadata"]["total_spend"], told["metadata"]["total_tokens"]) == (7.25, 68)
    mine = ok(world.team_admin("GET", f"/team/daily/activity?{RANGE}"))
    assert mine["metadata"]["total_spend"] == 3.25
    assert set(mine["results"][0]["breakdown"]["api_keys"]) == {world.core["token"]}
    assert world.team_admin("GET", f"/team/daily/activity?{RANGE}&team_ids=core,lab").status_code == 404
    assert world.member("GET", f"/team/daily/activity?{RANGE}").status_code == 403


def test_pages_hold_whole_days_and_add_up(world: World) -> None:
    path = f"/team/daily/activity?start_date=2027-01-11&end_date={TODAY}&page_size=2&page="
    pages = [ok(world.api("GET", f"{path}{place}")) for place in (1, 2, 3, 4)]
    assert [[day["date"] for day in page["results"]] for page in pages] == [[TODAY, BEFORE], [], [], []]
    assert [page["metadata"]["has_more"] for page in pages] == [True, True, False, False]
    small = [ok(world.api("GET", f"/team/daily/activity?{RANGE}&page_size=1&page={place}")) for place in (1, 2)]
    assert [page["metadata"]["total_spend"] for page in small] == [7.0, 0.25]
    assert [page["metadata"]["total_pages"] for page in small] == [2, 2]


def test_what_users_did_is_told_to_them_and_to_who_reaches_all(world: World) -> None:
    path = f"/user/daily/activity?{RANGE}"
    told = ok(world.api("GET", path))
    assert told["metadata"]["total_spend"] == 7.75
    today = told["results"][0]["breakdown"]
    assert {name: one["metrics"]["spend"] for name, one in today["entities"].items()} == {"anna": 4.0}
    assert today["api_keys"][world.core["token"]]["metrics"]["spend"] == 3.0
    assert today["api_keys"]["gone"]["metadata"]["key_exists"] is False
    for who, asked in ((world.api, f"{path}&user_id=anna"), (world.member, path)):
        (day,) = ok(who("GET", asked))["results"]
        assert (day["metrics"]["spend"], day["metrics"]["failed_requests"]) == (4.0, 1)
        assert day["breakdown"]["model_groups"]["smart"]["metrics"]["spend"] == 4.0
    (_, before) = ok(world.api("GET", f"{path}&api_key={world.core['key']}"))["results"]
    assert before["breakdown"]["api_keys"][world.core["token"]]["metrics"]["spend"] == 0.25
    assert world.member("GET", f"{path}&user_id=bob").status_code == 403
    assert world.team_admin("GET", path).status_code == 403  # its key is no user's


def test_what_tags_did_is_told_within_reach(world: World) -> None:
    path = f"/tag/daily/activity?{RANGE}"
    (day,) = ok(world.api("GET", path))["results"]
    assert {name: one["metrics"]["spend"] for name, one in day["breakdown"]["entities"].items()} == {
        "prod": 3.0, "env:eu": 6.0,
    }  # fmt: skip
    (one,) = ok(world.api("GET", f"{path}&tags=prod"))["results"]
    assert one["breakdown"]["models"]["fast"]["metrics"]["spend"] == 1.0
    (mine,) = ok(world.team_admin("GET", path))["results"]
    assert mine["breakdown"]["entities"]["env:eu"]["metrics"]["spend"] == 2.0
    assert mine["breakdown"]["models"] == {}
    assert world.member("GET", path).status_code == 403


@pytest.mark.parametrize("what", ["start_date=soon", "page_size=0", "page=x", "model=smart", "start_date=2020-01-01"])
def test_what_makes_no_sense_of_a_page_is_said(world: World, what: str) -> None:
    assert world.api("GET", f"/team/daily/activity?end_date={TODAY}&{what}").status_code == 400


@pytest.fixture
def callable_(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")


@pytest.mark.usefixtures("callable_")
def test_what_a_call_costs_is_calculated_before_and_after(api: Api) -> None:
    said = {"model": "openai/known", "messages": [{"role": "user", "content": "hello there, you all"}]}
    before = ok(api("POST", "/spend/calculate", said))["cost"]
    assert 0 < before < 0.0001
    answer = {"model": "openai/known", "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 500_000}}
    assert ok(api("POST", "/spend/calculate", {"completion_response": answer})) == {"cost": 2.0}


ODD: list[Any] = [
    {},
    {"model": "openai/known"},
    {"model": 5, "messages": []},
    {"model": "openai/nobody-has-a-price-of-it", "messages": []},
    {"model": "nowhere/x", "messages": []},
    {"completion_response": {"model": "openai/known"}},
    {"completion_response": 1},
    {"completion_response": {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}},
]


@pytest.mark.usefixtures("callable_")
@pytest.mark.parametrize("said", ODD, ids=str)
def test_what_nobody_can_calculate_is_an_error(api: Api, said: Any) -> None:
    assert 400 <= api("POST", "/spend/calculate", said).status_code < 500


def test_a_key_without_a_role_sees_none_of_it(world: World) -> None:
    for path in ("/spend/tags", "/spend/keys", "/spend/users", "/global/spend/report", "/user/daily/activity"):
        assert world.alone("GET", path).status_code == 403
    assert world.alone("POST", "/spend/calculate", {"model": "openai/known", "messages": []}).status_code == 403


def test_all_calls_are_summed_up_by_key_team_model_provider_and_day(world: World) -> None:
    def get(path: str) -> Any:
        return ok(world.api("GET", path))

    keys = get("/global/spend/keys?limit=2")
    assert [(one["api_key"], one["key_alias"], one["total_spend"]) for one in keys] == [
        (world.lab["token"], None, 4.0),
        (world.core["token"], "web", 3.25),
    ]
    assert get("/global/spend/keys")[2] == {
        "api_key": "gone", "key_alias": None, "key_name": None, "total_spend": 0.5,
    }  # fmt: skip
    assert get("/global/spend/models") == [
        {"model": "smart", "total_spend": 6.75},
        {"model": "fast", "total_spend": 1.0},
    ]
    assert get(f"/global/spend/provider?{RANGE}") == [{"provider": "openai", "spend": 7.75}]
    assert get("/global/spend/logs") == [{"date": BEFORE, "spend": 0.25}, {"date": TODAY, "spend": 7.5}]
    teams = get("/global/spend/teams")
    assert teams["daily_spend"] == [
        {"date": BEFORE, "Team core": 0.25},
        {"date": TODAY, "Team core": 3.0, "Team lab": 4.0},
    ]
    assert teams["total_spend_per_team"][0] == {"team_id": "Team lab", "total_spend": 4.0}
    assert get("/global/spend/all_tag_names") == {"tag_names": ["env:eu", "prod"]}
    assert get(f"/global/spend/logs?start_date={BEFORE}&end_date={BEFORE}") == [{"date": BEFORE, "spend": 0.25}]
    activity = get("/global/activity")
    assert (activity["sum_api_requests"], activity["daily_data"][0]["api_requests"]) == (6, 1)
    assert activity["daily_data"][1]["date"] == "Jan 15"
    models = get("/global/activity/model")
    assert [(one["model"], one["sum_api_requests"]) for one in models] == [("smart", 5), ("fast", 1)]
    assert sum(one["sum_total_tokens"] for one in models) == activity["sum_total_tokens"] > 0


def test_sums_of_all_calls_are_for_who_sees_them_all(world: World) -> None:
    world.api.make("organizations", id="acme")
    inside = world.with_role("viewer", org="acme")
    for path in ("spend/keys", "spend/teams", "spend/models", "spend/provider", "spend/logs", "activity"):
        assert inside("GET", f"/global/{path}").status_code == 403
        assert world.team_admin("GET", f"/global/{path}").status_code == 403


def test_the_log_names_calls_as_litellm_does(world: World) -> None:
    rows = ok(world.api("GET", "/spend/logs"))
    assert {row["call_type"] for row in rows} == {"acompletion"}
    for row in rows:
        start, first, end = (datetime.fromisoformat(row[f"{name}Time"]) for name in ("start", "completionStart", "end"))
        assert start < first < end
    assert {row["request_duration_ms"] for row in rows} == {2000}
