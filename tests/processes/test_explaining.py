"""What running workers measure, and which conversations they keep where, is part of what `explain` says."""

import json
from typing import Any

from portico.testing.running import running_portico

SYSTEM = "You know the weather of the whole world. " * 150
NAMED = {"x-portico-session": "one conversation"}
TOLD = {"model": "fast", "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "rain?"}]}


def test_a_plan_is_explained_by_what_the_workers_measured_and_know(held):
    models = {
        "fast": {"strategy": "lowest_latency", "affinity": True, "targets": ["held/m", "held/n"]},
        "plain": ["held/m"],
    }
    said = held.config(models=models, server={"workers": 2})
    said["providers"]["held"]["models"] = ["m", "n"]

    def explained(portico: Any) -> dict[str, Any]:
        status, _, body = portico.request(
            "POST", "/api/v1/explain", {"body": TOLD, "headers": NAMED}, key=portico.master_key
        )
        assert status == 200, body
        return json.loads(body)["plan"]

    with running_portico(said) as portico:
        before = explained(portico)
        for _ in range(4):
            assert portico.request("POST", "/v1/chat/completions", TOLD, NAMED, key=portico.master_key)[0] == 200
        after = explained(portico)
    assert (before["workers"], before["measured"], before["kept"]) == (2, False, None)
    assert [one["measures"] for one in before["targets"]] == [None, None]
    measured = [one["measures"] for one in after["targets"] if one["measures"] is not None]
    assert any(one["whole_ms"] for one in measured)
    assert all(one["in_flight"] == 0 and one["failure_rate"] == 0 for one in measured)
    assert after["conversation"] == before["conversation"] is not None
