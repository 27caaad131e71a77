"""Streams whose members have types that no provider's documentation knows: translated as far as they can be read."""

import json
from typing import Any

import pytest

from portico.dialects.crossing import Given, Target
from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question, Translation

ASKED = b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'


@pytest.mark.parametrize("told", [True, 7, "x", {"a": 1}, [7], None])
def test_odd_logprobs_cost_no_stream(told: Any) -> None:
    question = Question(OPERATIONS["stream_generate_content"], ASKED, model="m", stream=True)
    target = Target(model="m", dialect="chat", quirks=frozenset())
    given = Given(request_id="r", created=1, new_id=lambda prefix: f"{prefix}1")
    translation = Translation(question, "chat", target, given)
    choice = {"index": 0, "delta": {"content": "word"}, "logprobs": {"content": told}, "finish_reason": "stop"}
    said = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\ndata: [DONE]\n\n"
    out = b"".join(translation.feed(said[at : at + 7]) for at in range(0, len(said), 7)) + translation.flush()
    assert b'"word"' in out
    assert translation.finished
