"""The requests and the reply that every subject is measured with: exactly reproducible, byte for byte.

Two sizes: a chat of 1,024 bytes, and an agent's request of 14,336 bytes (12 tools, 30 turns, tool calls and results
among them). The size holds whatever the model is called, because the last words are cut to fit.
"""

import json
import random
from typing import Any

CHAT = 1024
AGENT = 14 * 1024
SIZES = {"1 KB": CHAT, "14 KB": AGENT}

_WORDS = """
    aqueduct arch basin canal channel cistern concrete conduit course culvert district drain fall flow fountain
    gallery gradient harbour hill intake junction keeper lead level lime mason mile mortar mountain pipe
    pressure quarry reservoir ridge river road roof settling shaft siphon sluice source span spring stone supply
    survey tank tower town trench tunnel valley vault village wall water wheel work yard
"""
_TOOLS = (
    "search read_file write_file list_files run_tests open_page send_mail query_table make_plot translate book remind"
)
WORDS = tuple(_WORDS.split())
TOOLS = tuple(_TOOLS.split())

ANSWER = (
    "The keepers measured the fall of every mile with a level and a plumb line, lined the channel with lime mortar, and"
    " let the water settle in a basin before the last arches carried it over the road and into the town, where lead"
    " pipes led it to the fountains, the baths and a few houses."
)

REPLY = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": ANSWER,
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 190,
            "completion_tokens": 60,
            "total_tokens": 250,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_bench",
    },
    separators=(",", ":"),
).encode()
"""What the upstream answers to every call that is not a stream."""


def body(size: int, model: str) -> bytes:
    """Return a chat request of exactly `size` bytes to `model`: a short chat, or from 8 KB on an agent's request."""
    request = _agent(model) if size >= 8192 else _chat(model)
    return _fit(request, size)


def stream_body(model: str, user: str, *, include_usage: bool = True) -> bytes:
    """Return a small request for a stream. `user` tells the mock what to send (see `pacer.Order`)."""
    request = _chat(model) | {"user": user, "stream": True}
    if include_usage:
        request["stream_options"] = {"include_usage": True}
    return _dump(request)


def marked_body(size: int, model: str, user: str) -> bytes:
    """Return a request of exactly `size` bytes whose `user` tells the mock what to do (see `pacer.Order`)."""
    return _fit(_chat(model) | {"user": user}, size)


def _chat(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "temperature": 0.7,
        "max_tokens": 256,
        "messages": [
            {"role": "system", "content": "You are a patient guide who answers in two or three plain sentences."},
            {"role": "user", "content": "How did the people of the town bring water over the valley?"},
        ],
    }


def _agent(model: str) -> dict[str, Any]:
    rng = random.Random(2024)
    messages: list[dict[str, Any]] = [{"role": "system", "content": _prose(rng, 60)}]
    for turn in range(30):
        if turn % 3 == 0:
            messages.append({"role": "user", "content": _prose(rng, 18)})
        elif turn % 3 == 1:
            arguments = json.dumps({"query": _prose(rng, 4), "limit": 1 + turn})
            function = {"name": TOOLS[turn % len(TOOLS)], "arguments": arguments}
            call = {"id": f"call_{turn:04d}", "type": "function", "function": function}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        else:
            messages.append({"role": "tool", "tool_call_id": f"call_{turn - 1:04d}", "content": _prose(rng, 26)})
    messages.append({"role": "user", "content": "Go on."})
    return {
        "model": model,
        "temperature": 0.2,
        "max_tokens": 1024,
        "tools": [_tool(rng, name) for name in TOOLS],
        "tool_choice": "auto",
        "messages": messages,
    }


def _tool(rng: random.Random, name: str) -> dict[str, Any]:
    properties = {
        "query": {"type": "string", "description": _prose(rng, 8)},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100},
        "where": {"type": "string", "enum": [_pick(rng) for _ in range(3)]},
    }
    parameters = {"type": "object", "properties": properties, "required": ["query"], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": _prose(rng, 12), "parameters": parameters}}


def _pick(rng: random.Random) -> str:
    # random() alone is promised to be the same in every Python version
    return WORDS[int(rng.random() * len(WORDS))]


def _prose(rng: random.Random, words: int) -> str:
    return " ".join(_pick(rng) for _ in range(words))


def _dump(request: dict[str, Any]) -> bytes:
    return json.dumps(request, separators=(",", ":")).encode()


def _fit(request: dict[str, Any], size: int) -> bytes:
    """Grow the last user message until the body has exactly `size` bytes."""
    short = size - len(_dump(request))
    if short < 0:
        raise ValueError(f"the request needs {-short} bytes more than the {size} asked for")
    rng = random.Random(size)
    filling = ""
    while len(filling) < short:
        filling += " " + _pick(rng)
    request["messages"][-1]["content"] += filling[:short]
    return _dump(request)
