"""What only its maker can read survives a client of another dialect: sealed thoughts and signed calls come back to it.

A recorded reply goes to a caller of another dialect; what the caller got becomes its history, as its client writes it,
and the next request goes to the same provider: every signature of the reply must be in it, in order. Two kinds are
left out, and no provider needs them: what Gemini signs a text with, which has no place beside a text elsewhere; and
thoughts of an Anthropic turn with steps of its own tools, which cannot go back without those steps.
"""

import json
from functools import cache
from typing import Any

import pytest
from tests.dialects.crossing import pairs, proof
from tests.dialects.crossing.pairs import DIALECTS, PLAIN, Record

from portico.dialects.translate import Question
from portico.types import Dialect

MAKERS: tuple[Dialect, ...] = ("messages", "gemini", "responses", "converse")
PLACES = ("signature", "data", "thoughtSignature", "encrypted_content", "redactedContent")


def signatures(value: Any) -> list[str]:
    """Return everything that a provider sealed or signed, in order."""
    if isinstance(value, list):
        return [found for each in value for found in signatures(each)]
    if not isinstance(value, dict):
        return []
    found: list[str] = []
    for name, inner in value.items():
        if name not in PLACES or not isinstance(inner, str):
            found += signatures(inner)
        elif inner and (name != "data" or value.get("type") == "redacted_thinking"):
            found.append(inner)
    return found


def made(provider: Dialect, reply: dict[str, Any]) -> list[str]:
    """Return the signatures of a reply's first answer."""
    if provider == "gemini":
        parts = [part for each in (reply.get("candidates") or [])[:1] for part in each["content"].get("parts") or []]
        return signatures([part for part in parts if "functionCall" in part or part.get("thought")])
    if provider == "converse":
        return signatures(reply["output"])
    if provider == "responses":
        return signatures([item for item in reply["output"] if item["type"] == "reasoning"])
    steps = any(block["type"].endswith(("server_tool_use", "_tool_result")) for block in reply["content"])
    return [] if steps else signatures(reply["content"])


def history(caller: Dialect, reply: dict[str, Any]) -> dict[str, Any]:
    """Return the next request of a client that keeps what it got: every call answered, or the user going on."""
    body: dict[str, Any] = dict(PLAIN[caller])
    if caller == "chat":
        message = reply["choices"][0]["message"]
        results = [
            {"role": "tool", "tool_call_id": each["id"], "content": "ok"} for each in message.get("tool_calls") or []
        ]
        body["messages"] = [*body["messages"], message, *(results or [{"role": "user", "content": "Go on"}])]
    elif caller == "cohere":
        message = reply["message"]
        results = [
            {"role": "tool", "tool_call_id": each["id"], "content": "ok"} for each in message.get("tool_calls") or []
        ]
        body["messages"] = [*body["messages"], message, *(results or [{"role": "user", "content": "Go on"}])]
    elif caller == "responses":
        results = [
            {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
            for item in reply["output"]
            if item["type"] == "function_call"
        ]
        user = [{"role": "user", "content": "Hi"}]
        body["input"] = [*user, *reply["output"], *(results or [{"role": "user", "content": "Go on"}])]
    elif caller == "messages":
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": "ok"}
            for block in reply["content"]
            if block["type"] == "tool_use"
        ]
        answer = {"role": "assistant", "content": reply["content"]}
        body["messages"] = [*body["messages"], answer, {"role": "user", "content": results or "Go on"}]
    elif caller == "gemini":
        content = reply["candidates"][0]["content"]
        results = [
            {
                "functionResponse": {
                    **{k: v for k, v in call.items() if k in ("id", "name")},
                    "response": {"output": "ok"},
                }
            }
            for call in (part["functionCall"] for part in content["parts"] if "functionCall" in part)
        ]
        body["contents"] = [*body["contents"], content, {"role": "user", "parts": results or [{"text": "Go on"}]}]
    else:
        message = reply["output"]["message"]
        results = [
            {"toolResult": {"toolUseId": block["toolUse"]["toolUseId"], "content": [{"text": "ok"}]}}
            for block in message["content"]
            if "toolUse" in block
        ]
        body["messages"] = [*body["messages"], message, {"role": "user", "content": results or [{"text": "Go on"}]}]
    return body


REASONS: dict[Dialect, dict[str, Any]] = {
    "chat": {"reasoning_effort": "low"},
    "responses": {"reasoning": {"effort": "low"}},
    "messages": {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}},
    "gemini": {"generationConfig": {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}}},
    "converse": {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}},
    "cohere": {"thinking": {"type": "enabled", "token_budget": 1024}},
}


def returned(caller: Dialect, provider: Dialect, record: Record) -> tuple[list[str], list[str]]:
    """Return the signatures that a provider made, and those that come back to it."""
    body = pairs.body_of(record)
    reply = json.loads(pairs.put(pairs.plain(caller, stream=False), provider).reply(body))
    asked = json.dumps(history(caller, reply) | REASONS[caller]).encode()
    again = Question(pairs.operation(caller, stream=False), asked, model="m", stream=False)
    sent = json.loads(pairs.put(again, provider).body)
    if provider == "gemini":
        parts = [part for each in sent["contents"] for part in each["parts"]]
        sent = [part for part in parts if "functionCall" in part or part.get("thought")]
    return made(provider, json.loads(body)), signatures(sent)


@cache
def signed(provider: Dialect) -> tuple[Record, ...]:
    """Return the replies that hold a signature."""
    found = []
    for each in pairs.replies(provider):
        reply = json.loads(pairs.body_of(each))
        if provider != "gemini" or (reply.get("candidates") or [{}])[0].get("content"):
            found += [each] if made(provider, reply) else []
    return tuple(found)


@pytest.mark.parametrize("provider", MAKERS)
@pytest.mark.parametrize("caller", DIALECTS)
def test_what_a_provider_sealed_comes_back_to_it(caller: Dialect, provider: Dialect) -> None:
    records = proof.sample(caller, provider, signed(provider), 40)
    assert len(records) >= 15
    lost = {}
    for record in records:
        before, after = returned(caller, provider, record)
        if before != after:
            lost[record["id"]] = (before, after)
    assert lost == {}
