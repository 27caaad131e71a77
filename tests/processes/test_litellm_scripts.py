"""A script written for LiteLLM against a whole Portico: keys, calls, what they cost, and how all is."""

import json
import os
import signal
from typing import Any

from portico.testing import HostedMock
from portico.testing.running import RunningPortico, eventually, running_portico

MASTER = "sk-master-of-the-scripts"
UPSTREAM = "sk-upstream-of-the-scripts"


def config(mock: HostedMock) -> dict[str, Any]:
    """Return a configuration with a model of two targets; all failures open the breaker of a target at once."""
    one = {"like": "openai", "base_url": f"{mock.url}/v1", "api_key": UPSTREAM}
    return {
        "server": {"master_key": MASTER, "litellm_headers": True},
        "providers": {"first": one, "second": one},
        "models": {"smart": ["first/plain", "second/plain"], "other": ["second/plain"]},
        "prices": {name: {"input": 1000, "output": 1000} for name in ("first/plain", "second/plain")},
        "breaker": {"failures": 1, "rest": 60},
        "retries": {"attempts": 1},
    }


def asked(portico: RunningPortico, method: str, path: str, body: Any = None, key: str | None = MASTER) -> Any:
    """Ask, and return the status and what is said."""
    status, _, told = portico.request(method, path, body, key=key)
    return status, json.loads(told)


def chat(portico: RunningPortico, key: str, model: str = "smart") -> tuple[int, dict[str, str]]:
    """Make a call; return its status and headers."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 20}
    status, headers, _ = portico.request("POST", "/chat/completions", body, key=key)
    return status, headers


def test_a_key_is_made_used_billed_and_ended() -> None:
    with HostedMock(keys=[UPSTREAM]) as mock, running_portico(config(mock)) as portico:
        team = asked(portico, "POST", "/team/new", {"team_alias": "scripts"})[1]["team_id"]
        generated = {"team_id": team, "models": ["smart"], "max_budget": 50, "user_id": "anna"}
        key = asked(portico, "POST", "/key/generate", generated)[1]["key"]
        status, headers = chat(portico, key)
        assert status == 200
        cost = float(headers["x-litellm-response-cost"])
        assert cost > 0
        assert float(headers["x-litellm-key-spend"]) == cost
        assert float(headers["x-litellm-key-max-budget"]) == 50
        call = headers["x-litellm-call-id"]
        (row,) = eventually(
            lambda: asked(portico, "GET", f"/spend/logs?request_id={call}")[1], "the call is in the log"
        )
        assert (row["spend"], row["user"], row["team_id"]) == (cost, "anna", team)
        assert asked(portico, "GET", "/key/info", key=key)[1]["info"]["spend"] == cost
        assert asked(portico, "GET", f"/team/info?team_id={team}", key=key)[1]["team_info"]["spend"] == cost
        assert asked(portico, "GET", "/global/spend")[1]["spend"] == cost
        assert [one["model_name"] for one in asked(portico, "GET", "/model/info", key=key)[1]["data"]] == ["smart"] * 2
        assert chat(portico, key, "other")[0] == 403
        asked(portico, "POST", "/key/block", {"key": key})
        assert chat(portico, key)[0] == 403
        asked(portico, "POST", "/key/unblock", {"key": key})
        assert chat(portico, key)[0] == 200
        asked(portico, "POST", "/key/delete", {"keys": [key]})
        assert chat(portico, key)[0] == 401


def test_health_tells_what_calls_found_out_and_makes_none() -> None:
    with HostedMock(keys=[UPSTREAM]) as mock, running_portico(config(mock)) as portico:
        assert portico.request("GET", "/health")[0] == 401
        status, told = asked(portico, "GET", "/health")
        assert (status, told["healthy_count"], told["unhealthy_count"]) == (200, 3, 0)
        assert len(mock.ledger) == 0, "nobody was asked"
        mock.script("status=500")
        assert chat(portico, MASTER)[0] == 200
        told = asked(portico, "GET", "/health")[1]
        (bad,) = told["unhealthy_endpoints"]
        assert (bad["model"], bad["model_id"], bad["api_base"]) == ("first/plain", "smart.0", f"{mock.url}/v1")
        assert bad["error"].startswith("it rests for ")
        assert [one["model_id"] for one in told["healthy_endpoints"]] == ["other.0", "smart.1"]
        assert asked(portico, "GET", "/health?model=other")[1]["healthy_count"] == 1
        assert asked(portico, "GET", "/health?model_id=smart.0")[1]["unhealthy_count"] == 1
        assert asked(portico, "GET", "/health?model=nothing")[0] == 404
        mock.script("status=401")
        assert chat(portico, MASTER, "other")[0] >= 400
        told = asked(portico, "GET", "/health?model=other")[1]
        assert told["unhealthy_endpoints"][0]["error"].startswith("every key for its provider rests")
        key = asked(portico, "POST", "/key/generate", {"models": ["other"]})[1]["key"]
        told = asked(portico, "GET", "/health", key=key)[1]
        assert (told["healthy_count"], told["unhealthy_count"]) == (0, 1), "of what it may call"
        assert UPSTREAM not in json.dumps(told)


def test_probes_need_no_key_and_no_control() -> None:
    with HostedMock(keys=[UPSTREAM]) as mock, running_portico(config(mock)) as portico:
        for path in ("/health/liveliness", "/health/liveness"):
            assert asked(portico, "GET", path, key=None) == (200, "I'm alive!")
        status, told = asked(portico, "GET", "/health/readiness", key=None)
        assert (status, told["status"], told["db"]) == (200, "healthy", "connected")
        control = portico.control()
        assert control is not None
        os.kill(control, signal.SIGSTOP)
        try:
            assert asked(portico, "GET", "/health/liveliness", key=None) == (200, "I'm alive!")
        finally:
            os.kill(control, signal.SIGKILL)
        seen = {asked(portico, "GET", "/health/readiness", key=None)[0] for _ in range(20)}
        assert seen == {200}, "calls are served all the same"
